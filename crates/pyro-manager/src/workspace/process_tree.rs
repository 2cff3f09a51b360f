//! Ending all that is below a process, however fast it grows.
//!
//! Everything is stopped first, and only when a look finds nothing that is not, everything is killed: what is
//! stopped starts nothing. The process itself (a keeper, see `pyro_sys::keeper`) stays and reaps.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long to wait for the end of what was killed: all but what hangs in the kernel is gone at once.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Ends every descendant of `root`, and returns when none is left. Blocks.
pub fn end(root: Pid) {
    let began = Instant::now();
    let mut stopped = HashSet::new();
    while began.elapsed() < TIMEOUT {
        let found = descendants(root.as_raw_nonzero().get());
        if found.is_empty() {
            return;
        }
        let mut grown = false;
        for process in &found {
            if stopped.insert(process.pid) {
                grown = true;
                process.signal(Signal::STOP);
            }
        }
        if !grown {
            found.iter().for_each(|process| process.signal(Signal::KILL));
            // One whose number is used again is another one.
            stopped.clear();
            std::thread::yield_now();
        }
    }
}

struct Process {
    pid: i32,
    parent: i32,
}

impl Process {
    /// Through a descriptor, and only while it is still what was found: a number may be used again.
    fn signal(&self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        // Its parent may have ended meanwhile; then the next look finds it below the root.
        if parent(self.pid) == Some(self.parent) {
            let _ = pidfd_send_signal(&descriptor, signal);
        }
    }
}

/// What is below `root` and has not ended.
fn descendants(root: i32) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for pid in pids {
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut next) = (Vec::new(), vec![root]);
    while let Some(parent) = next.pop() {
        for pid in children.remove(&parent).unwrap_or_default() {
            next.push(pid);
            found.push(Process { pid, parent });
        }
    }
    found
}

/// The parent of a process that has not ended, by its `/proc/PID/stat` (proc_pid_stat(5)).
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    fields.next()?.parse().ok().filter(|_| !matches!(state, "Z" | "X"))
}
