//! A machine's directory and id, and the sweep of what the dead left behind.
//!
//! ```text
//! DATA/vms.lock          held for a moment while a directory is made or the dead are swept
//! DATA/vms/ID/lock       held by the living owner; whoever can take it may remove the directory
//! DATA/vms/ID/…          disk.qcow2, console.log, qemu.log
//! ```
//!
//! The machine itself cannot outlive its owner (the kernel kills it), so a directory whose lock is
//! free is all that can be left.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use pyro_hostfs::directory;
use pyro_hostfs::lock::{self, Lock};

use crate::Error;
use crate::error::host;

/// 12 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VmId(String);

impl VmId {
    pub fn random() -> Result<Self, Error> {
        Ok(Self(hex(&random_bytes::<6>()?)))
    }
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Random bytes of the host's.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0u8; N];
    let read = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    read.map_err(|error| host("get random bytes")(error.into()))?;
    Ok(bytes)
}

/// Bytes as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A directory that lives as long as its owner. Dropping it removes it.
#[derive(Debug)]
pub struct VmDirectory {
    path: PathBuf,
    _lock: Lock,
}

impl VmDirectory {
    /// Makes the directory of a machine below `vms`, and removes what the dead left there.
    pub fn create(vms: &Path, id: &VmId) -> Result<Self, Error> {
        directory::private(vms).map_err(host(format!("make {}", vms.display())))?;
        let registry = lock::exclusive(&vms.with_extension("lock")).map_err(host("lock the machines' directory"))?;
        sweep(vms);
        let path = vms.join(&id.0);
        directory::private(&path).map_err(host(format!("make {}", path.display())))?;
        let lock = lock::exclusive(&path.join("lock")).map_err(host("lock the machine's directory"))?;
        drop(registry);
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, and says whether that worked.
    pub fn remove(self) -> Result<(), Error> {
        let result = directory::remove(&self.path).map_err(host(format!("remove {}", self.path.display())));
        drop(self); // finds nothing left to remove
        result
    }
}

impl Drop for VmDirectory {
    fn drop(&mut self) {
        // A failure leaves it to the next sweep.
        let _ = directory::remove(&self.path);
    }
}

/// Removes what the dead left below `vms`, if there is anything at all.
pub fn sweep_dead(vms: &Path) {
    let anything = fs::read_dir(vms).is_ok_and(|mut entries| entries.next().is_some());
    // Whoever holds the lock just now sweeps, too.
    if anything && let Ok(_registry) = lock::try_exclusive(&vms.with_extension("lock")) {
        sweep(vms);
    }
}

/// Removes every directory whose owner is gone. The caller holds the machines' lock.
fn sweep(vms: &Path) {
    let Ok(entries) = fs::read_dir(vms) else { return };
    for entry in entries.flatten() {
        if lock::try_exclusive(&entry.path().join("lock")).is_ok() {
            // A failure leaves it to the next sweep.
            let _ = directory::remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_twelve_hex_digits_and_another_each_time() {
        let (one, two) = (VmId::random().unwrap().to_string(), VmId::random().unwrap().to_string());
        assert!(one.len() == 12 && one.bytes().all(|byte| b"0123456789abcdef".contains(&byte)));
        assert_ne!(one, two);
    }

    #[test]
    fn the_next_machine_sweeps_what_the_dead_left_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let vms = base.path().join("vms");
        let living = VmDirectory::create(&vms, &VmId::random().unwrap()).unwrap();
        let dead = vms.join("0123456789ab");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("disk.qcow2"), "x").unwrap();
        let next = VmDirectory::create(&vms, &VmId::random().unwrap()).unwrap();
        assert!(living.path().exists() && next.path().exists() && !dead.exists());
    }

    #[test]
    fn a_sweep_alone_removes_the_dead_and_makes_nothing() {
        let base = tempfile::tempdir().unwrap();
        let vms = base.path().join("vms");
        sweep_dead(&vms);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
        let living = VmDirectory::create(&vms, &VmId::random().unwrap()).unwrap();
        let dead = vms.join("0123456789ab");
        fs::create_dir(&dead).unwrap();
        sweep_dead(&vms);
        assert!(living.path().exists() && !dead.exists());
    }

    #[test]
    fn a_dropped_directory_is_gone() {
        let base = tempfile::tempdir().unwrap();
        let directory = VmDirectory::create(&base.path().join("vms"), &VmId::random().unwrap()).unwrap();
        let path = directory.path().to_owned();
        drop(directory);
        assert!(!path.exists());
    }
}
