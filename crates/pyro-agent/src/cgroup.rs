//! One control group a command, so that all of its descendants can be bounded, found and ended.
//!
//! ```text
//! /                         the agent and the kernel's threads
//!   pyro                    bounds of all commands together
//!     0, 1, 2, …            one command each, and another one when nobody is left in it
//! ```
//!
//! Each command runs in a cgroup namespace whose root is its own group, and the hierarchy delegates
//! by namespace: the kernel refuses to move a process of the command anywhere else, and to change
//! the bounds of its group (cgroup_namespaces(7)). The agent's own mount of the hierarchy is in no
//! directory; what commands find in `/sys/fs/cgroup` is read-only. Root in the guest can still
//! enter the agent's namespace; what it moves out that way is found by [`crate::strays`].
//!
//! The first group is made ahead of time, so that a restored machine need not make one before its
//! first command.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};

use pyro_sys::cgroup_namespace;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::mount::{MountFlags, OpenTreeFlags, mount, mount_remount, open_tree};

use crate::report::failed;
use crate::strays::{Processes, Stray};

const MOUNT: &str = "/sys/fs/cgroup";
/// The group above all commands.
const COMMANDS: &str = "pyro";
/// Groups kept for later.
const MOST_FREE: usize = 8;
/// Memory that commands never get, in bytes: for the kernel and the agent.
const RESERVE: u64 = 32 << 20;
/// A command gets all memory of commands but one part in so many. So it is the command that takes
/// too much which meets its bound, and not another one that meets the bound of all.
const SHARE: u64 = 16;
/// A single command gets this part of the processes of all commands.
const PROCESSES: u64 = 2;
/// How often processes that fork are looked for again.
const ROUNDS: usize = 32;

/// What commands may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    memory: u64,
    processes: u64,
}

impl Bounds {
    /// Those of all commands together: two processes (or threads) for each mebibyte of memory.
    fn of_all(total: u64, free: u64) -> Self {
        let memory = free.saturating_sub(RESERVE).max(total / 2);
        Self { memory, processes: (total >> 20) * PROCESSES }
    }

    fn of_one(self) -> Self {
        Self { memory: self.memory - self.memory / SHARE, processes: self.processes / PROCESSES }
    }
}

/// The hierarchy as the agent sees it.
#[derive(Debug)]
struct Hierarchy {
    /// The group above all commands.
    commands: OwnedFd,
    /// The file through which the agent comes back to its own group.
    home: File,
    /// The agent's namespace.
    namespace: File,
    processes: Processes,
    bounds: Bounds,
}

/// A command's group. Dropping it does not end anything.
#[derive(Debug)]
pub struct Cgroup {
    name: String,
    directory: OwnedFd,
    /// The file through which a process joins.
    procs: File,
    /// The namespace of which it is the root, and its name.
    namespace: File,
    namespace_name: String,
    /// Processes of earlier commands that the kernel killed for want of memory.
    earlier_kills: u64,
}

/// Hands out groups. A group in which nobody is left is used again: to make and to remove one takes
/// the kernel longer than many a command.
#[derive(Debug, Default)]
pub struct Cgroups {
    next: u64,
    free: Vec<Cgroup>,
    /// Absent in a machine without a root disk, in which no command runs.
    hierarchy: Option<Hierarchy>,
}

impl Cgroups {
    /// Mounts the hierarchy and makes the group above all commands.
    pub fn mount() -> io::Result<Self> {
        Ok(Self { hierarchy: Some(Hierarchy::mount()?), ..Self::default() })
    }

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
        if self.free.len() < MOST_FREE && cgroup.is_as_made() {
            cgroup.earlier_kills = cgroup.kills();
            self.free.push(cgroup);
        } else if let Ok(hierarchy) = self.hierarchy() {
            // One that somebody has just entered is not there any more to be entered.
            let _ = remove(&hierarchy.commands, &cgroup.name);
        }
        None
    }

    /// Starts a process in a group: whoever is started by the agent while the agent is in it begins
    /// its life there.
    pub fn spawn(&self, process: &mut Command, cgroup: &Cgroup) -> io::Result<Child> {
        self.hierarchy()?.inside(&cgroup.procs, || {
            cgroup_namespace::enter(&cgroup.namespace).map_err(failed("enter a namespace"))?;
            process.spawn()
        })
    }

    /// Ends every process of a command, also those that left its group. Says whether there were any
    /// of these.
    pub fn end(&self, cgroup: &Cgroup) -> io::Result<bool> {
        cgroup.kill()?;
        let hierarchy = self.hierarchy()?;
        let path = format!("/{COMMANDS}/{}", cgroup.name);
        let mut any = false;
        for _ in 0..ROUNDS {
            let strays = hierarchy.processes.strays(&format!("/{COMMANDS}/"), &path, &cgroup.namespace_name);
            let strays = strays.map_err(failed("look for processes that left their control group"))?;
            if strays.is_empty() {
                break;
            }
            any = true;
            strays.into_iter().for_each(|stray| cgroup.end_stray(stray));
            cgroup.kill()?;
        }
        Ok(any)
    }

    fn make(&mut self) -> io::Result<Cgroup> {
        let name = self.next.to_string();
        self.next += 1;
        self.hierarchy()?.make(name).map_err(failed("make a control group"))
    }

    fn hierarchy(&self) -> io::Result<&Hierarchy> {
        self.hierarchy.as_ref().ok_or_else(|| io::Error::other("this machine has no control groups"))
    }
}

impl Hierarchy {
    fn mount() -> io::Result<Self> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        // Without favordynmods each process that joins a group waits for a grace period of the kernel.
        mount("cgroup2", MOUNT, "cgroup2", flags, Some(c"nsdelegate,favordynmods")).map_err(failed("mount cgroup2"))?;
        let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let root = open_tree(CWD, MOUNT, clone).map_err(failed("keep the control groups"))?;
        let read_only = MountFlags::BIND | MountFlags::RDONLY | flags;
        mount_remount(MOUNT, read_only, "").map_err(failed("make the control groups read-only"))?;
        // Processor time is shared between commands, and not between their processes.
        let controllers = "+memory +pids +cpu";
        write(&root, "cgroup.subtree_control", controllers).map_err(failed("delegate controllers"))?;
        make_directory(&root, COMMANDS)?;
        let commands = open_directory(&root, COMMANDS)?;
        write(&commands, "cgroup.subtree_control", controllers).map_err(failed("delegate controllers"))?;
        let memory = rustix::system::sysinfo();
        let all = Bounds::of_all(memory.totalram as u64, memory.freeram as u64);
        all.apply(&commands).map_err(failed("bound the commands"))?;
        Ok(Self {
            commands,
            home: open(&root, "cgroup.procs", OFlags::WRONLY)?,
            namespace: own_namespace()?,
            processes: Processes::open().map_err(failed("look at the processes"))?,
            bounds: all.of_one(),
        })
    }

    fn make(&self, name: String) -> io::Result<Cgroup> {
        make_directory(&self.commands, &name)?;
        let directory = open_directory(&self.commands, &name)?;
        self.bounds.apply(&directory)?;
        // What takes all of its memory is ended as a whole, and nothing else is.
        write(&directory, "memory.oom.group", "1")?;
        let procs = open(&directory, "cgroup.procs", OFlags::WRONLY)?;
        let namespace = self.inside(&procs, || {
            cgroup_namespace::make()?;
            own_namespace()
        })?;
        let namespace_name = self.processes.own_namespace(&namespace).map_err(failed("name a namespace"))?;
        Ok(Cgroup { name, directory, procs, namespace, namespace_name, earlier_kills: 0 })
    }

    /// Does something while the agent is in a group, and brings it back to its own group and
    /// namespace in any case.
    fn inside<T>(&self, procs: &File, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        (&*procs).write_all(b"0").map_err(failed("enter a control group"))?;
        let done = work();
        cgroup_namespace::enter(&self.namespace).map_err(failed("leave a namespace"))?;
        (&self.home).write_all(b"0").map_err(failed("leave a control group"))?;
        done
    }
}

impl Bounds {
    fn apply(self, directory: &OwnedFd) -> io::Result<()> {
        write(directory, "memory.max", &self.memory.to_string())?;
        write(directory, "pids.max", &self.processes.to_string())
    }
}

impl Cgroup {
    /// Ends every process in it, also those that are forking right now (cgroup.kill, Linux 5.14).
    pub fn kill(&self) -> io::Result<()> {
        write(&self.directory, "cgroup.kill", "1")
    }

    /// One of this command's is brought back, so that its end is awaited with the group's.
    fn end_stray(&self, stray: Stray) {
        let brought_back = stray.is_ours && (&self.procs).write_all(stray.pid.to_string().as_bytes()).is_ok();
        if !brought_back && let Some(pid) = rustix::process::Pid::from_raw(stray.pid) {
            // Fails only when it has ended.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    /// Whether no process is left in it.
    pub fn is_empty(&self) -> bool {
        let events = read(&self.directory, "cgroup.events").unwrap_or_default();
        !events.contains("populated 1")
    }

    /// Whether its command changed nothing in it that the next one would find: it has no groups
    /// below it, and delegates nothing.
    fn is_as_made(&self) -> bool {
        let delegates_nothing = read(&self.directory, "cgroup.subtree_control").is_ok_and(|it| it.trim().is_empty());
        delegates_nothing && read(&self.directory, "cgroup.stat").is_ok_and(|it| it.starts_with("nr_descendants 0\n"))
    }

    /// Whether the kernel killed a process of the present command for want of memory.
    pub fn ran_out_of_memory(&self) -> bool {
        self.kills() > self.earlier_kills
    }

    fn kills(&self) -> u64 {
        let events = read(&self.directory, "memory.events").unwrap_or_default();
        let line = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }
}

fn own_namespace() -> io::Result<File> {
    File::open("/proc/self/ns/cgroup").map_err(failed("open a namespace"))
}

/// Removes a group and those below it.
fn remove(parent: impl AsFd, name: &str) -> io::Result<()> {
    let directory = open_directory(&parent, name)?;
    let below: Vec<_> = rustix::fs::Dir::read_from(&directory)?.flatten().collect();
    for entry in below {
        let below = entry.file_name().to_string_lossy();
        if entry.file_type() == rustix::fs::FileType::Directory && below != "." && below != ".." {
            remove(&directory, &below)?;
        }
    }
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

fn make_directory(parent: &OwnedFd, name: &str) -> io::Result<()> {
    Ok(mkdirat(parent, name, Mode::from_raw_mode(0o755))?)
}

fn open_directory(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    Ok(openat(parent, name, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn open(directory: &OwnedFd, name: &str, flags: OFlags) -> io::Result<File> {
    let opened = openat(directory, name, flags | OFlags::CLOEXEC, Mode::empty());
    Ok(File::from(opened.map_err(failed(&format!("open {name}")))?))
}

fn write(directory: &OwnedFd, name: &str, value: &str) -> io::Result<()> {
    let written = open(directory, name, OFlags::WRONLY)?.write_all(value.as_bytes());
    written.map_err(failed(&format!("write {value} to {name}")))
}

fn read(directory: &OwnedFd, name: &str) -> io::Result<String> {
    let mut text = String::new();
    open(directory, name, OFlags::RDONLY)?.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_grow_with_the_machine_and_leave_a_reserve() {
        let all = Bounds::of_all(968 << 20, 929 << 20);
        assert_eq!(all, Bounds { memory: 897 << 20, processes: 1936 });
        let one = all.of_one();
        assert_eq!(one.processes, 968);
        assert!(one.memory < all.memory && one.memory > all.memory / 2);
        let small = Bounds::of_all(200 << 20, 100 << 20);
        assert_eq!(small.memory, 100 << 20, "at least half of it");
    }
}
