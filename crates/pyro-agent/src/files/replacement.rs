//! A file that takes a name when it is whole.
//!
//! ```text
//! nameless file ──all data, mode, times──▶ link to a name nobody has ──rename──▶ in its place
//!       └────killed, failed───▶ nothing is left
//! ```
//!
//! Where the file system knows no nameless files, it has a name `.pyro-…` from the beginning; then
//! a worker that is killed leaves it behind.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat, renameat, unlinkat};
use rustix::io::Errno;

/// For nobody else while it is not whole.
const PRIVATE: Mode = Mode::from_bits_retain(0o600);

/// What may have the name until then.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Before {
    Anything,
    Nothing,
}

pub struct Replacement<'a> {
    directory: BorrowedFd<'a>,
    pub file: File,
    /// A name that it has already.
    name: Option<String>,
}

impl<'a> Replacement<'a> {
    pub fn begin(directory: BorrowedFd<'a>) -> rustix::io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        match openat(directory, ".", flags | OFlags::TMPFILE, PRIVATE) {
            Ok(file) => Ok(Self { directory, file: file.into(), name: None }),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let create = flags | OFlags::CREATE | OFlags::EXCL;
                let (name, file) = with_new_name(|name| openat(directory, name, create, PRIVATE))?;
                Ok(Self { directory, file: file.into(), name: Some(name) })
            }
            Err(error) => Err(error),
        }
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// `EXIST` if it has to be nothing's place and is not.
    pub fn commit(mut self, name: &[u8], before: Before) -> rustix::io::Result<()> {
        match self.link(name) {
            Err(Errno::EXIST) if before == Before::Anything => {}
            other => return other,
        }
        let temporary = match self.name.take() {
            Some(temporary) => temporary,
            None => with_new_name(|temporary| self.link(temporary.as_bytes()))?.0,
        };
        let renamed = renameat(self.directory, temporary.as_str(), self.directory, name);
        if renamed.is_err() {
            self.name = Some(temporary);
        }
        renamed
    }

    /// Gives it one more name, if nobody has it.
    fn link(&self, name: &[u8]) -> rustix::io::Result<()> {
        if let Some(first) = &self.name {
            return linkat(self.directory, first.as_str(), self.directory, name, AtFlags::empty());
        }
        match linkat(&self.file, "", self.directory, name, AtFlags::EMPTY_PATH) {
            // Only a privileged process may link what it has open.
            Err(Errno::NOENT) => {
                let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                linkat(CWD, path, self.directory, name, AtFlags::SYMLINK_FOLLOW)
            }
            other => other,
        }
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Fails only if somebody else removed it.
            let _ = unlinkat(self.directory, name.as_str(), AtFlags::empty());
        }
    }
}

/// Does something with a name that nobody has.
pub fn with_new_name<T>(work: impl Fn(&str) -> rustix::io::Result<T>) -> rustix::io::Result<(String, T)> {
    let process = rustix::process::getpid().as_raw_nonzero();
    let mut number = 0_u32;
    loop {
        let name = format!(".pyro-{process}-{number}");
        match work(&name) {
            Err(Errno::EXIST) if number < u32::MAX => number += 1,
            other => return Ok((name, other?)),
        }
    }
}
