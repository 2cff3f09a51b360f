//! A cheap answer to "is this still the file whose digest I know?".

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Size and last change of a file. Equal stamps of the same path mean that nobody wrote to it
/// through the file system; unequal ones mean that its digest must be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Size in bytes.
    pub size: u64,
    /// Inode number.
    pub inode: u64,
    /// Last change of content, nanoseconds since 1970.
    pub modified_ns: i128,
}

/// The fingerprint of a file as it is now.
///
/// # Errors
/// The error of the file system.
pub fn of(path: &Path) -> io::Result<Fingerprint> {
    let metadata = fs::metadata(path)?;
    let modified_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    Ok(Fingerprint { size: metadata.size(), inode: metadata.ino(), modified_ns })
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.size, self.inode, self.modified_ns)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_write_changes_the_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let before = super::of(&path).unwrap();
        assert_eq!(super::of(&path).unwrap(), before);
        std::fs::write(&path, "three").unwrap();
        assert_ne!(super::of(&path).unwrap(), before);
    }
}
