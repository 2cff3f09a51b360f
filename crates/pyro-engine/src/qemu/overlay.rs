//! An empty qcow2 image: nothing in it differs from the layer below.
//!
//! Format: QEMU `docs/interop/qcow2.rst`, version 3. Four clusters: header, refcount table,
//! refcount block, L1 table. It names no backing file; the layer below is named on QEMU's command
//! line, so an overlay may be moved together with its layers.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Bytes of disk that one L1 entry stands for: a table of CLUSTER/8 clusters.
const PER_L1_ENTRY: u64 = CLUSTER * (CLUSTER / 8);
const HEADER_LENGTH: u32 = 104;

/// Writes an empty overlay for a disk of `size` bytes.
///
/// # Errors
/// What the file system says; `InvalidInput` when the disk is larger than 4 TiB.
pub fn write_empty(path: &Path, size: u64) -> io::Result<()> {
    let l1_entries = size.div_ceil(PER_L1_ENTRY);
    if l1_entries * 8 > CLUSTER {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut header = Vec::with_capacity(HEADER_LENGTH as usize);
    header.extend_from_slice(b"QFI\xfb");
    header.extend_from_slice(&3u32.to_be_bytes()); // version
    header.extend_from_slice(&[0; 12]); // no backing file
    header.extend_from_slice(&CLUSTER_BITS.to_be_bytes());
    header.extend_from_slice(&size.to_be_bytes());
    header.extend_from_slice(&0u32.to_be_bytes()); // no encryption
    header.extend_from_slice(&(l1_entries as u32).to_be_bytes());
    header.extend_from_slice(&(3 * CLUSTER).to_be_bytes()); // L1 table
    header.extend_from_slice(&CLUSTER.to_be_bytes()); // refcount table
    header.extend_from_slice(&1u32.to_be_bytes()); // its clusters
    header.extend_from_slice(&[0; 12]); // no snapshots
    header.extend_from_slice(&0u64.to_be_bytes()); // incompatible features
    header.extend_from_slice(&0u64.to_be_bytes()); // compatible features
    header.extend_from_slice(&0u64.to_be_bytes()); // autoclear features
    header.extend_from_slice(&4u32.to_be_bytes()); // 16 bit refcounts
    header.extend_from_slice(&HEADER_LENGTH.to_be_bytes());
    let file = pyro_hostfs::write::private_file(path)?;
    file.set_len(4 * CLUSTER)?;
    file.write_all_at(&header, 0)?;
    file.write_all_at(&(2 * CLUSTER).to_be_bytes(), CLUSTER)?;
    // Each of the four clusters is used once.
    file.write_all_at(&[0, 1, 0, 1, 0, 1, 0, 1], 2 * CLUSTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_is_small_and_says_its_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.qcow2");
        write_empty(&path, 16 << 30).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 4 * 65536);
        assert_eq!(bytes[24..32], (16u64 << 30).to_be_bytes());
        assert_eq!(bytes[36..40], 32u32.to_be_bytes(), "L1 entries for 16 GiB");
    }

    #[test]
    fn qemu_finds_nothing_wrong_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.qcow2");
        write_empty(&path, 16 << 30).unwrap();
        let output = std::process::Command::new("qemu-img").arg("check").arg(&path).output();
        let output = output.expect("qemu-img is there (make setup)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn a_disk_too_large_for_one_table_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(write_empty(&directory.path().join("disk"), 1 << 50).is_err());
    }
}
