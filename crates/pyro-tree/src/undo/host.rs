//! A tree on the host, seen through one descriptor of its root.
//!
//! The descriptor lives as long as the [`Root`]. Every path is resolved below it and through no symbolic link, at the
//! moment of use: a directory that was replaced by a link in the meantime is an error, never a way out.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::state::State;
use crate::entry::Kind;

/// What is at a path.
#[derive(Debug)]
pub enum Found {
    /// Nothing.
    Absent,
    /// Something that this crate handles.
    Is(Seen),
    /// A device, a pipe or a socket.
    Special,
    /// A directory of the path is a symbolic link or no directory.
    Blocked,
}

/// Something that was looked at.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it is.
    pub state: State,
    /// Which one it is.
    pub(crate) identity: Identity,
}

/// Tells one file from another, and from itself with other content. A rename does not change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    size: i64,
    changed: (i64, u64),
}

impl From<&Stat> for Identity {
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            changed: (stat.st_mtime, stat.st_mtime_nsec),
        }
    }
}

/// The root of a tree.
#[derive(Debug)]
pub struct Root {
    descriptor: OwnedFd,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Root {
    /// Opens the root. Links in its own path are followed: the caller named it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { descriptor: rustix::fs::open(path, DIRECTORY, Mode::empty())? })
    }

    /// Opens a directory below the root; the root itself for the empty path.
    ///
    /// # Errors
    /// What the kernel says: `ELOOP` or `ENOTDIR` where something of the path is not a directory.
    pub fn directory(&self, path: &[u8]) -> io::Result<OwnedFd> {
        if path.is_empty() {
            return self.descriptor.try_clone();
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.descriptor, path, DIRECTORY, Mode::empty(), resolve) {
            // No such call: an old kernel, or a filter that does not know it.
            Err(Errno::NOSYS | Errno::PERM) => by_component(self.descriptor.as_fd(), path),
            opened => Ok(opened?),
        }
    }

    /// Opens the directory that holds `path`.
    ///
    /// # Errors
    /// As [`Root::directory`].
    pub fn parent_of(&self, path: &[u8]) -> io::Result<OwnedFd> {
        self.directory(parent(path))
    }

    /// What is at `path`. Reads the content of a file.
    ///
    /// # Errors
    /// What the file system says. That nothing is there is not an error.
    pub fn look(&self, path: &[u8]) -> io::Result<Found> {
        match self.parent_of(path) {
            Ok(directory) => look_in(directory.as_fd(), leaf(path)),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOENT) => Ok(Found::Absent),
                Some(Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => Ok(Found::Blocked),
                _ => Err(error),
            },
        }
    }
}

/// Without `openat2`: each component by itself, none through a link.
fn by_component(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let mut here = root.try_clone_to_owned()?;
    for component in path.split(|byte| *byte == b'/') {
        if matches!(component, b"" | b"." | b"..") {
            return Err(Errno::XDEV.into());
        }
        here = rustix::fs::openat(&here, component, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(here)
}

/// The directory part of a path; empty for a path of one component.
pub(crate) fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |slash| &path[..slash])
}

/// The last component of a path.
pub(crate) fn leaf(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(path, |slash| &path[slash + 1..])
}

/// What has the name `leaf` in a directory.
pub(crate) fn look_in(directory: BorrowedFd<'_>, leaf: &[u8]) -> io::Result<Found> {
    let stat = match rustix::fs::statat(directory, leaf, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(Found::Absent),
        stat => stat?,
    };
    let mode = stat.st_mode & 0o7777;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Ok(seen(&stat, State { kind: Kind::Directory, mode, size: 0, digest: String::new() })),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(directory, leaf, Vec::new())?;
            let (size, digest) = digest_of(target.as_bytes())?;
            Ok(seen(&stat, State { kind: Kind::Symlink, mode: 0, size, digest }))
        }
        FileType::RegularFile => {
            // Not blocking: what is a file now may be a pipe when it is opened.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = File::from(rustix::fs::openat(directory, leaf, flags, Mode::empty())?);
            let stat = rustix::fs::fstat(&file)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Ok(Found::Special);
            }
            let (size, digest) = digest_of(file)?;
            Ok(seen(&stat, State { kind: Kind::File, mode: stat.st_mode & 0o7777, size, digest }))
        }
        _ => Ok(Found::Special),
    }
}

fn seen(stat: &Stat, state: State) -> Found {
    Found::Is(Seen { state, identity: Identity::from(stat) })
}

/// Length and SHA-256 of all that can be read.
pub(crate) fn digest_of(mut reader: impl Read) -> io::Result<(u64, String)> {
    let mut hasher = Sha256::new();
    let size = io::copy(&mut reader, &mut hasher)?;
    Ok((size, hexadecimal(hasher.finalize().as_slice())))
}

/// Lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let pairs = bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    pairs.map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_directory_is_reached_through_a_link_with_or_without_openat2() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("root/a/b")).unwrap();
        fs::create_dir(base.path().join("outside")).unwrap();
        symlink("../outside", base.path().join("root/out")).unwrap();
        symlink("a", base.path().join("root/in")).unwrap();
        let root = Root::open(&base.path().join("root")).unwrap();
        for path in ["out", "in", "in/b", "a/../../outside", "..", "a/b/file"] {
            assert!(root.directory(path.as_bytes()).is_err(), "{path}");
            assert!(by_component(root.descriptor.as_fd(), path.as_bytes()).is_err(), "{path}");
        }
        root.directory(b"a/b").unwrap();
        by_component(root.descriptor.as_fd(), b"a/b").unwrap();
        assert!(matches!(root.look(b"out/x").unwrap(), Found::Blocked));
        assert!(matches!(root.look(b"gone/x").unwrap(), Found::Absent));
    }
}
