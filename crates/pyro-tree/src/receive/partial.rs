//! What is being received, beside its destination, until it is whole. Its name is random: no two processes share it,
//! wherever they run, and what a killed one left is nobody else's to remove.
//!
//! ```text
//! beside ─▶ make_directory or make_file ─▶ commit: it has the destination's name
//!              └─ dropped: it is removed
//! ```

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::error::ReceiveError;
use crate::beneath::Root;
use crate::digest;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

pub(super) struct Partial {
    destination: PathBuf,
    parent: OwnedFd,
    target: Vec<u8>,
    name: String,
}

impl Partial {
    pub fn beside(destination: &Path) -> Result<Self, ReceiveError> {
        let failed = |error: io::Error| ReceiveError::Destination(destination.to_owned(), error);
        let target = destination.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = fs::openat(fs::CWD, parent.unwrap_or(Path::new(".")), flags, Mode::empty());
        let parent = parent.map_err(|error| failed(error.into()))?;
        let mut number = [0; 16];
        getrandom(&mut number, GetRandomFlags::empty()).map_err(|error| failed(error.into()))?;
        let name = format!(".partial-{}", digest::hex(&number));
        let target = target.as_bytes().to_vec();
        let partial = Self { destination: destination.to_owned(), parent, target, name };
        // What is in the way is found again by the rename. It is looked for here so that nothing is sent in vain.
        if partial.is_taken().map_err(failed)? {
            return Err(ReceiveError::DestinationExists(destination.to_owned()));
        }
        Ok(partial)
    }

    fn is_taken(&self) -> io::Result<bool> {
        let stat = match fs::statat(&self.parent, &self.target, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            other => other?,
        };
        let is_archive = crate::archive::codec::Form::of(&self.destination).is_some();
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory || is_archive {
            return Ok(true);
        }
        let directory = fs::openat(&self.parent, &self.target, DIRECTORY, Mode::empty())?;
        for entry in Dir::read_from(&directory)? {
            if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// For its owner only, until it is whole.
    pub fn make_directory(&self) -> Result<Root, ReceiveError> {
        let made = fs::mkdirat(&self.parent, &self.name, Mode::RWXU)
            .and_then(|()| fs::openat(&self.parent, &self.name, DIRECTORY, Mode::empty()));
        made.map(Root::new).map_err(|error| self.failed(error))
    }

    pub fn make_file(&self) -> Result<File, ReceiveError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = fs::openat(&self.parent, &self.name, flags, Mode::RUSR | Mode::WUSR);
        made.map(File::from).map_err(|error| self.failed(error))
    }

    /// Gives it its name. A directory replaces an empty one; nothing else is replaced.
    pub fn commit(self) -> Result<(), ReceiveError> {
        let (from, to) = (self.name.as_str(), self.target.as_slice());
        let renamed = fs::renameat_with(&self.parent, from, &self.parent, to, RenameFlags::NOREPLACE);
        let renamed = match renamed {
            // An empty directory is there, or the file system knows only the plain call.
            Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) if !self.is_file()? => {
                fs::renameat(&self.parent, from, &self.parent, to)
            }
            Err(Errno::INVAL | Errno::NOSYS) => fs::linkat(&self.parent, from, &self.parent, to, AtFlags::empty()),
            other => other,
        };
        match renamed {
            Ok(()) => Ok(()),
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {
                Err(ReceiveError::DestinationExists(self.destination.clone()))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn is_file(&self) -> Result<bool, ReceiveError> {
        let stat = fs::statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        stat.map(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory)
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, error: Errno) -> ReceiveError {
        ReceiveError::Destination(self.destination.clone(), error.into())
    }

    /// Removes what is there under the partial's name, if anything is. Links are removed, not followed.
    fn remove(&self) -> io::Result<()> {
        match fs::unlinkat(&self.parent, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => remove_directory(&self.parent, self.name.as_bytes()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a commit nothing is there. A failure cannot be told to anybody: the first error is on its way.
        let _ = self.remove();
    }
}

/// Removes a directory of our own. It may be 2,000 levels deep, so each directory is brought up to the first level and
/// emptied there: two descriptors are enough. One that its owner may not read is opened for him first.
fn remove_directory(parent: impl AsFd, name: &[u8]) -> io::Result<()> {
    let top = open_own(&parent, name)?;
    let (mut waiting, mut number) = (Vec::new(), 0u64);
    empty(&top, &mut |name| {
        waiting.push(name.to_vec());
        Ok(())
    })?;
    while let Some(name) = waiting.pop() {
        let directory = open_own(&top, &name)?;
        empty(&directory, &mut |inner| {
            drop(open_own(&directory, inner)?);
            // The guest may have chosen this name too: numbers are tried until one is free.
            let lifted = loop {
                number += 1;
                let lifted = format!(".lifted-{number}").into_bytes();
                match fs::renameat_with(&directory, inner, &top, &lifted, RenameFlags::NOREPLACE) {
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                    Ok(()) => break lifted,
                }
            };
            waiting.push(lifted);
            Ok(())
        })?;
        fs::unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

fn open_own(parent: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let stat = fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory && stat.st_mode & 0o700 != 0o700 {
        fs::chmodat(&parent, name, Mode::RWXU, AtFlags::empty())?;
    }
    Ok(fs::openat(&parent, name, DIRECTORY, Mode::empty())?)
}

/// Removes everything that is not a directory, and gives each directory to `inner`.
fn empty(directory: &OwnedFd, inner: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let names: Result<Vec<_>, Errno> =
        Dir::read_from(directory)?.map(|entry| Ok(entry?.file_name().to_bytes().to_vec())).collect();
    for name in names?.iter().filter(|name| !matches!(name.as_slice(), b"." | b"..")) {
        match fs::unlinkat(directory, name.as_slice(), AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::ISDIR | Errno::PERM) => inner(name)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
