//! The command line with real guests, the way a user types it.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod world;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use world::{Ended, World};

#[test]
fn output_and_exit_code_are_passed_through_byte_for_byte() {
    let Some(world) = World::with_guests("output_and_exit_code_are_passed_through") else { return };
    let ended = world.run(&["run", "debian:12", "--", "sh", "-c", r#"printf "\377\000x"; echo err >&2; exit 7"#]);
    assert_eq!((ended.stdout.as_slice(), ended.code), (&b"\xff\0x"[..], 7));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines[0], "[run] phase=create environment=debian:12");
    assert!(lines[1].starts_with("[run] phase=start vm_id=") && lines[2].starts_with("[run] phase=execute vm_id="));
    assert_eq!(lines[3], "err");
    assert!(lines[4].starts_with("[run] environment=debian:12 execution_mode=guest_agent exit_code=7 duration_ms="));
    assert_eq!(world.machines(), [] as [&str; 0]);
}

#[test]
fn a_hundred_mebibytes_of_stdin_come_back_unchanged() {
    let Some(world) = World::with_guests("a_hundred_mebibytes_of_stdin") else { return };
    let mut input = vec![0; 100 << 20];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut input).unwrap();
    let ended = world.run_with_input(&["run", "--timeout-seconds", "300", "debian:12", "--", "cat"], input.clone());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout == input, "{} bytes came back", ended.stdout.len());
}

#[test]
fn flags_stand_before_or_after_and_words_keep_their_boundaries() {
    let Some(world) = World::with_guests("flags_stand_before_or_after") else { return };
    let ended =
        world.run(&["run", "--json", "debian:12", "--timeout-seconds", "20", "--", "sh", "-lc", r#"echo "a  b""#]);
    let record = ended.json();
    assert_eq!((record["stdout"].as_str(), record["exit_code"].as_i64()), (Some("a  b\n"), Some(0)));
    assert_eq!(record["command"], r#"sh -lc 'echo "a  b"'"#);
    assert_eq!((record["start_mode"].as_str(), record["timed_out"].as_bool()), (Some("template"), Some(false)));
    assert_eq!(record["isolation"]["layers"][0], "seccomp");
    assert_eq!(record["isolation"]["boundary"], record["accelerator"]);
    assert!(ended.out().starts_with("{\n  \"accelerator\""), "keys are sorted, two spaces");
    let missing = world.run(&["run", "debian:12", "--", "no-such-program", "x"]);
    assert_eq!(missing.code, 127);
    assert!(missing.stderr.contains("no-such-program: not found"), "{}", missing.stderr);
}

/// What the kernel says of a machine's process while its guest runs: the layers that the result names
/// are really there.
#[test]
fn the_process_of_a_machine_is_behind_the_walls_it_is_said_to_be_behind() {
    let Some(world) = World::with_guests("the_process_of_a_machine_is_behind_its_walls") else { return };
    let record = world.run(&["run", "--json", "debian:12", "--", "true"]).json();
    let layers = record["isolation"]["layers"].as_array().unwrap();
    let wanted = ["seccomp", "landlock", "mountns", "userns", "pidns", "ipcns", "utsns", "netns", "rlimits"];
    if let Some(missing) = wanted.iter().find(|wanted| !layers.contains(&(**wanted).into())) {
        return pyro_testkit::skip("the_process_of_a_machine_is_behind_its_walls", &format!("no {missing} here"));
    }
    let mut run = long_run(&world);
    let directory = fs::read_dir(world.data().join("vms")).unwrap().flatten().find(|entry| entry.path().is_dir());
    let id = directory.unwrap().file_name().into_string().unwrap();
    let qemu = processes_of(&id)[0];
    let status = fs::read_to_string(format!("/proc/{qemu}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').split_whitespace().map(str::to_owned).collect::<Vec<String>>()
    };
    assert_eq!((field("NoNewPrivs"), field("Seccomp")), (vec!["1".into()], vec!["2".into()]));
    assert_eq!(field("Seccomp_filters"), ["2"], "ours and its own");
    assert_eq!(field("CapEff"), ["0000000000000000"]);
    assert_eq!(field("NSpid").last().unwrap(), "1", "it is alone in its namespace");
    for namespace in ["user", "mnt", "pid", "ipc", "uts", "net"] {
        let link = |process: &str| fs::read_link(format!("/proc/{process}/ns/{namespace}")).unwrap();
        assert_ne!(link(&qemu.to_string()), link("self"), "{namespace}");
    }
    let root = fs::read_dir(format!("/proc/{qemu}/root/")).unwrap();
    let mut names: Vec<String> = root.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| ["home", "proc", "sys", "run", "bin", "sbin", "boot"].contains(&name.as_str()));
    assert_eq!(names, Vec::<String>::new());
    let own = format!("/proc/{qemu}/root{}", world.data().join("vms").join(&id).canonicalize().unwrap().display());
    let mut files: Vec<String> =
        fs::read_dir(own).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["console.log", "disk.qcow2"], "of its directory, what it writes to and no more");
    run.kill().unwrap();
    run.wait().unwrap();
}

/// The tests of the confinement, inside a guest: its kernel is another one, and has control groups to
/// delegate. A command sees the hierarchy read-only. Its own group, the root of its control group namespace,
/// is its to divide.
#[test]
fn the_walls_hold_on_another_kernel_and_with_a_control_group() {
    let test = "the_walls_hold_on_another_kernel_and_with_a_control_group";
    let Some(world) = World::with_guests(test) else { return };
    let Some(program) = std::env::var_os("PYRO_ESCAPE_TEST") else {
        return pyro_testkit::skip(test, "PYRO_ESCAPE_TEST names no program; `make check` does");
    };
    let script =
        "set -e; umount /sys/fs/cgroup; mount -t cgroup2 own /sys/fs/cgroup; cd /sys/fs/cgroup; mkdir tests; echo $$ > tests/cgroup.procs
        echo '+cpu +memory +pids' > cgroup.subtree_control; cd /tmp
        cat > t; chmod 755 t; ./t --nocapture --test-threads=1";
    let words = ["run", "debian:12", "--timeout-seconds", "300", "--", "sh", "-c", script];
    let ended = world.run_with_input(&words, fs::read(program).unwrap());
    assert_eq!(ended.code, 0, "{}{}", ended.out(), ended.stderr);
    assert!(ended.out().contains("a_control_group_bounds_its_program_and_goes_with_it"), "{}", ended.out());
    assert!(!ended.stderr.contains("SKIPPED"), "{}", ended.stderr);
}

/// A wrapper around QEMU cannot be started in a root that has QEMU's own files alone.
#[test]
fn a_qemu_in_an_unusual_place_runs_with_fewer_walls_and_that_is_said() {
    let Some(world) = World::with_own_guests("a_qemu_in_an_unusual_place_runs_with_fewer_walls") else { return };
    let wrapper = world.base.path().join("wrapper");
    fs::write(&wrapper, "#!/bin/sh\nexec qemu-system-x86_64 \"$@\"\n").unwrap();
    fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let run =
        |words: &[&str]| Ended::from(world.pyro().env("PYRO_QEMU", &wrapper).args(words).output().unwrap()).json();
    let report = run(&["doctor", "--json"]);
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "confinement").unwrap();
    assert_eq!((check["status"].as_str(), report["runtime_ok"].as_bool()), (Some("warn"), Some(true)), "{check}");
    let record = run(&["run", "--json", "debian:12", "--", "echo", "yes"]);
    assert_eq!(record["stdout"], "yes\n");
    let layers = record["isolation"]["layers"].as_array().unwrap();
    assert!(layers.contains(&"seccomp".into()) && !layers.contains(&"mountns".into()), "{layers:?}");
}

#[test]
fn a_timed_out_command_keeps_its_output() {
    let Some(world) = World::with_guests("a_timed_out_command_keeps_its_output") else { return };
    let began = Instant::now();
    let script = "echo a; (sleep 600 &) ; sleep 600";
    let ended = world.run(&["run", "debian:12", "--timeout-seconds", "2", "--", "sh", "-c", script]);
    assert_eq!((ended.out().as_str(), ended.code), ("a\n", 124));
    assert!(began.elapsed() >= Duration::from_secs(2));
}

#[test]
fn two_runs_are_two_machines() {
    let Some(world) = World::with_guests("two_runs_are_two_machines") else { return };
    let script = "hostname; cat /etc/machine-id /proc/sys/kernel/random/boot_id; od -An -N16 -tx8 /dev/urandom; \
                  ls -A /workspace; touch /workspace/mine; date +%s";
    let (mut seen, mut times) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let before = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let ended = world.run(&["run", "debian:12", "--", "sh", "-c", script]);
        let after = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let out = ended.out();
        let lines: Vec<String> = out.lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 5, "four lines of identity, the clock, and no file: {out}");
        let now: u64 = lines[4].parse().unwrap();
        assert!((before..=after).contains(&now), "the guest's clock is right: {before} {now} {after}");
        times.push(now);
        seen.push(lines[..4].to_vec());
    }
    for (one, other) in seen[0].iter().zip(&seen[1]) {
        assert_ne!(one, other);
    }
}

#[test]
fn another_size_gets_a_machine_of_that_size() {
    let Some(world) = World::with_guests("another_size_gets_a_machine_of_that_size") else { return };
    let words = [
        "run",
        "debian:12",
        "--vcpu-count",
        "2",
        "--mem-mib",
        "256",
        "--",
        "sh",
        "-c",
        "nproc; awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo",
    ];
    let ended = world.run(&words);
    let out = ended.out();
    let (processors, memory) = out.trim().split_once('\n').unwrap_or_else(|| panic!("{out} {}", ended.stderr));
    assert_eq!(processors, "2");
    let memory: u32 = memory.parse().unwrap();
    assert!((150..=256).contains(&memory), "{memory}");
}

/// Starts a run that prints `up` and goes on.
fn long_run(world: &World) -> std::process::Child {
    let mut command = world.pyro();
    command.args(["run", "debian:12", "--timeout-seconds", "600", "--", "sh", "-c", "echo up; sleep 600"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    child
}

/// Processes of the host whose command line names this machine.
fn processes_of(vm_id: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&format!("pyro-{vm_id}")) {
            found.push(pid);
        }
    }
    found
}

#[test]
fn a_killed_run_leaves_no_machine_and_the_next_command_removes_its_directory() {
    let Some(world) = World::with_guests("a_killed_run_leaves_no_machine") else { return };
    let mut child = long_run(&world);
    let machines = world.machines();
    assert_eq!((machines.len(), processes_of(&machines[0]).len()), (1, 1));
    child.kill().unwrap();
    child.wait().unwrap();
    // The kernel kills the machine when its parent is gone; its end is awaited, not timed.
    let timeout = Instant::now() + Duration::from_secs(20);
    while !processes_of(&machines[0]).is_empty() {
        assert!(Instant::now() < timeout, "QEMU outlives its parent");
        std::thread::yield_now();
    }
    assert_eq!(world.machines(), machines, "nobody was there to remove it");
    world.run(&["env", "list"]);
    assert_eq!(world.machines(), [] as [&str; 0], "any command removes it");
}

#[test]
fn an_interrupted_run_ends_the_command_and_cleans_up() {
    let Some(world) = World::with_guests("an_interrupted_run_ends_the_command") else { return };
    let child = long_run(&world);
    let machine = world.machines().remove(0);
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&output.stderr).contains("[run] interrupted"));
    assert_eq!((world.machines().len(), processes_of(&machine).len()), (0, 0));
}

#[test]
fn a_reader_that_goes_away_ends_the_run() {
    let Some(world) = World::with_guests("a_reader_that_goes_away_ends_the_run") else { return };
    let mut command = world.pyro();
    command
        .args(["run", "debian:12", "--timeout-seconds", "600", "--", "yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut some = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    assert_eq!(&some, b"y\ny\n");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(141));
    assert_eq!(world.machines(), [] as [&str; 0]);
}

#[test]
fn a_template_damaged_on_disk_is_said_and_made_again() {
    let Some(world) = World::with_own_guests("a_template_damaged_on_disk") else { return };
    let templates = world.cache().join("debian_12-1.0.0/templates");
    for entry in std::fs::read_dir(&templates).unwrap().flatten() {
        let state = entry.path().join("state");
        if let Ok(mut bytes) = std::fs::read(&state) {
            bytes[5000] ^= 0xff;
            // Its own file, not the shared one that it is a link to.
            std::fs::remove_file(&state).unwrap();
            std::fs::write(&state, bytes).unwrap();
        }
    }
    let ended = world.run(&["run", "debian:12", "--", "echo", "fine"]);
    assert_eq!((ended.out().as_str(), ended.code), ("fine\n", 0), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("notice: the template was unusable; making it again: state has changed since it was saved"),
        "{}",
        ended.stderr
    );
    let again = world.run(&["run", "debian:12", "--json", "--", "true"]).json();
    assert_eq!(again["start_mode"], "template");
}

#[test]
fn a_damaged_disk_is_seen_by_doctor_and_inspect() {
    let Some(world) = World::with_own_guests("a_damaged_disk_is_seen") else { return };
    let kernel = world.cache().join("debian_12-1.0.0/vmlinux");
    std::fs::remove_file(&kernel).unwrap();
    std::fs::write(&kernel, "not a kernel").unwrap();
    let inspected = world.run(&["env", "inspect", "debian:12"]).out();
    assert!(
        inspected.contains("Installed: no\n") && inspected.contains("Problem: environment debian:12 is damaged"),
        "{inspected}"
    );
    let doctor = world.run(&["doctor"]).out();
    assert!(doctor.contains("[warn] environments: debian:12: vmlinux has changed since it was installed"), "{doctor}");
}

#[test]
fn pulling_what_is_installed_is_quick_and_says_so() {
    let Some(world) = World::with_guests("pulling_what_is_installed") else { return };
    let ended = world.run(&["env", "pull", "debian:12"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("[pull] phase=install environment=debian:12\n"), "{}", ended.stderr);
    assert!(ended.stderr.ends_with("[pull] phase=ready environment=debian:12\n"), "{}", ended.stderr);
    assert!(ended.out().starts_with("Pulled: debian:12\nEnvironment: debian:12\n"), "{}", ended.out());
    let manifest = world.cache().join("debian_12-1.0.0/environment.json");
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert!(manifest["packages"].as_array().unwrap().iter().any(|package| package["name"] == "git"));
    assert!(manifest["kernel"]["release"].as_str().unwrap().contains("cloud"));
}

#[test]
fn the_demo_prints_the_payload() {
    let Some(world) = World::with_guests("the_demo_prints_the_payload") else { return };
    let record = world.run(&["demo"]).json();
    assert!(record["stdout"].as_str().unwrap().starts_with("git version 2."), "{record}");
    assert_eq!(record["cleanup"]["reason"], "post_exec_cleanup");
}

#[test]
fn the_exit_code_is_the_commands_whatever_becomes_of_stderr() {
    let Some(world) = World::with_guests("the_exit_code_is_the_commands_whatever_becomes_of_stderr") else { return };
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let words = ["run", "debian:12", "--", "sh", "-c", "echo out; echo err >&2; exit 7"];
    let unsaid = world.pyro().args(words).stderr(full()).output().unwrap();
    assert_eq!((unsaid.status.code(), unsaid.stdout.as_slice()), (Some(7), b"out\n".as_slice()));
    let unwritten = world.pyro().args(words).stdout(full()).output().unwrap();
    let said = String::from_utf8_lossy(&unwritten.stderr);
    assert_eq!(unwritten.status.code(), Some(125), "{said}");
    assert!(said.contains("[error] the output could not be written"), "{said}");
}

/// Every environment that is installed here has what the catalog says, and the default one lacks what it
/// says that it lacks.
#[test]
fn environments_have_what_the_catalog_promises() {
    let Some(world) = World::with_guests("environments_have_what_the_catalog_promises") else { return };
    let list = world.run(&["env", "list", "--json"]).json();
    let installed = |environment: &&serde_json::Value| environment["installed"] == true;
    let mut seen = 0;
    for environment in list["environments"].as_array().unwrap().iter().filter(installed) {
        let name = environment["name"].as_str().unwrap();
        for package in environment["default_packages"].as_array().unwrap() {
            let package = package.as_str().unwrap();
            let script = format!("dpkg -s {package} >&2 && command -v {package}");
            let found = world.run(&["run", name, "--", "sh", "-c", &script]);
            assert_eq!(found.code, 0, "{name} lacks {package}: {}", found.stderr);
        }
        if name == "debian:12" {
            let script = "for it in bash git perl awk sed grep tar; do command -v $it || exit 1; done; ! command -v python3 && ! command -v curl";
            let found = world.run(&["run", name, "--", "sh", "-c", script]);
            assert_eq!((found.code, found.out().lines().count()), (0, 7), "{}{}", found.out(), found.stderr);
        }
        seen += 1;
    }
    assert!(seen > 0);
}

/// What QEMU and the supervisor write while a guest runs, too.
#[test]
fn nothing_of_a_running_guest_is_for_others() {
    use std::os::unix::fs::MetadataExt;
    let Some(world) = World::with_guests("nothing_of_a_running_guest_is_for_others") else { return };
    let made = world.run(&["task", "create", "debian:12", "--json"]).json();
    let id = made["task_id"].as_str().unwrap();
    assert_eq!(world.run(&["task", "exec", id, "--", "sh", "-c", "echo a > file; sync"]).code, 0);
    let (mut left, mut seen) = (vec![world.data()], Vec::new());
    while let Some(path) = left.pop() {
        let metadata = path.symlink_metadata().unwrap();
        assert_eq!(metadata.mode() & 0o077, 0, "{} has mode {:o}", path.display(), metadata.mode());
        if metadata.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        seen.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    for file in ["console.log", "disk.qcow2", "journal.log", "record.json", "socket", "registry.sqlite"] {
        assert!(seen.iter().any(|name| name == file), "{file} is not among {seen:?}");
    }
    world.run(&["task", "delete", id]);
}
