//! Locks that the kernel releases when their holder dies, however it dies.
//!
//! They are advisory `flock` locks on a file. Liveness is such a lock: whoever can take it knows
//! that the owner is gone.

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A held lock. Dropping it, or dying, releases it.
///
/// It is let go explicitly, and not only with its descriptor: a child that was forked meanwhile has a copy of
/// that, and would hold the lock until it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// The process that took it for itself alone. A forked child drops a copy, and not the lock.
    owner: u32,
    /// Another process was given a descriptor of it, or gave it.
    shared: AtomicBool,
}

/// Somebody else holds the lock, or it could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// Another holder is alive.
    #[error("another process holds the lock")]
    Held,
    /// The file could not be opened or locked.
    #[error("the lock file could not be opened or locked")]
    Io(#[source] io::Error),
}

/// With whom a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// With nobody.
    Exclusive,
    /// With others who share it.
    Shared,
}

/// Takes the lock, waiting for others.
///
/// # Errors
/// What the file system says.
pub fn acquire(path: &Path, mode: Mode) -> io::Result<Lock> {
    let file = open(path)?;
    match mode {
        Mode::Exclusive => file.lock()?,
        Mode::Shared => file.lock_shared()?,
    }
    Ok(Lock::of(file))
}

/// Takes the lock if nobody is in the way.
///
/// # Errors
/// [`TryError::Held`] when somebody is.
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

/// [`acquire`] for oneself.
///
/// # Errors
/// What the file system says.
pub fn exclusive(path: &Path) -> io::Result<Lock> {
    acquire(path, Mode::Exclusive)
}

/// [`try_acquire`] for oneself.
///
/// # Errors
/// [`TryError::Held`] when somebody holds it.
pub fn try_exclusive(path: &Path) -> Result<Lock, TryError> {
    try_acquire(path, Mode::Exclusive)
}

/// Whether somebody holds the lock for himself, without taking it from anybody and without making
/// the file. Any number may ask at once.
///
/// # Errors
/// What the file system says. A file that is not there is held by nobody.
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

/// Waits until nobody holds the lock for himself, without making the file. Blocks.
///
/// # Errors
/// What the file system says. A file that is not there is free.
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

    /// Takes over a lock whose descriptor this process was given. It is held by both until both
    /// have let go.
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
            // A failure leaves it to the end of the descriptor.
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
