//! Directories for their owner only.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Makes the directory, and those above it, for its owner only (0700). One that is there already
/// keeps its content and loses the rights of others.
///
/// # Errors
/// The file system's error. Also fails if other users have access to a directory of another user, which
/// is then left unchanged.
pub fn private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    close(path)
}

/// Removes the permissions of other users, if there are any.
///
/// # Errors
/// As [`private`].
pub fn close(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        let problem =
            format!("other users have access to {}, which belongs to user {}", path.display(), metadata.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// Bytes that an ordinary user may still write on the file system that holds `path`.
///
/// # Errors
/// The error of the file system.
pub fn available_bytes(path: &Path) -> io::Result<u64> {
    let statistics = rustix::fs::statvfs(path)?;
    Ok(statistics.f_bavail * statistics.f_frsize)
}

/// The kind of network file system that holds `path`, if it is one. Locks and shared memory do not
/// work reliably there.
///
/// # Errors
/// The error of the file system.
pub fn network_file_system(path: &Path) -> io::Result<Option<&'static str>> {
    // Numbers of statfs(2).
    Ok(match rustix::fs::statfs(path)?.f_type as u32 {
        0x6969 => Some("NFS"),
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
        0x0102_1997 => Some("9P"),
        0x00C3_6400 => Some("Ceph"),
        0x5346_414F | 0x6B41_4653 => Some("AFS"),
        _ => None,
    })
}

/// Removes a directory with all that is in it; one that is not there is fine, and so is another
/// process that removes it at the same time.
///
/// # Errors
/// The error of the file system, for example where another user's files are inside.
pub fn remove(path: &Path) -> io::Result<()> {
    loop {
        match fs::remove_dir_all(path) {
            Ok(()) => return Ok(()),
            // Another process removed an entry; continue with the rest.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_lose_their_rights() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("a/b");
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        private(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn two_may_remove_at_the_same_time() {
        for _ in 0..20 {
            let base = tempfile::tempdir().unwrap();
            let path = base.path().join("tree");
            for number in 0..20 {
                fs::create_dir_all(path.join(format!("{number}/below"))).unwrap();
                fs::write(path.join(format!("{number}/below/file")), "x").unwrap();
            }
            std::thread::scope(|scope| {
                let removals: Vec<_> = (0..3).map(|_| scope.spawn(|| remove(&path))).collect();
                removals.into_iter().for_each(|removal| removal.join().unwrap().unwrap());
            });
            assert!(!path.exists());
        }
    }

    #[test]
    fn removing_what_is_not_there_is_fine() {
        let base = tempfile::tempdir().unwrap();
        remove(&base.path().join("nothing")).unwrap();
    }
}
