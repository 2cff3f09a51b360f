//! Locks that the kernel releases when their holder dies, however it dies.
//!
//! They are advisory `flock` locks on a file. Liveness is such a lock: whoever can take it knows
//! that the owner is gone.

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A held lock. Dropping it, or dying, releases it.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Somebody else holds the lock, or it could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// Another holder is alive.
    #[error("the lock is held")]
    Held,
    /// The file could not be opened or locked.
    #[error("the lock could not be tried")]
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
    Ok(Lock { file })
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
        Ok(()) => Ok(Lock { file }),
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
        Ok(()) => Ok(false),
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
        file => file?.lock_shared(),
    }
}

impl Lock {
    /// Takes over a lock whose descriptor this process was given. It is held by both until both
    /// have let go.
    #[must_use]
    pub fn inherited(descriptor: OwnedFd) -> Self {
        Self { file: File::from(descriptor) }
    }

    /// A descriptor of the held lock, to be given to another process.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.file.as_fd().try_clone_to_owned()
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
    fn readers_share() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let _one = acquire(&path, Mode::Shared).unwrap();
        let _two = acquire(&path, Mode::Shared).unwrap();
        assert!(matches!(try_exclusive(&path), Err(TryError::Held)));
    }
}
