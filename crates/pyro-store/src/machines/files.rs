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

/// Resources of a machine outside of its directory. The crate that makes machines implements this.
#[derive(Clone, Copy, Debug)]
pub struct Outside {
    /// Ends remaining processes of a machine whose owner is dead.
    pub end_processes: fn(&Record),
    /// Removes the rest. It is called before the tree of a machine goes, with its path.
    pub remove: fn(&Path),
}

/// Proof that `DATA/vms.lock` is held. Renamed trees are removed after the lock is released, so that
/// other processes do not wait for it.
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

/// Whether the path exists. An error is not treated as absence.
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
