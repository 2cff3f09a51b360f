//! A directory, and what is below it, without ever following a symbolic link.
//!
//! A `Root` lives as long as a tree is read or written. It holds one descriptor. Each directory is opened from it by
//! `openat2`, or component by component where the kernel has no `openat2`; both refuse a symbolic link anywhere in
//! the name. A directory that is replaced by a link meanwhile is an error (`ELOOP` or `ENOTDIR`), never a way out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::name;

const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    AtOnce,
    Stepwise,
}

#[derive(Debug)]
pub(crate) struct Root {
    descriptor: OwnedFd,
    how: How,
}

impl Root {
    /// The directory at a path that the caller trusts: links in it are followed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::new(openat(CWD, path, flags, Mode::empty())?))
    }

    pub(crate) fn new(descriptor: OwnedFd) -> Self {
        let how = match at_once(descriptor.as_fd(), b".") {
            Ok(_) => How::AtOnce,
            Err(_) => How::Stepwise,
        };
        Self { descriptor, how }
    }

    #[cfg(test)]
    pub(crate) fn stepwise(descriptor: OwnedFd) -> Self {
        Self { descriptor, how: How::Stepwise }
    }

    /// The directory with this clean name; empty for the root. It is good for passing through, not for reading.
    pub(crate) fn directory(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        if self.how == How::AtOnce {
            match at_once(self.descriptor.as_fd(), path) {
                Err(Errno::AGAIN) => {}
                result => return Ok(result?),
            }
        }
        let mut here = openat(&self.descriptor, ".", PASS, Mode::empty())?;
        for component in path.split(|byte| *byte == b'/') {
            here = openat(&here, component, PASS, Mode::empty())?;
        }
        Ok(here)
    }

    /// The same directory, good for reading its entries and for changing its mode and times.
    pub(crate) fn readable(&self, path: &[u8]) -> io::Result<OwnedFd> {
        Ok(openat(self.directory(path)?, ".", LIST, Mode::empty())?)
    }
}

fn at_once(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, PASS, Mode::empty(), resolve)
}

/// The directory that was used last, kept open: neighbours follow each other.
#[derive(Debug, Default)]
pub(crate) struct Last(Option<(Vec<u8>, OwnedFd)>);

impl Last {
    /// The directory of a clean name that is not empty, and the name in it.
    pub(crate) fn parent<'p>(&mut self, root: &Root, path: &'p [u8]) -> io::Result<(BorrowedFd<'_>, &'p [u8])> {
        let (parent, name) = name::split(path);
        let kept = self.0.take().filter(|(known, _)| known == parent);
        let kept = match kept {
            Some(kept) => kept,
            None => (parent.to_vec(), root.directory(parent)?),
        };
        let descriptor: &OwnedFd = &self.0.insert(kept).1;
        Ok((descriptor.as_fd(), name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_is_followed_either_way() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("root/a/b")).unwrap();
        fs::create_dir_all(home.path().join("outside/b")).unwrap();
        symlink("../outside", home.path().join("root/l")).unwrap();
        symlink("a", home.path().join("root/inner")).unwrap();
        let open = || Root::open(&home.path().join("root")).unwrap();
        assert_eq!(open().how, How::AtOnce, "the test is about both ways");
        for root in [open(), Root::stepwise(open().descriptor)] {
            assert!(root.directory(b"a/b").is_ok() && root.directory(b"").is_ok() && root.readable(b"a").is_ok());
            for path in [&b"l"[..], b"l/b", b"inner", b"inner/b"] {
                let error = root.directory(path).unwrap_err();
                let error = Errno::from_io_error(&error).unwrap();
                assert!([Errno::LOOP, Errno::NOTDIR].contains(&error), "{:?}: {error}", root.how);
            }
        }
    }
}
