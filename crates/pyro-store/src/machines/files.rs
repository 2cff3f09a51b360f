//! What is in a machines' directory by name, the lock over all of them, and how they are removed.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use pyro_hostfs::directory;
use pyro_hostfs::lock::{self, Lock, TryError};

use crate::error::{Error, host};
use crate::record::Record;

pub const LOCK: &str = "lock";
pub const IDLE: &str = "idle";
pub const CREATING: &str = "creating";
pub const ONE_SHOT: &str = "one-shot";
pub const NEW: &str = ".new-";
pub const GONE: &str = ".gone-";

/// What a machine has outside of its directory, which goes with it. Whoever makes machines knows.
#[derive(Clone, Copy, Debug)]
pub struct Outside {
    /// Ends what may still run of a machine whose owner is dead.
    pub end_processes: fn(&Record),
    /// Removes the rest. It is called before the tree of a machine goes, with its path.
    pub remove: fn(&Path),
}

/// Proof that `DATA/vms.lock` is held. What was renamed meanwhile is removed when it is not held any more:
/// others need not wait for that.
pub struct Held {
    lock: Option<Lock>,
    outside: Outside,
    doomed: RefCell<Vec<PathBuf>>,
}

impl Held {
    pub fn new(lock: Lock, outside: Outside) -> Self {
        Self { lock: Some(lock), outside, doomed: RefCell::default() }
    }

    /// Notes a tree that is to be removed when the lock is not held any more.
    pub fn doom(&self, path: PathBuf) {
        self.doomed.borrow_mut().push(path);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.lock.take());
        for path in self.doomed.take() {
            // A failure leaves it to the next recovery.
            let _ = remove_tree(&path, self.outside);
        }
    }
}

/// Whether it is there. What cannot be looked at is not taken for absent.
pub fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(host(format!("look at {}", path.display())))
}

/// Removes what was renamed to go.
pub fn remove_tree(gone: &Path, outside: Outside) -> Result<(), Error> {
    (outside.remove)(gone);
    directory::remove(gone).map_err(host(format!("remove {}", gone.display())))
}

/// The lock, when its owner is dead. Others may be asking the same at this moment.
pub fn lock_of_the_dead(path: &Path) -> Result<Option<Lock>, Error> {
    loop {
        match lock::try_exclusive(path) {
            Ok(lock) => return Ok(Some(lock)),
            Err(TryError::Io(error)) => return Err(host("look at a machine's lock")(error)),
            Err(TryError::Held) if lock::is_held(path).map_err(host("look at a machine's lock"))? => return Ok(None),
            Err(TryError::Held) => std::thread::yield_now(),
        }
    }
}

/// Machines that have nothing outside of their directories.
#[cfg(test)]
pub const NOTHING_OUTSIDE: Outside = Outside { end_processes: |_| {}, remove: |_| {} };
