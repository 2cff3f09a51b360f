//! Locks that the kernel releases when their holder dies, however it dies.
//!
//! They are advisory `flock` locks on a file. An owner holds its lock while it lives. A free lock means
//! that the owner is dead.

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A held lock. Dropping it, or dying, releases it.
///
/// Dropping unlocks explicitly instead of only closing the descriptor: a child that was forked meanwhile has a
/// copy of the descriptor, which would hold the lock until the child ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// The process that took the lock. A forked child drops only its copy, and does not unlock.
    owner: u32,
    /// Another process also has a descriptor of this lock.
    shared: AtomicBool,
}

/// Another process holds the lock, or locking failed.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// Another holder is alive.
    #[error("another process holds the lock")]
    Held,
    /// The file could not be opened or locked.
    #[error("the lock file could not be opened or locked")]
    Io(#[source] io::Error),
}

/// The mode of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Exclusive.
    Exclusive,
    /// Shared with other holders.
    Shared,
}

/// Takes the lock, waiting for others.
///
/// # Errors
/// The error of the file system.
pub fn acquire(path: &Path, mode: Mode) -> io::Result<Lock> {
    let file = open(path)?;
    match mode {
        Mode::Exclusive => file.lock()?,
        Mode::Shared => file.lock_shared()?,
    }
    Ok(Lock::of(file))
}

/// Takes the lock if it is free.
///
/// # Errors
/// [`TryError::Held`] when it is not.
pub fn try_acquire(path: &Path, mode: Mode) -> Result<Lock, TryError> {
    let file = open(path).map_err(TryError::Io)?;
    let tried = match mode {
        Mode::Exclusive => file.try_lock(),
        Mode::Shared => file.try_lock_shared(),
    };
    match tried {
        Ok(()) => Ok(Lock::of(file)),
        Err(TryLockError::WouldBlock) => Err(TryError::Held),
        Err(TryLockError::Error(error)) => Err(TryError::Io(error)),
    }
}

/// [`acquire`] in exclusive mode.
///
/// # Errors
/// The error of the file system.
pub fn exclusive(path: &Path) -> io::Result<Lock> {
    acquire(path, Mode::Exclusive)
}

/// [`try_acquire`] in exclusive mode.
///
/// # Errors
/// [`TryError::Held`] when somebody holds it.
pub fn try_exclusive(path: &Path) -> Result<Lock, TryError> {
    try_acquire(path, Mode::Exclusive)
}

/// Whether a process holds the lock exclusively. Does not take the lock and does not create
/// the file. Any number of processes may call it at once.
///
/// # Errors
/// The file system's error. A missing file counts as free.
pub fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Waits until no process holds the lock exclusively. Does not create the file. Blocks.
///
/// # Errors
/// The file system's error. A missing file counts as free.
pub fn wait_until_free(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        file => {
            let file = file?;
            file.lock_shared().and_then(|()| file.unlock())
        }
    }
}

impl Lock {
    fn of(file: File) -> Self {
        Self { file, owner: std::process::id(), shared: AtomicBool::new(false) }
    }

    /// Adopts a lock whose descriptor another process passed on. The lock is held until both processes
    /// have released it.
    #[must_use]
    pub fn inherited(descriptor: OwnedFd) -> Self {
        let lock = Self::of(File::from(descriptor));
        lock.shared.store(true, Ordering::Relaxed);
        lock
    }

    /// A descriptor of the held lock, to be given to another process.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.shared.store(true, Ordering::Relaxed);
        self.file.as_fd().try_clone_to_owned()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.owner == std::process::id() && !self.shared.load(Ordering::Relaxed) {
            // If this fails, closing the descriptor unlocks.
            let _ = self.file.unlock();
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_refused_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = exclusive(&path).unwrap();
        assert!(matches!(try_exclusive(&path), Err(TryError::Held)));
        drop(held);
        assert!(try_exclusive(&path).is_ok());
    }

    #[test]
    fn asking_who_holds_it_takes_it_from_nobody_and_makes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        assert!(!is_held(&path).unwrap() && !path.exists());
        let held = exclusive(&path).unwrap();
        let shared = held.share().unwrap();
        assert!(is_held(&path).unwrap());
        drop(held);
        assert!(is_held(&path).unwrap(), "the other holder has it still");
        drop(Lock::inherited(shared));
        wait_until_free(&path).unwrap();
        assert!(!is_held(&path).unwrap());
    }

    #[test]
    fn a_copy_of_the_descriptor_does_not_keep_a_lock_that_was_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = exclusive(&path).unwrap();
        // What a child has that was forked at this moment.
        let copy = held.file.try_clone().unwrap();
        drop(held);
        assert!(try_exclusive(&path).is_ok());
        drop(copy);
    }

    #[test]
    fn readers_share() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let _one = acquire(&path, Mode::Shared).unwrap();
        let _two = acquire(&path, Mode::Shared).unwrap();
        assert!(matches!(try_exclusive(&path), Err(TryError::Held)));
    }
}
