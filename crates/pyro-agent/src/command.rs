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

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use pyro_protocol::frame::{Kind, StreamId};
use pyro_protocol::message::{Exec, Exited, Refused, Signal};
use rustix::process::{Pid, WaitStatus};

use crate::cgroup::{Cgroup, Cgroups};
use crate::pipes::{Input, Output};
use crate::spawn::{refused, spawn};

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
    /// Nobody is left of a command that is being ended.
    nobody_left: bool,
    first_process: Option<(WaitStatus, Duration)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    TimedOut,
    Killed,
}

impl Command {
    /// Starts it in a group of its own.
    pub fn start(stream: StreamId, exec: &Exec, cgroups: &mut Cgroups) -> Result<Self, Refused> {
        let cgroup = cgroups.take().map_err(|error| refused("failed", error.to_string()))?;
        let started = Instant::now();
        let spawned = match spawn(exec, cgroups, &cgroup) {
            Ok(spawned) => spawned,
            Err(refused) => {
                cgroups.give_back(cgroup);
                return Err(refused);
            }
        };
        let limit = Some(Duration::from_micros(exec.timeout_us)).filter(|limit| !limit.is_zero());
        Ok(Self {
            stream,
            input: Input::new(spawned.stdin),
            stdout: Output::new(Kind::Stdout, spawned.stdout, exec.stdout_credit),
            stderr: Output::new(Kind::Stderr, spawned.stderr, exec.stderr_credit),
            pid: spawned.pid,
            cgroup,
            started,
            deadline: limit.and_then(|limit| started.checked_add(limit)),
            ending: None,
            nobody_left: false,
            first_process: None,
        })
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// When something must happen by itself.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| self.ending.is_none() && self.first_process.is_none())
    }

    /// Ends all of it when its time is up.
    pub fn enforce(&mut self, now: Instant, cgroups: &Cgroups) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.end_all(Ending::TimedOut, cgroups);
        }
    }

    /// Delivers a signal; KILL reaches every process of the command.
    pub fn signal(&mut self, signal: Signal, cgroups: &Cgroups) {
        if signal.number == 9 {
            self.end_all(Ending::Killed, cgroups);
        } else if let Some(signal) = rustix::process::Signal::from_named_raw(signal.number as i32) {
            // The group may be gone already; then there is nobody to tell.
            let _ = rustix::process::kill_process_group(self.pid, signal);
        }
    }

    fn end_all(&mut self, why: Ending, cgroups: &Cgroups) {
        if self.ending.is_none() && self.first_process.is_none() {
            self.ending = Some(why);
            self.stdout.let_go();
            self.stderr.let_go();
            if let Err(error) = cgroups.end(&self.cgroup) {
                crate::report::log(&format!("kill a command: {error}"));
            }
        }
    }

    /// Its first process was reaped.
    pub fn reaped(&mut self, status: WaitStatus) {
        self.first_process = Some((status, self.started.elapsed()));
    }

    /// Looks whether nothing more can come.
    pub fn settle(&mut self, cgroups: &Cgroups) {
        if self.first_process.is_none() {
            return;
        }
        if self.ending.is_some() && !self.nobody_left && self.cgroup.is_empty() {
            // One may have left its group since the others were ended; it is awaited, too.
            let left = cgroups.end(&self.cgroup).unwrap_or_else(|error| {
                crate::report::log(&format!("kill a command: {error}"));
                false
            });
            self.nobody_left = !left || self.cgroup.is_empty();
        }
        if self.ending.is_none() || self.nobody_left {
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
        if self.ending.is_some() && !self.nobody_left {
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
