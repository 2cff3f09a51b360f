//! The command line on a host where no guest can be had: journals, what is shown on a terminal, what others
//! may read, and what a command leaves behind.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod world;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use world::{Ended, World};

/// `pyro` where QEMU is not there.
fn pyro(world: &World) -> Command {
    let mut command = world.pyro();
    command.env("PYRO_QEMU", "/nonexistent/qemu");
    command
}

fn run(world: &World, words: &[&str]) -> Ended {
    Ended::from(pyro(world).args(words).output().unwrap())
}

fn task(world: &World) -> String {
    let made = run(world, &["task", "create", "debian:12", "--allow-host-compat", "--json"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    made.json()["task_id"].as_str().unwrap().to_owned()
}

fn exec(world: &World, id: &str, script: &str) -> Ended {
    run(world, &["task", "exec", id, "--timeout-seconds", "60", "--", "sh", "-c", script])
}

#[test]
fn the_last_commands_of_a_journal_are_shown_alone() {
    let world = World::empty();
    let id = task(&world);
    for number in 1..=4 {
        assert_eq!(exec(&world, &id, &format!("echo out {number}; echo err {number} >&2")).code, 0);
    }
    let all = run(&world, &["task", "logs", &id]);
    assert!(all.out().contains("out 1\n") && all.out().contains("out 4\n") && all.stderr.contains("err 2\n"));
    let last = run(&world, &["task", "logs", &id, "--last", "2"]);
    assert!(!last.out().contains("out 2\n") && last.out().starts_with("#3 exit_code=0 "), "{}", last.out());
    assert!(last.out().contains("out 3\n") && last.out().contains("out 4\n"), "{}", last.out());
    let json = run(&world, &["task", "logs", &id, "--last", "1", "--json"]).json();
    assert_eq!((&json["count"], &json["entries"][0]["sequence"]), (&1.into(), &4.into()));
    assert_eq!(run(&world, &["task", "logs", &id, "--last", "9", "--json"]).json()["count"], 4);
    assert_eq!(run(&world, &["task", "logs", &id, "--last", "0"]).out(), "");
    run(&world, &["task", "delete", &id]);
}

/// What a program shows on a terminal.
fn on_a_terminal(world: &World, words: &str, pager: &str) -> String {
    let shell = format!("{} {words}", env!("CARGO_BIN_EXE_pyro"));
    let mut command = Command::new("script");
    let pyro = pyro(world);
    command.env_clear().envs(pyro.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.env("PAGER", pager).env("TERM", "dumb").args(["-qec", &shell, "/dev/null"]);
    let output = command.stdin(Stdio::null()).output().expect("script(1), of util-linux, is there");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_journal_is_paged_on_a_terminal_and_nowhere_else() {
    let world = World::empty();
    let id = task(&world);
    exec(&world, &id, "echo out; echo err >&2");
    let paged = on_a_terminal(&world, &format!("task logs {id}"), "sed s/^/paged:/");
    assert!(
        paged.contains("paged:#1 exit_code=0") && paged.contains("paged:out") && paged.contains("paged:err"),
        "{paged}"
    );
    let plain = on_a_terminal(&world, &format!("task logs {id} --no-pager"), "sed s/^/paged:/");
    assert!(!plain.contains("paged:") && plain.contains("out"), "{plain}");
    let missing = on_a_terminal(&world, &format!("task logs {id}"), "/nonexistent/pager");
    assert!(missing.contains("#1 exit_code=0"), "{missing}");
    let early = on_a_terminal(&world, &format!("task logs {id}"), "head -n 1");
    assert!(early.contains("#1 exit_code=0") && !early.contains("error"), "{early}");
    let piped = Ended::from(pyro(&world).env("PAGER", "sed s/^/paged:/").args(["task", "logs", &id]).output().unwrap());
    assert!(!piped.out().contains("paged:"), "{}", piped.out());
    run(&world, &["task", "delete", &id]);
}

#[test]
fn what_a_guest_or_caller_made_up_does_not_steer_the_terminal() {
    let world = World::empty();
    let id = task(&world);
    let odd = "true # \u{1b}]0;owned\u{7} \u{9b}31m \u{202e}txt \u{7f}";
    let shown = |ended: &Ended| format!("{}{}", ended.out(), ended.stderr);
    assert_eq!(exec(&world, &id, odd).code, 0);
    let refused = run(&world, &["run", "no\u{1b}]0;such\u{7}\u{202e}", "--", "true"]);
    let outputs = [
        run(&world, &["task", "logs", &id]),
        run(&world, &["task", "status", &id]),
        run(&world, &["task", "exec", &id, "--cwd", "no\u{1b}]0;such\u{7}", "--", "true"]),
        refused,
    ];
    for ended in &outputs {
        let text = shown(ended);
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\u{7f}']), "{text:?}");
        assert!(text.contains("\\x1b]0;"), "it is shown: {text:?}");
    }
    let json = run(&world, &["task", "logs", &id, "--json"]);
    assert!(!json.out().contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{7f}']), "{:?}", json.out());
    let command = json.json()["entries"][0]["command"].as_str().unwrap().to_owned();
    assert!(command.contains("\u{1b}]0;owned\u{7} \u{9b}31m \u{202e}txt \u{7f}"), "it is exact: {command:?}");
    // What a command writes is its own.
    let raw = exec(&world, &id, "printf '\\033[1m'");
    assert_eq!(raw.stdout, b"\x1b[1m");
    run(&world, &["task", "delete", &id]);
}

/// Everything below a directory, and itself.
fn walk(path: &Path, found: &mut Vec<PathBuf>) {
    found.push(path.to_owned());
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), found);
        }
    }
}

/// Asserts that nobody but the owner may do anything with what is there.
fn assert_private(path: &Path) {
    let mut found = Vec::new();
    walk(path, &mut found);
    for path in found {
        let mode = path.symlink_metadata().unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
}

#[test]
fn a_home_that_is_open_is_closed_and_nothing_in_it_is_for_others() {
    let world = World::empty();
    for directory in [world.data(), world.data().join("vms")] {
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let ran = run(&world, &["run", "debian:12", "--allow-host-compat", "--", "true"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_private(&world.data());
    std::fs::set_permissions(world.data(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let id = task(&world);
    exec(&world, &id, "umask 077; echo a > file");
    assert_private(&world.data());
    run(&world, &["task", "delete", &id]);
}

#[test]
fn a_home_of_somebody_else_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return pyro_testkit::skip("a_home_of_somebody_else_is_refused", "only root can give a directory away");
    }
    let world = World::empty();
    std::fs::create_dir_all(world.data()).unwrap();
    std::os::unix::fs::chown(world.data(), Some(12345), None).unwrap();
    for command in ["run", "task create"] {
        let words: Vec<&str> = command.split(' ').chain(["debian:12", "--allow-host-compat"]).collect();
        let words = if command == "run" { [words, vec!["--", "true"]].concat() } else { words };
        let words = words.as_slice();
        let refused = run(&world, words);
        assert!(refused.code != 0 && refused.stderr.contains("belongs to user 12345"), "{}", refused.stderr);
    }
    assert_eq!(std::fs::read_dir(world.data()).unwrap().count(), 0, "nothing was put into it");
}

/// Waits until nobody holds the writing end of a pipe that a command was given; says what came before.
fn until_closed(fifo: &Path) -> std::thread::JoinHandle<String> {
    let fifo = fifo.to_owned();
    std::thread::spawn(move || std::fs::read_to_string(fifo).unwrap())
}

fn fifo(world: &World) -> PathBuf {
    let path = world.base.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

#[test]
fn what_a_command_on_the_host_started_ends_with_it_whatever_it_calls_itself() {
    let world = World::empty();
    for words in [vec!["run", "debian:12", "--allow-host-compat"], vec!["task", "exec"]] {
        let fifo = fifo(&world);
        let held = until_closed(&fifo);
        let is_task = words[0] == "task";
        let id = if is_task { task(&world) } else { String::new() };
        let script =
            format!("exec 9> {}; (env -i setsid -f sleep 4713 &); env -i setsid sleep 4713 & exit 5", fifo.display());
        let mut all = words.clone();
        if is_task {
            all.push(&id);
        }
        all.extend(["--", "sh", "-c", &script]);
        assert_eq!(run(&world, &all).code, 5);
        // Its end is the end of the last one who held the pipe.
        held.join().unwrap();
        if is_task {
            run(&world, &["task", "delete", &id]);
        }
        std::fs::remove_file(fifo).unwrap();
    }
}

/// Each of these starts two of its kind, as fast as it can, until there are a few hundred.
const BUSY: &str = "n=$1; [ $n -gt 7 ] && exec sleep 4714; env -i setsid sh $0 $((n+1)) & env -i sh $0 $((n+1)) & wait";

#[test]
fn a_time_limit_ends_a_tree_that_grows() {
    let world = World::empty();
    let fifo = fifo(&world);
    let held = until_closed(&fifo);
    let script = world.base.path().join("busy");
    std::fs::write(&script, BUSY).unwrap();
    let id = task(&world);
    let text = format!("exec 9> {}; sh {} 1", fifo.display(), script.display());
    let ended = run(&world, &["task", "exec", &id, "--timeout-seconds", "1", "--", "sh", "-c", &text]);
    assert_eq!(ended.code, 124, "{}", ended.stderr);
    held.join().unwrap();
    run(&world, &["task", "delete", &id]);
}

#[test]
fn what_a_command_on_the_host_started_ends_with_pyro_itself() {
    let world = World::empty();
    let fifo = fifo(&world);
    let held = until_closed(&fifo);
    let script = format!("exec 9> {}; env -i setsid -f sleep 4715; echo up; sleep 4715", fifo.display());
    let mut command = pyro(&world);
    command.args(["run", "debian:12", "--allow-host-compat", "--timeout-seconds", "600", "--", "sh", "-c", &script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    child.kill().unwrap();
    child.wait().unwrap();
    held.join().unwrap();
}
