//! The directory that an operation cannot leave.
//!
//! Every path is resolved by the kernel, below a descriptor (openat2(2)). Neither `..` nor a
//! symbolic link leads out of it, even when somebody changes links meanwhile, and the links of
//! `/proc` are not followed. Below any root but `/` an absolute path or link is outside. Below `/`
//! it is what it is to everybody in the machine.

use std::os::fd::OwnedFd;

use pyro_protocol::files::reason;
use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, open, openat2, readlinkat};
use rustix::io::Errno;

use super::failure::{At, Failure, Result};

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;
/// How often a lookup is repeated that somebody else's rename disturbed.
const ROUNDS: usize = 64;
/// A directory to look names up in.
const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
/// Mode of directories that are made on the way.
const PARENTS: Mode = Mode::from_bits_retain(0o755);

pub struct Root {
    directory: OwnedFd,
    resolve: ResolveFlags,
}

/// A name in a directory. Nothing need be there.
pub struct Place {
    pub directory: OwnedFd,
    pub name: Vec<u8>,
}

impl Root {
    /// Opens it by its absolute path.
    pub fn open(path: &[u8]) -> Result<Self> {
        if path.first() != Some(&b'/') {
            return Err(Failure::new(reason::BAD_REQUEST, path, "the root is not an absolute path"));
        }
        let directory = open(path, PLACE | OFlags::CLOEXEC, Mode::empty()).at(path)?;
        let is_whole = path.iter().all(|byte| *byte == b'/');
        let resolve = if is_whole { ResolveFlags::IN_ROOT } else { ResolveFlags::BENEATH };
        Ok(Self { directory, resolve })
    }

    /// A directory below it as a root of its own.
    pub fn below(&self, path: &[u8]) -> Result<Self> {
        let directory = self.open_at(path, PLACE).at(path)?;
        let is_same = path.split(|byte| *byte == b'/').all(|part| part.is_empty() || part == b".");
        Ok(Self { directory, resolve: if is_same { self.resolve } else { ResolveFlags::BENEATH } })
    }

    /// Opens what a path leads to. An empty path is the root itself.
    pub fn open_at(&self, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        // openat2(2) refuses flags without a meaning.
        let terminal = if flags.contains(OFlags::PATH) { OFlags::empty() } else { OFlags::NOCTTY };
        let flags = flags | OFlags::CLOEXEC | terminal;
        let resolve = self.resolve | ResolveFlags::NO_MAGICLINKS;
        let mut rounds = 0;
        loop {
            match openat2(&self.directory, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) if rounds < ROUNDS => rounds += 1,
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Where a name is, without following it.
    pub fn place(&self, path: &[u8]) -> Result<Place> {
        let (parent, name) = split(path);
        if matches!(name, b"" | b"." | b"..") {
            return Err(Failure::new(reason::BAD_REQUEST, path, "it names no entry of a directory"));
        }
        Ok(Place { directory: self.open_at(parent, PLACE).at(path)?, name: name.to_vec() })
    }

    /// Where a name is, or the one that it leads to if it is a symbolic link.
    pub fn followed(&self, path: &[u8]) -> Result<Place> {
        let mut now = path.to_vec();
        for _ in 0..MOST_LINKS {
            let place = self.place(&now)?;
            let target = match readlinkat(&place.directory, place.name.as_slice(), Vec::new()) {
                Ok(target) => target.into_bytes(),
                Err(Errno::INVAL | Errno::NOENT) => return Ok(place), // no link
                Err(error) => return Err(error).at(path),
            };
            if target.starts_with(b"/") {
                now = target; // outside, unless the root is everything: the next look says which
            } else {
                now = join(split(&now).0, &target);
            }
        }
        Err(Errno::LOOP).at(path)
    }

    /// Makes the directories above a name that are missing.
    pub fn make_parents(&self, path: &[u8]) -> Result<()> {
        let parent = split(path).0;
        if self.open_at(parent, PLACE).is_ok() {
            return Ok(());
        }
        let ends = parent.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([parent.len()]).filter(|end| *end > 0) {
            self.make_one(&parent[..end])?;
        }
        Ok(())
    }

    fn make_one(&self, path: &[u8]) -> Result<()> {
        match self.open_at(path, PLACE) {
            Ok(_) => return Ok(()),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error).at(path),
        }
        let place = self.place(path)?;
        match mkdirat(&place.directory, place.name.as_slice(), PARENTS) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error).at(path),
        }
    }
}

/// The directory and the name. Slashes at the end do not count.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let path = &path[..end];
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (b"/", &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// A name in a directory. An empty directory is the root.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let end = directory.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let mut path = directory[..end].to_vec();
    if end > 0 || !directory.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_directory_and_a_name() {
        assert_eq!(split(b"a"), (&b""[..], &b"a"[..]));
        assert_eq!(split(b"a/b//"), (&b"a"[..], &b"b"[..]));
        assert_eq!(split(b"/a"), (&b"/"[..], &b"a"[..]));
        assert_eq!(split(b"//"), (&b""[..], &b""[..]));
        assert_eq!(split(b""), (&b""[..], &b""[..]));
    }

    #[test]
    fn a_name_is_joined_with_one_slash() {
        assert_eq!(join(b"", b"a"), b"a");
        assert_eq!(join(b"a/", b"b"), b"a/b");
        assert_eq!(join(b"/", b"b"), b"/b");
    }
}
