//! A hostile stand-in for QEMU, confined as QEMU is: what an attacker would try who owns the process.
//!
//! The stand-in is this very program, started again. What it tries is tried without confinement, too:
//! an attempt that fails by itself would show nothing.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use pyro_confinement::cgroup::Wish;
use pyro_confinement::{AllowedPaths, Bounds, Confined, Layer, Layers};

/// Its presence among the words makes this program the stand-in; the words after it are what it needs.
const STAND_IN: &str = "stand-in";

/// The same for the one who starts it.
const STARTER: &str = "starter";

/// What the stand-in tries, and whether it may when it is confined. Each is said as `NAME: yes` or
/// `NAME: no`.
const ATTEMPTS: [(&str, bool); 13] = [
    ("read what it was given", true),
    ("write to its own file", true),
    ("read a secret", false),
    ("see that a secret is there", false),
    ("list the root's home", false),
    ("write beside its files", false),
    ("write to what it may read", false),
    ("reach a service by TCP", false),
    ("reach a service by a path", false),
    ("reach a service by an abstract name", false),
    ("signal the one who started it", false),
    ("see the one who started it", false),
    ("start a shell", false),
];
/// Tried last, because it ends what it succeeds in.
const BECOME: &str = "become a shell";

/// Where everything is that the stand-in is after.
struct Outside {
    directory: tempfile::TempDir,
    tcp: TcpListener,
    _path: UnixListener,
    _name: UnixListener,
}

impl Outside {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        for (name, content) in [("secret", "s"), ("given", "g"), ("own", "")] {
            fs::write(base.join(name), content).unwrap();
        }
        let name = SocketAddr::from_abstract_name(base.as_os_str().as_encoded_bytes()).unwrap();
        Self {
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            _path: UnixListener::bind(base.join("socket")).unwrap(),
            _name: UnixListener::bind_addr(&name).unwrap(),
            directory,
        }
    }

    fn words(&self) -> Vec<String> {
        let port = self.tcp.local_addr().unwrap().port();
        let base = self.directory.path().canonicalize().unwrap();
        let parent = std::process::id();
        vec![STAND_IN.into(), base.to_str().unwrap().into(), port.to_string(), parent.to_string()]
    }

    fn allowed(&self) -> AllowedPaths {
        let base = self.directory.path().canonicalize().unwrap();
        AllowedPaths { readable: vec![base.join("given")], writable: vec![base.join("own")], devices: Vec::new() }
    }
}

fn bounds() -> Bounds {
    Bounds { address_space: 8 << 30, file: 1 << 20, descriptors: 64 }
}

/// Words that make the test harness run the stand-in and nothing else.
fn words(outside: &Outside) -> Vec<String> {
    let harness = ["--exact", "the_stand_in", "--nocapture", "--test-threads=1"].map(String::from);
    harness.into_iter().chain(outside.words()).collect()
}

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

struct Confinement {
    said: String,
    layers: Vec<&'static str>,
    missing: Vec<String>,
}

async fn confined(outside: &Outside, layers: Layers) -> Confinement {
    let program = std::env::current_exe().unwrap().canonicalize().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let descriptors = vec![null(), null(), writer.into()];
    let words = words(outside);
    let confined =
        Confined { program, words, descriptors, allowed: outside.allowed(), bounds: bounds(), cgroup: None, layers };
    let mut process = confined.start().unwrap();
    drop(confined);
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    process.wait().await.unwrap();
    let missing = process.missing().iter().map(|missing| format!("{:?}: {}", missing.layer, missing.why)).collect();
    Confinement { said, layers: process.layers().to_vec(), missing }
}

fn answers(said: &str) -> Vec<(&str, bool)> {
    let lines = said.lines().filter_map(|line| line.split_once(": "));
    lines.filter_map(|(name, answer)| Some((name, ["no", "yes"].iter().position(|one| *one == answer)? == 1))).collect()
}

#[tokio::test]
async fn who_owns_the_process_has_its_own_files_and_nothing_else() {
    let outside = Outside::new();
    let found = confined(&outside, Layers::All).await;
    if !found.missing.is_empty() {
        return skip("who_owns_the_process_has_its_own_files_and_nothing_else", &found.missing.join("; "));
    }
    let wanted: Vec<(&str, bool)> = ATTEMPTS.into_iter().chain([(BECOME, false)]).collect();
    assert_eq!(answers(&found.said), wanted, "{}", found.said);
    let layers = ["seccomp", "landlock", "mountns", "userns", "pidns", "ipcns", "utsns", "netns", "rlimits"];
    assert_eq!(found.layers, layers);
    assert!(!outside.directory.path().join("evil").exists());
}

#[tokio::test]
async fn without_the_walls_around_files_there_is_still_no_other_process_and_no_socket() {
    let outside = Outside::new();
    let found = confined(&outside, Layers::WithoutFiles).await;
    let answers = answers(&found.said);
    for attempt in ["reach a service by TCP", "reach a service by a path", "start a shell"] {
        assert!(answers.contains(&(attempt, false)), "{}", found.said);
    }
    assert!(answers.contains(&("read a secret", true)), "{}", found.said);
    assert!(found.layers.contains(&"seccomp") && !found.layers.contains(&"landlock"), "{:?}", found.layers);
    assert!(found.missing.iter().any(|missing| missing.starts_with("Root: ")), "{:?}", found.missing);
}

#[tokio::test]
async fn a_control_group_bounds_its_program_and_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let note = directory.path().join("note");
    let wish = Wish { name: "escape-test".into(), memory: 64 << 20, processes: 16, note: note.clone() };
    let (mut said, writer) = std::io::pipe().unwrap();
    let (reader, go_on) = std::io::pipe().unwrap();
    let confined = Confined {
        program: Path::new("/bin/cat").canonicalize().unwrap(),
        words: Vec::new(),
        descriptors: vec![reader.into(), writer.into(), null()],
        allowed: AllowedPaths::default(),
        bounds: bounds(),
        cgroup: Some(wish),
        layers: Layers::All,
    };
    let mut process = confined.start().unwrap();
    if let Some(missing) = process.missing().iter().find(|missing| missing.layer == Layer::Cgroup) {
        return skip("a_control_group_bounds_its_program_and_goes_with_it", &missing.why);
    }
    assert!(process.layers().contains(&"cgroup"));
    let group = fs::read_to_string(&note).unwrap();
    let read = |name: &str| fs::read_to_string(Path::new(&group).join(name)).unwrap();
    assert_eq!((read("memory.max").trim(), read("pids.max").trim()), ("67108864", "16"));
    assert_eq!(read("cgroup.procs").trim(), process.id().to_string());
    drop((confined, go_on));
    process.wait().await.unwrap();
    drop(process);
    said.read_to_end(&mut Vec::new()).unwrap();
    assert!(!Path::new(&group).exists() && !note.exists());
}

/// A host that allows no user namespaces is made of one that does: in a namespace whose limit is none.
#[test]
fn a_host_without_namespaces_leaves_the_other_walls() {
    const NONE: &str = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" \"$@\"";
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", NONE]).arg(program);
    let output = command.args(["--exact", "the_starter", "--nocapture", STARTER]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    if !output.status.success() {
        return skip("a_host_without_namespaces_leaves_the_other_walls", &said);
    }
    let layers = said.lines().find_map(|line| line.strip_prefix("layers ")).unwrap();
    assert_eq!(layers, "seccomp landlock rlimits", "{said}");
    // Names are seen, and nothing behind them is reached.
    let seen = ["see that a secret is there", "see the one who started it"];
    let wanted = ATTEMPTS.map(|(name, may)| (name, may || seen.contains(&name)));
    assert_eq!(answers(&said), wanted.into_iter().chain([(BECOME, false)]).collect::<Vec<_>>(), "{said}");
}

/// Nothing, unless this program was started to start the stand-in.
#[tokio::test]
async fn the_starter() {
    if std::env::args().any(|word| word == STARTER) {
        let found = confined(&Outside::new(), Layers::All).await;
        let said = format!("layers {}\n{}", found.layers.join(" "), found.said);
        std::io::stderr().write_all(said.as_bytes()).unwrap();
        std::process::exit(0);
    }
}

#[test]
fn unconfined_every_attempt_succeeds() {
    let outside = Outside::new();
    let output = Command::new(std::env::current_exe().unwrap()).args(words(&outside)).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let wanted: Vec<(&str, bool)> =
        ATTEMPTS.into_iter().chain([(BECOME, false)]).map(|(name, _)| (name, true)).collect();
    assert_eq!(answers(&said), wanted, "{said}");
}

/// Nothing, unless this program was started as the stand-in.
#[test]
fn the_stand_in() {
    let words: Vec<String> = std::env::args().collect();
    let Some(at) = words.iter().position(|word| word == STAND_IN) else { return };
    let (base, port, starter) = (Path::new(&words[at + 1]), &words[at + 2], &words[at + 3]);
    let name = SocketAddr::from_abstract_name(base.as_os_str().as_encoded_bytes()).unwrap();
    let starter_id = rustix::process::Pid::from_raw(starter.parse().unwrap()).unwrap();
    let outcomes = [
        fs::read(base.join("given")).is_ok(),
        File::options().write(true).open(base.join("own")).and_then(|mut file| file.write_all(b"x")).is_ok(),
        fs::read(base.join("secret")).is_ok(),
        base.join("secret").exists(),
        fs::read_dir("/home").is_ok(),
        fs::write(base.join("evil"), "x").is_ok(),
        File::options().append(true).open(base.join("given")).is_ok(),
        TcpStream::connect(format!("127.0.0.1:{port}")).is_ok(),
        UnixStream::connect(base.join("socket")).is_ok(),
        UnixStream::connect_addr(&name).is_ok(),
        rustix::process::test_kill_process(starter_id).is_ok(),
        Path::new("/proc").join(starter).join("status").exists(),
        Command::new("/bin/sh").args(["-c", "true"]).status().is_ok(),
    ];
    for ((attempt, _), outcome) in ATTEMPTS.into_iter().zip(outcomes) {
        say(attempt, outcome);
    }
    use std::os::unix::process::CommandExt;
    let _ = Command::new("/bin/sh").args(["-c", &format!("echo '{BECOME}: yes' >&2")]).exec();
    say(BECOME, false);
    std::process::exit(0);
}

fn say(attempt: &str, outcome: bool) {
    let line = format!("{attempt}: {}\n", if outcome { "yes" } else { "no" });
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

fn skip(test: &str, why: &str) {
    pyro_testkit::skip(test, why);
}
