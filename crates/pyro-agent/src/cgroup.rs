//! One control group a command, so that all of its descendants can be found and ended.
//!
//! ```text
//! /sys/fs/cgroup            the agent (the root group may hold processes)
//!   pyro                    memory.max: all but a reserve for kernel and agent
//!     0, 1, 2, …            one command each, never numbered twice
//! ```
//!
//! The next group is made ahead of time, so that a restored machine need not make one before its
//! first command.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use crate::failed;

const ROOT: &str = "/sys/fs/cgroup";
const COMMANDS: &str = "/sys/fs/cgroup/pyro";
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
}

/// Hands out groups, each with a number of its own.
#[derive(Debug, Default)]
pub struct Cgroups {
    next: u64,
    spare: Option<Cgroup>,
}

impl Cgroups {
    /// A group with nobody in it.
    pub fn take(&mut self) -> io::Result<Cgroup> {
        match self.spare.take() {
            Some(spare) => Ok(spare),
            None => self.make(),
        }
    }

    /// Makes the next group ahead of time.
    pub fn prepare_spare(&mut self) -> io::Result<()> {
        if self.spare.is_none() {
            self.spare = Some(self.make()?);
        }
        Ok(())
    }

    fn make(&mut self) -> io::Result<Cgroup> {
        let path = PathBuf::from(format!("{COMMANDS}/{}", self.next));
        self.next += 1;
        fs::create_dir(&path).map_err(failed("make a control group"))?;
        Ok(Cgroup { path })
    }
}

impl Cgroup {
    /// The file through which a process joins.
    pub fn procs(&self) -> io::Result<File> {
        File::options().write(true).open(self.path.join("cgroup.procs"))
    }

    /// Ends every process in it, also those that are forking right now (cgroup.kill, Linux 5.14).
    pub fn kill(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1")
    }

    /// Whether no process is left in it.
    pub fn is_empty(&self) -> bool {
        let events = fs::read_to_string(self.path.join("cgroup.events")).unwrap_or_default();
        !events.contains("populated 1")
    }

    /// Whether the kernel killed a process of it for want of memory.
    pub fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
    }

    /// Removes it when it is empty; says whether it did.
    pub fn remove_if_empty(&self) -> bool {
        self.is_empty() && fs::remove_dir(&self.path).is_ok()
    }
}
