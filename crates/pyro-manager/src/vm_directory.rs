//! The directory of a machine that lives in this process.

use std::path::{Path, PathBuf};

use pyro_hostfs::lock::Lock;
use pyro_store::machines::{Admission, Machines};

use crate::error::Error;
use crate::id::VmId;
use crate::threads::off_thread;

/// The file of a machine's directory that says what its workspace was seeded with.
pub const SEED_MANIFEST: &str = "seed.manifest";

/// A directory that lives as long as its owner. Dropping it removes it.
#[derive(Debug)]
pub struct VmDirectory {
    machines: Machines,
    id: VmId,
    path: PathBuf,
    _lock: Lock,
}

impl VmDirectory {
    /// Makes the directory of a machine, and removes what the dead left. Others may hold the lock that
    /// it takes: that is waited for off the event loop.
    pub async fn create(machines: &Machines, id: &VmId, admission: Admission) -> Result<Self, Error> {
        let (machines, id) = (machines.clone(), id.clone());
        off_thread(move || {
            let (path, lock) = machines.admit_one_shot(&id, admission)?;
            Ok(Self { machines, id, path, _lock: lock })
        })
        .await
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, and says whether that worked.
    pub async fn remove(self) -> Result<(), Error> {
        off_thread(move || Ok(self.machines.discard(&self.id)?)).await
    }
}

impl Drop for VmDirectory {
    fn drop(&mut self) {
        // Nothing is left of one that was removed; a failure leaves it to the next recovery.
        let _ = self.machines.discard(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyro_store::Outside;

    #[tokio::test]
    async fn a_dropped_directory_is_gone() {
        let base = tempfile::tempdir().unwrap();
        let machines = Machines::new(base.path().to_owned(), Outside { end_processes: |_| {}, remove: |_| {} });
        let directory = VmDirectory::create(&machines, &VmId::random().unwrap(), Admission::Always).await.unwrap();
        let path = directory.path().to_owned();
        assert!(path.exists());
        drop(directory);
        assert!(!path.exists());
    }
}
