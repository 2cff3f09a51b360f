//! One control group a command, so that all of its descendants can be found and ended.
//!
//! ```text
//! /sys/fs/cgroup            the agent (the root group may hold processes)
//!   pyro                    memory.max: all but a reserve for kernel and agent
//!     0, 1, 2, …            one command each, and another one when nobody is left in it
//! ```
//!
//! The first group is made ahead of time, so that a restored machine need not make one before its
//! first command.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, Command};

use crate::failed;

const ROOT: &str = "/sys/fs/cgroup";
const COMMANDS: &str = "/sys/fs/cgroup/pyro";
/// Groups kept for later.
const MOST_FREE: usize = 8;
/// Memory that commands never get, in bytes.
const RESERVE: u64 = 48 << 20;

/// Mounts the hierarchy and makes the group above all commands.
pub fn prepare() -> io::Result<()> {
    use rustix::mount::{MountFlags, mount};
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Without favordynmods each process that joins a group waits for a grace period of the kernel.
    mount("cgroup2", ROOT, "cgroup2", flags, Some(c"favordynmods")).map_err(failed("mount cgroup2"))?;
    let controllers = "+memory +pids";
    fs::write(format!("{ROOT}/cgroup.subtree_control"), controllers).map_err(failed("delegate controllers"))?;
    fs::create_dir_all(COMMANDS)?;
    fs::write(format!("{COMMANDS}/cgroup.subtree_control"), controllers).map_err(failed("delegate controllers"))?;
    let total = rustix::system::sysinfo().totalram as u64;
    let most = total.saturating_sub(RESERVE).max(total / 2);
    fs::write(format!("{COMMANDS}/memory.max"), most.to_string()).map_err(failed("limit the commands' memory"))
}

/// A command's group. Dropping it does not end anything.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    /// The file through which a process joins.
    procs: File,
    /// Processes of earlier commands that the kernel killed for want of memory.
    earlier_kills: u64,
}

/// Hands out groups. A group in which nobody is left is used again: to make and to remove one takes
/// the kernel longer than many a command.
#[derive(Debug, Default)]
pub struct Cgroups {
    next: u64,
    free: Vec<Cgroup>,
    /// The agent's own; open since the first group was made.
    root: Option<File>,
}

impl Cgroups {
    /// A group with nobody in it.
    pub fn take(&mut self) -> io::Result<Cgroup> {
        match self.free.pop() {
            Some(free) => Ok(free),
            None => self.make(),
        }
    }

    /// Makes a group ahead of time.
    pub fn prepare_spare(&mut self) -> io::Result<()> {
        if self.free.is_empty() {
            let spare = self.make()?;
            self.free.push(spare);
        }
        Ok(())
    }

    /// Takes a group back if nobody is left in it.
    pub fn give_back(&mut self, mut cgroup: Cgroup) -> Option<Cgroup> {
        if !cgroup.is_empty() {
            return Some(cgroup);
        }
        if self.free.len() < MOST_FREE {
            cgroup.earlier_kills = cgroup.kills();
            self.free.push(cgroup);
        } else {
            // One that somebody has just entered is not there any more to be entered.
            let _ = fs::remove_dir(&cgroup.path);
        }
        None
    }

    /// Starts a process in a group: whoever is started by the agent while the agent is in it begins
    /// its life there.
    pub fn spawn(&self, process: &mut Command, cgroup: &Cgroup) -> io::Result<Child> {
        (&cgroup.procs).write_all(b"0").map_err(failed("enter a control group"))?;
        let spawned = process.spawn();
        let root = self.root.as_ref().expect("it was opened when the group was made");
        (&*root).write_all(b"0").map_err(failed("leave a control group"))?;
        spawned
    }

    fn make(&mut self) -> io::Result<Cgroup> {
        if self.root.is_none() {
            let root = File::options().write(true).open(format!("{ROOT}/cgroup.procs"));
            self.root = Some(root.map_err(failed("open the agent's control group"))?);
        }
        let path = PathBuf::from(format!("{COMMANDS}/{}", self.next));
        self.next += 1;
        fs::create_dir(&path).map_err(failed("make a control group"))?;
        let procs = File::options().write(true).open(path.join("cgroup.procs"))?;
        Ok(Cgroup { path, procs, earlier_kills: 0 })
    }
}

impl Cgroup {
    /// Ends every process in it, also those that are forking right now (cgroup.kill, Linux 5.14).
    pub fn kill(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1")
    }

    /// Whether no process is left in it.
    pub fn is_empty(&self) -> bool {
        let events = fs::read_to_string(self.path.join("cgroup.events")).unwrap_or_default();
        !events.contains("populated 1")
    }

    /// Whether the kernel killed a process of the present command for want of memory.
    pub fn ran_out_of_memory(&self) -> bool {
        self.kills() > self.earlier_kills
    }

    fn kills(&self) -> u64 {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        let line = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }
}
