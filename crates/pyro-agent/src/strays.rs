//! Processes that are in no group of the agent's, or not in that of their own command.
//!
//! Only who entered the agent's cgroup namespace can move a process there. A
//! process is known by its namespace, or by being where nobody should be. What both enters another
//! command's namespace and moves into its group is a process of that command.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{Dir, Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;

/// The parent of the kernel's threads, and of the programs that the kernel itself starts.
const KERNEL: i32 = 2;

/// All processes of the machine. The directory stays what it is when something is mounted over it.
#[derive(Debug)]
pub struct Processes {
    directory: OwnedFd,
    /// The agent's cgroup namespace, in which no command runs.
    agents: String,
}

/// A process that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stray {
    pub pid: i32,
    /// It is of the command that was asked about. Others are nobody's.
    pub is_ours: bool,
}

/// What is known of a process.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    pid: i32,
    namespace: String,
    group: String,
}

impl Processes {
    pub fn open() -> io::Result<Self> {
        let directory = File::open("/proc")?.into();
        let agents = link(&directory, "1/ns/cgroup")?;
        Ok(Self { directory, agents })
    }

    /// The name under which processes of an open namespace are known.
    pub fn own_namespace(&self, namespace: &File) -> io::Result<String> {
        use std::os::fd::AsRawFd;
        let path = format!("1/fd/{}", namespace.as_raw_fd());
        Ok(link(&self.directory, &path)?)
    }

    /// Processes that are outside of `group` and should not be: those of `namespace`, and those that
    /// are in no command's group or in no command's namespace.
    pub fn strays(&self, all_groups: &str, group: &str, namespace: &str) -> io::Result<Vec<Stray>> {
        // An entry of a directory that was opened anew: the position is the open file's.
        let mut entries = Dir::read_from(&self.directory)?;
        let mut strays = Vec::new();
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) else { continue };
            match self.see(pid) {
                Ok(Some(seen)) => strays.extend(seen.stray(&self.agents, all_groups, group, namespace)),
                Ok(None) | Err(Errno::NOENT | Errno::SRCH) => {} // the kernel's, or it has ended
                Err(error) => return Err(error.into()),
            }
        }
        Ok(strays)
    }

    fn see(&self, pid: i32) -> rustix::io::Result<Option<Seen>> {
        if pid <= KERNEL {
            return Ok(None);
        }
        let stat = self.read(&format!("{pid}/stat"))?;
        if is_kernels_or_dead(&stat) {
            return Ok(None);
        }
        let namespace = link(&self.directory, &format!("{pid}/ns/cgroup"))?;
        let groups = self.read(&format!("{pid}/cgroup"))?;
        let group = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned();
        Ok(Some(Seen { pid, namespace, group }))
    }

    fn read(&self, path: &str) -> rustix::io::Result<String> {
        let mut file = File::from(openat(&self.directory, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Seen {
    fn stray(self, agents: &str, all_groups: &str, group: &str, namespace: &str) -> Option<Stray> {
        let inside = self.group.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let is_ours = self.namespace == namespace;
        let is_nobodys = self.namespace == agents || !self.group.starts_with(all_groups);
        (!inside && (is_ours || is_nobodys)).then_some(Stray { pid: self.pid, is_ours })
    }
}

/// Fields of stat in proc(5) after the name, which may hold anything but ends with the last bracket.
fn is_kernels_or_dead(stat: &str) -> bool {
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    let (state, parent) = (fields.next(), fields.next());
    matches!(state, None | Some("Z" | "X")) || parent.and_then(|it| it.parse().ok()) == Some(KERNEL)
}

fn link(directory: &OwnedFd, path: &str) -> rustix::io::Result<String> {
    Ok(readlinkat(directory, path, Vec::new())?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_elsewhere_is_a_stray() {
        let stray = |group: &str, namespace: &str| {
            let seen = Seen { pid: 7, namespace: namespace.into(), group: group.into() };
            seen.stray("agent", "/pyro/", "/pyro/1", "one").map(|stray| stray.is_ours)
        };
        assert_eq!(stray("/pyro/1", "one"), None);
        assert_eq!(stray("/pyro/1/below", "another"), None, "a container of its own, inside");
        assert_eq!(stray("/pyro/11", "eleven"), None, "another command's");
        assert_eq!(stray("/", "one"), Some(true));
        assert_eq!(stray("/pyro/11", "one"), Some(true));
        assert_eq!(stray("/", "agent"), Some(false));
        assert_eq!(stray("/pyro/11", "agent"), Some(false));
        assert_eq!(stray("/elsewhere", "a new one"), Some(false));
    }

    #[test]
    fn threads_of_the_kernel_and_the_dead_are_passed_over() {
        assert!(is_kernels_or_dead("9 (kworker/0:1) I 2 0 0"));
        assert!(is_kernels_or_dead("9 (sh) Z 1 0 0"));
        assert!(!is_kernels_or_dead("9 (a) Z 2) S 1 0 0"));
    }
}
