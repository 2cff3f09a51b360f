//! Commands that take all processes or all memory, and processes that leave their command's control
//! group, in real guests.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod world;

use std::io::{BufRead, BufReader};
use std::process::{ChildStdin, Stdio};

use serde_json::Value;
use world::{Ended, World};

fn create(world: &World, mem_mib: &str) -> String {
    let ended = world.run(&["task", "create", "debian:12", "--mem-mib", mem_mib, "--json"]);
    ended.json()["task_id"].as_str().unwrap_or_else(|| panic!("{}", ended.stderr)).to_owned()
}

fn bash(world: &World, id: &str, seconds: &str, script: &str) -> Value {
    world.run(&["task", "exec", id, "--json", "--timeout-seconds", seconds, "--", "bash", "-c", script]).json()
}

/// A command that runs until its input ends.
struct Bystander {
    child: std::process::Child,
    stdin: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Bystander {
    fn start(world: &World, id: &str) -> Self {
        let mut command = world.pyro();
        command.args(["task", "exec", id, "--timeout-seconds", "600", "--", "sh", "-c", "echo on; cat; exit 7"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "on\n");
        Self { child, stdin, output }
    }

    /// Ends its input, and returns what it said and its exit code.
    fn finish(mut self) -> (String, i32) {
        use std::io::{Read, Write};
        self.stdin.write_all(b"off\n").unwrap();
        drop(self.stdin);
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (rest, Ended::from(self.child.wait_with_output().unwrap()).code)
    }
}

/// What bombs do in a guest of this size, and what they must not do to others.
fn bombs(test: &str, mem_mib: &str) {
    let Some(world) = World::with_guests(test) else { return };
    let id = create(&world, mem_mib);
    let bystander = Bystander::start(&world, &id);
    let timed = bash(&world, &id, "10", ":(){ :|:& }; : 2>/dev/null; exec sleep 1000");
    assert_eq!((timed["exit_code"].as_i64(), timed["timed_out"].as_bool()), (Some(124), Some(true)), "{timed}");
    let hungry = bash(&world, &id, "300", "exec perl -e 'while (1) { fork; $eaten .= \"x\" x 1e6 }'");
    let outcome = (hungry["exit_code"].as_i64(), hungry["out_of_memory"].as_bool(), hungry["timed_out"].as_bool());
    assert_eq!(outcome, (Some(137), Some(true), Some(false)), "{hungry}");
    assert_eq!(bystander.finish(), ("off\n".into(), 7), "the other command has its own outcome");
    // Its first process ends at once, so what it left behind lives on: beside it the task can be used.
    let left = bash(&world, &id, "60", "exec 2>/dev/null; :(){ :|:& }; :");
    assert_eq!(left["exit_code"], 0, "{left}");
    let alive = bash(&world, &id, "120", "echo alive");
    assert_eq!((alive["stdout"].as_str(), alive["exit_code"].as_i64()), (Some("alive\n"), Some(0)), "{alive}");
    let status = world.run(&["task", "status", &id, "--json"]).json();
    assert_eq!((status["state"].as_str(), status["last_error"].clone()), (Some("started"), Value::Null), "{status}");
    assert_eq!(world.run(&["task", "delete", &id]).code, 0);
}

#[test]
fn bombs_in_512_mebibytes_end_with_their_command() {
    bombs("bombs_in_512_mebibytes", "512");
}

#[test]
fn bombs_in_1024_mebibytes_end_with_their_command() {
    bombs("bombs_in_1024_mebibytes", "1024");
}

#[test]
fn bombs_in_2048_mebibytes_end_with_their_command() {
    bombs("bombs_in_2048_mebibytes", "2048");
}

/// Ways out of a control group that root in a guest may think of. `$1` is the process that is to leave.
const LEAVE: [(&str, &str); 4] = [
    ("the mounted hierarchy", "echo $1 > /sys/fs/cgroup/cgroup.procs"),
    (
        "the hierarchy mounted again",
        "mkdir -p /mnt/h; mount -t cgroup2 none /mnt/h; echo $1 > /mnt/h/cgroup.procs; \
         echo $1 > /mnt/h/../h/pyro/cgroup.procs; umount /mnt/h",
    ),
    (
        "the hierarchy made writable, from the agent's namespace",
        "mount -o remount,bind,rw /sys/fs/cgroup; mkdir -p /sys/fs/cgroup/elsewhere; \
         nsenter --target 1 --cgroup sh -c 'echo $1 > /sys/fs/cgroup/elsewhere/cgroup.procs' sh $1",
    ),
    (
        "the agent's descriptors and namespace",
        "nsenter --target 1 --cgroup sh -c 'for file in /proc/1/fd/*; do \
         case $(readlink $file) in */cgroup.procs) echo $1 > $file; cat /proc/$1/cgroup;; esac; done' sh $1",
    ),
];

#[test]
fn a_process_that_leaves_its_control_group_ends_with_its_command() {
    let Some(world) = World::with_guests("a_process_that_leaves_its_control_group") else { return };
    let id = create(&world, "1024");
    let bystander = Bystander::start(&world, &id);
    for (number, (way, leave)) in LEAVE.iter().enumerate() {
        let seconds = 5000 + number;
        let script = format!(
            "leave() {{ {leave}; }}; setsid sleep {seconds} >/dev/null 2>&1 & leave $! >/dev/null 2>&1; \
             cat /proc/$!/cgroup; exec sleep 6000"
        );
        let timed = bash(&world, &id, "4", &script);
        assert_eq!((timed["exit_code"].as_i64(), timed["timed_out"].as_bool()), (Some(124), Some(true)), "{timed}");
        println!("{way}: {}", timed["stdout"]);
        let left = bash(&world, &id, "60", &format!("pgrep -f -x -c 'sleep {seconds}'"));
        assert_eq!(left["stdout"], "0\n", "{way}: {timed}");
    }
    assert_eq!(bystander.finish(), ("off\n".into(), 7), "the other command has its own outcome");
    assert_eq!(world.run(&["task", "delete", &id]).code, 0);
}
