//! The processes of commands on the host: found by a mark in their environment, and ended.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

use crate::id::VmId;

/// The entry of their environment that says whose they are.
pub const MARK: &str = "PYRO_HOST_COMPAT";
/// How long to wait for the end of what was killed: all but what hangs in the kernel is gone at once.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Room for an environment, as nearly all are.
const ENVIRONMENT_BYTES: usize = 128 * 1024;

/// [`end_all`], off the event loop.
pub async fn end_marked(id: &VmId) {
    let id = id.clone();
    let _ = tokio::task::spawn_blocking(move || end_all(&id)).await;
}

/// Kills every process that carries the mark, and waits until a listing shows none but strangers.
/// A child has a higher number than its parent and the listing ascends, so one that is born
/// meanwhile is in this listing or in the next.
pub fn end_all(id: &VmId) {
    let mark = format!("{MARK}={id}");
    let began = Instant::now();
    let mut strangers = HashSet::new();
    while began.elapsed() < END_TIMEOUT {
        let Ok(entries) = fs::read_dir("/proc") else { return };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let unknown: Vec<i32> = pids.filter(|pid| !strangers.contains(pid)).collect();
        if unknown.is_empty() {
            return;
        }
        for pid in unknown {
            match carries(pid, mark.as_bytes()) {
                Some(true) => kill(pid),
                Some(false) => drop(strangers.insert(pid)),
                None => {}
            }
        }
        std::thread::yield_now();
    }
}

fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // One that is gone already is what is wanted.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Whether the mark is in a process's environment; `None` while it becomes another program, and the
/// kernel has not told where the environment of the new one lies.
fn carries(pid: i32, mark: &[u8]) -> Option<bool> {
    let Ok(environment) = environment_of(pid) else { return Some(false) };
    if !environment.is_empty() {
        return Some(environment.split(|byte| *byte == 0).any(|entry| entry == mark));
    }
    // Empty, as many are; or read from memory that was let go a moment ago.
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return Some(false) };
    shows_no_environment(&stat).then_some(false)
}

/// Whether a process has no environment, by its `/proc/PID/stat` (fields as in proc_pid_stat(5)): it
/// is at its end, or has no memory, or its environment is a place of no length. The place is set
/// before the length (create_elf_tables in Linux's fs/binfmt_elf.c), and where its code begins after
/// both, so without that nothing is known.
fn shows_no_environment(stat: &str) -> bool {
    let (_, after_name) = stat.rsplit_once(')').unwrap_or_default();
    let field = |number: usize| after_name.split_ascii_whitespace().nth(number - 3).unwrap_or("0");
    let (state, memory, code) = (field(3), field(23), field(26));
    matches!(state, "0" | "Z" | "X") || memory == "0" || (code != "0" && field(50) == field(51))
}

/// The environment of a process. Only what one system call reads belongs together: between two, the
/// memory that is read may go, and what is left then looks like the end of it.
fn environment_of(pid: i32) -> std::io::Result<Vec<u8>> {
    let mut file = fs::File::open(format!("/proc/{pid}/environ"))?;
    let mut environment = vec![0; ENVIRONMENT_BYTES];
    let mut length = file.read(&mut environment)?;
    while length == environment.len() {
        environment.resize(2 * length, 0);
        match file.read(&mut environment[length..])? {
            0 => return Ok(Vec::new()),
            more => length += more,
        }
    }
    environment.truncate(length);
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command as StdCommand, Stdio};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    #[test]
    fn an_environment_is_empty_only_where_its_place_is_known() {
        let stat = |state: &str, memory: u64, code: u64, environment: [u64; 2]| {
            let [begin, end] = environment;
            let (before, between) = (["1"; 19].join(" "), ["2"; 23].join(" "));
            format!("7 (a) b) {state} {before} {memory} 5 6 {code} {between} {begin} {end} 0\n")
        };
        assert!(shows_no_environment(&stat("S", 4096, 7, [9, 9])), "started with none");
        assert!(shows_no_environment(&stat("R", 0, 0, [0, 0])), "a thread of the kernel");
        assert!(shows_no_environment(&stat("Z", 4096, 0, [0, 0])), "ended");
        assert!(!shows_no_environment(&stat("R", 4096, 0, [0, 0])), "becoming another program");
        assert!(!shows_no_environment(&stat("R", 4096, 0, [9, 9])), "its length not known yet");
        assert!(!shows_no_environment(&stat("R", 4096, 7, [9, 12])), "became one after the look");
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        assert!(!shows_no_environment(&own), "this test has an environment");
        assert_eq!(carries(rustix::process::getpid().as_raw_nonzero().get(), b"HOME=/none"), Some(false));
    }

    #[test]
    fn those_that_become_another_program_all_the_time_are_ended() {
        // One process starts all of them: each fork of this one holds the locks of other tests for
        // a moment.
        const START: &str =
            "while read id; do PYRO_HOST_COMPAT=$id /bin/sh -c 'echo; exec /bin/sh \"$0\"' \"$0\" & done";
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("again");
        fs::write(&script, "exec /bin/sh \"$0\"\n").unwrap();
        let mut command = StdCommand::new("/bin/sh");
        command.args(["-c", START]).arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // Open as long as one of them is there.
        let mut open = child.stdout.take().unwrap();
        let ids: Vec<VmId> = (0..300).map(|_| VmId::random().unwrap()).collect();
        for id in &ids {
            input.write_all(format!("{id}\n").as_bytes()).unwrap();
            open.read_exact(&mut [0]).unwrap();
            end_all(id);
        }
        drop(input);
        child.wait().unwrap();
        let timeout = Timespec { tv_sec: 10, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&open, PollFlags::IN)], Some(&timeout)).unwrap();
        ids.iter().for_each(end_all);
        assert_eq!(ended, 1, "some of them were left");
    }
}
