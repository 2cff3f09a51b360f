//! Locks that the kernel releases when their holder dies, however it dies.
//!
//! They are advisory `flock` locks on a file. Liveness is such a lock: whoever can take it knows
//! that the owner is gone.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// A held lock. Dropping it, or dying, releases it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
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

/// Takes the lock for oneself, waiting for others.
///
/// # Errors
/// What the file system says.
pub fn exclusive(path: &Path) -> io::Result<Lock> {
    let file = open(path)?;
    file.lock()?;
    Ok(Lock { _file: file })
}

/// Takes the lock together with others who share it, waiting for an exclusive holder.
///
/// # Errors
/// What the file system says.
pub fn shared(path: &Path) -> io::Result<Lock> {
    let file = open(path)?;
    file.lock_shared()?;
    Ok(Lock { _file: file })
}

/// Takes the lock for oneself if nobody holds it.
///
/// # Errors
/// [`TryError::Held`] when somebody does.
pub fn try_exclusive(path: &Path) -> Result<Lock, TryError> {
    let file = open(path).map_err(TryError::Io)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(TryError::Held),
        Err(TryLockError::Error(error)) => Err(TryError::Io(error)),
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
    fn readers_share() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let _one = shared(&path).unwrap();
        let _two = shared(&path).unwrap();
        assert!(matches!(try_exclusive(&path), Err(TryError::Held)));
    }
}
