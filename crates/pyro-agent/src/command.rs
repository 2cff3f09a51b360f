//! One command, from fork to its last byte.
//!
//! ```text
//! Running ──first process reaped──────────────────▶ Draining ──outputs empty──▶ done (Exited sent)
//!    └────time limit or KILL────▶ Ending ──nobody left──▶ Draining
//! ```
//!
//! A command is over when its **first** process is: what it left running in the background lives
//! on in its control group (a task's server, say) and its later output goes nowhere. Only a time
//! limit or a KILL ends all of them, and is reported when the last one is gone.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use pyro_protocol::frame::{Kind, StreamId};
use pyro_protocol::message::{Exec, Exited, Refused, Signal};
use rustix::process::{Pid, WaitStatus};

use crate::cgroup::Cgroup;
use crate::pipes::{Input, Output, non_blocking, pipe};

/// What every command finds in its environment, before what the host adds.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("USER", "root"),
    ("LOGNAME", "root"),
    ("SHELL", "/bin/sh"),
    ("LANG", "C.UTF-8"),
];

/// A command that was started.
pub struct Command {
    pub stream: StreamId,
    pub input: Input,
    pub stdout: Output,
    pub stderr: Output,
    pid: Pid,
    cgroup: Cgroup,
    started: Instant,
    deadline: Option<Instant>,
    ending: Option<Ending>,
    first_process: Option<(WaitStatus, Duration)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    TimedOut,
    Killed,
}

impl Command {
    /// Starts the first candidate that can be executed.
    pub fn start(stream: StreamId, exec: &Exec, cgroup: Cgroup) -> Result<Self, Refused> {
        let directory = OsStr::from_bytes(&exec.working_directory);
        if !std::path::Path::new(directory).is_dir() {
            return Err(refused("no_directory", format!("{} is not a directory", directory.display())));
        }
        let mut last = refused("bad_request", "no command was given".into());
        for candidate in &exec.candidates {
            let Some((program, arguments)) = candidate.words.split_first() else { continue };
            let mut process = Process::new(OsStr::from_bytes(program));
            process.args(arguments.iter().map(|word| OsStr::from_bytes(word))).current_dir(directory).process_group(0);
            process.env_clear().envs(ENVIRONMENT);
            for entry in &exec.environment {
                let at = entry.iter().position(|byte| *byte == b'=').unwrap_or(entry.len());
                let value = entry.get(at + 1..).unwrap_or_default();
                process.env(OsStr::from_bytes(&entry[..at]), OsStr::from_bytes(value));
            }
            match Self::spawn(&mut process, &cgroup) {
                Ok((pid, stdin, stdout, stderr)) => {
                    let started = Instant::now();
                    let limit = Some(Duration::from_micros(exec.timeout_us)).filter(|limit| !limit.is_zero());
                    return Ok(Self {
                        stream,
                        input: Input::new(stdin),
                        stdout: Output::new(Kind::Stdout, stdout, exec.stdout_credit),
                        stderr: Output::new(Kind::Stderr, stderr, exec.stderr_credit),
                        pid,
                        cgroup,
                        started,
                        deadline: limit.and_then(|limit| started.checked_add(limit)),
                        ending: None,
                        first_process: None,
                    });
                }
                Err(error) => {
                    let program = OsStr::from_bytes(program).display().to_string();
                    last = match error.kind() {
                        io::ErrorKind::NotFound => refused("not_found", format!("{program}: not found")),
                        io::ErrorKind::PermissionDenied | io::ErrorKind::ExecutableFileBusy => {
                            refused("not_executable", format!("{program}: {error}"))
                        }
                        _ => refused("failed", format!("{program}: {error}")),
                    };
                }
            }
        }
        cgroup.remove_if_empty();
        Err(last)
    }

    fn spawn(process: &mut Process, cgroup: &Cgroup) -> io::Result<(Pid, OwnedFd, OwnedFd, OwnedFd)> {
        let (stdin_theirs, stdin) = pipe()?;
        let (stdout, stdout_theirs) = pipe()?;
        let (stderr, stderr_theirs) = pipe()?;
        for ours in [&stdin, &stdout, &stderr] {
            non_blocking(ours)?;
        }
        process.stdin(Stdio::from(stdin_theirs)).stdout(Stdio::from(stdout_theirs)).stderr(Stdio::from(stderr_theirs));
        let procs = cgroup.procs()?;
        let score = File::options().write(true).open("/proc/self/oom_score_adj")?;
        pyro_sys::child::join_cgroup(process, procs.as_fd(), score.as_fd());
        let child = process.spawn()?;
        // Reaped by the server together with everybody else's children.
        Ok((Pid::from_child(&child), stdin, stdout, stderr))
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// When something must happen by itself.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| self.ending.is_none() && self.first_process.is_none())
    }

    /// Ends all of it when its time is up.
    pub fn enforce(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.end_all(Ending::TimedOut);
        }
    }

    /// Delivers a signal; KILL reaches every process of the command.
    pub fn signal(&mut self, signal: Signal) {
        if signal.number == 9 {
            self.end_all(Ending::Killed);
        } else if let Some(signal) = rustix::process::Signal::from_named_raw(signal.number as i32) {
            // The group may be gone already; then there is nobody to tell.
            let _ = rustix::process::kill_process_group(self.pid, signal);
        }
    }

    fn end_all(&mut self, why: Ending) {
        if self.ending.is_none() && self.first_process.is_none() {
            self.ending = Some(why);
            if let Err(error) = self.cgroup.kill() {
                crate::log(&format!("kill a command: {error}"));
            }
        }
    }

    /// Its first process was reaped.
    pub fn reaped(&mut self, status: WaitStatus) {
        self.first_process = Some((status, self.started.elapsed()));
        self.settle();
    }

    /// Looks whether nothing more can come.
    pub fn settle(&mut self) {
        if self.first_process.is_some() && (self.ending.is_none() || self.cgroup.is_empty()) {
            self.stdout.seal();
            self.stderr.seal();
        }
    }

    /// How it ended, once everything it had to say was passed on.
    pub fn outcome(&self) -> Option<Exited> {
        let (status, duration) = self.first_process?;
        if !(self.stdout.is_done() && self.stderr.is_done()) {
            return None;
        }
        if self.ending.is_some() && !self.cgroup.is_empty() {
            return None;
        }
        Some(Exited {
            code: status.exit_status().map(|code| code as u32),
            signal: status.terminating_signal().map(|signal| signal as u32),
            timed_out: self.ending == Some(Ending::TimedOut),
            out_of_memory: self.cgroup.ran_out_of_memory(),
            duration_us: duration.as_micros() as u64,
        })
    }

    /// Takes it apart: its group and the pipes that somebody may still write to.
    pub fn into_leftovers(self) -> (Cgroup, Vec<OwnedFd>) {
        let pipes = [self.stdout.into_leftover(), self.stderr.into_leftover()];
        (self.cgroup, pipes.into_iter().flatten().collect())
    }

    /// Ends all of it without a report, because the machine goes down.
    pub fn abandon(&mut self) {
        let _ = self.cgroup.kill();
    }
}

fn refused(reason: &str, message: String) -> Refused {
    Refused { reason: reason.into(), message }
}
