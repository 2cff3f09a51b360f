//! A control group of a program's own, where this user's part of the hierarchy allows one (cgroup v2).
//!
//! ```text
//! …/app.slice                      delegated: this user may make groups, and it controls memory and pids
//!     ├─ app-terminal.scope        where this process is; a group with processes has no groups below it
//!     └─ pyro-NAME                 made here, left by its only process, and removed
//! ```
//!
//! A group outlives its creator if that is killed. Therefore a file holds its path, and the recovery of dead
//! machines removes it ([`remove_noted`]).

use std::fs::{self, File};
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The prefix of every group's name. Only groups with this prefix are removed.
const PREFIX: &str = "pyro-";
/// Controllers that a group needs.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// The group that a program is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Its name, after `pyro-`.
    pub name: String,
    /// Bytes of memory of everything in it.
    pub memory: u64,
    /// Processes and threads in it.
    pub processes: u32,
    /// The file that holds its path while it exists.
    pub note: PathBuf,
}

/// A group that was made. Dropping it removes it; its process must have ended by then.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    note: PathBuf,
}

impl Group {
    /// Makes it beside the group of this process. On failure, returns the reason as text.
    pub fn make(wish: &Wish) -> Result<Self, String> {
        let parent = parent()?;
        Self::make_below(&parent, wish)
            .map_err(|error| format!("could not make a group in {}: {error}", parent.display()))
    }

    fn make_below(parent: &Path, wish: &Wish) -> io::Result<Self> {
        let path = parent.join(format!("{PREFIX}{}", wish.name));
        // Write the note first: a note without a group does no harm.
        let mut note = File::options().write(true).create(true).truncate(true).mode(0o600).open(&wish.note)?;
        note.write_all(path.as_os_str().as_encoded_bytes())?;
        fs::create_dir(&path)?;
        let group = Self { path, note: wish.note.clone() };
        fs::write(group.path.join("memory.max"), wish.memory.to_string())?;
        fs::write(group.path.join("pids.max"), wish.processes.to_string())?;
        Ok(group)
    }

    /// The file a process enters it by.
    pub fn door(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // If this fails, the note leads to the group later.
        if fs::remove_dir(&self.path).is_ok() {
            let _ = fs::remove_file(&self.note);
        }
    }
}

/// Removes the group that a note names, if it exists and is empty.
pub fn remove_noted(note: &Path) {
    let Ok(path) = fs::read_to_string(note).map(PathBuf::from) else { return };
    let is_ours = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    if is_ours {
        // Its last process may be about to end; then it stays, empty and harmless.
        let _ = fs::remove_dir(path);
    }
}

/// The group in which groups may be made.
fn parent() -> Result<PathBuf, String> {
    let read = |path| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let own = own(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)?;
    // The root group may have processes and groups.
    let parent = if own.join("cgroup.type").exists() { own.parent().unwrap_or(&own).to_owned() } else { own };
    usable(&parent).map(|()| parent)
}

/// Where the group of this process lies.
fn own(mounts: &str, groups: &str) -> Result<PathBuf, String> {
    // proc_pid_mountinfo(5): …, root, mount point, options, optional fields, "-", type, …
    let hierarchy = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        after.starts_with("cgroup2 ").then(|| before.split(' ').nth(4))?
    });
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    match (hierarchy, group) {
        (Some(hierarchy), Some(group)) => Ok(Path::new(hierarchy).join(group)),
        _ => Err("this host has no cgroup v2 hierarchy".into()),
    }
}

fn usable(parent: &Path) -> Result<(), String> {
    let control = parent.join("cgroup.subtree_control");
    let controlled = fs::read_to_string(&control).map_err(|error| format!("{}: {error}", control.display()))?;
    let missing = CONTROLLERS.iter().find(|wanted| !controlled.split_whitespace().any(|one| one == **wanted));
    if let Some(missing) = missing {
        return Err(format!("{} does not have the controller {missing} enabled for its groups", parent.display()));
    }
    let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    if writable(parent) && writable(&parent.join("cgroup.procs")) {
        return Ok(());
    }
    Err(format!("{} is not delegated to this user", parent.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_own_group_is_found_where_it_is_mounted() {
        let groups = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope\n";
        let expected = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope";
        assert_eq!(own(MOUNTS, groups).unwrap(), Path::new(expected));
        assert_eq!(own(MOUNTS, "9:name=systemd:/\n0::/\n").unwrap(), Path::new("/sys/fs/cgroup/"));
        let old = "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        assert!(own(old, "4:memory:/\n").unwrap_err().contains("no cgroup v2"));
    }

    #[test]
    fn a_parent_must_control_memory_and_pids() {
        let parent = tempfile::tempdir().unwrap();
        assert!(usable(parent.path()).unwrap_err().contains("cgroup.subtree_control"));
        fs::write(parent.path().join("cgroup.procs"), "").unwrap();
        fs::write(parent.path().join("cgroup.subtree_control"), "cpu memory\n").unwrap();
        assert!(usable(parent.path()).unwrap_err().contains("does not have the controller pids enabled"));
        fs::write(parent.path().join("cgroup.subtree_control"), "cpu memory pids\n").unwrap();
        usable(parent.path()).unwrap();
    }

    #[test]
    fn what_a_killed_process_left_is_found_by_its_note_and_nothing_else_is() {
        let parent = tempfile::tempdir().unwrap();
        let note = parent.path().join("note");
        let path = parent.path().join("pyro-x");
        fs::create_dir(&path).unwrap();
        fs::write(&note, path.to_str().unwrap()).unwrap();
        remove_noted(&note);
        assert!(!path.exists());
        let other = parent.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(&note, other.to_str().unwrap()).unwrap();
        remove_noted(&note);
        remove_noted(&parent.path().join("no note"));
        assert!(other.exists());
    }
}
