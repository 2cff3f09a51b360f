//! Locks on single bytes of a file. They belong to the open file, and are released when every process that
//! has it open is dead (`F_OFD_SETLK`, Linux 3.15, fcntl(2)). The bytes need not exist.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;

/// The mode of a byte lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Exclusive. The file must be open for writing.
    Exclusive,
    /// Shared. The file must be open for reading.
    Shared,
}

/// Locks the byte at this offset if it is free. Returns whether it is locked now.
///
/// # Errors
/// What the kernel says; an offset above `i64::MAX` is `EINVAL`.
pub fn try_lock(file: &File, byte: u64, mode: Mode) -> io::Result<bool> {
    match change(file, byte, kind(mode), libc::F_OFD_SETLK) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Locks the byte at this offset, waiting for others.
///
/// # Errors
/// As [`try_lock`].
pub fn lock(file: &File, byte: u64, mode: Mode) -> io::Result<()> {
    loop {
        match change(file, byte, kind(mode), libc::F_OFD_SETLKW) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Unlocks the byte at this offset, for every process that shares the open file.
///
/// # Errors
/// As [`try_lock`].
pub fn unlock(file: &File, byte: u64) -> io::Result<()> {
    change(file, byte, libc::F_UNLCK, libc::F_OFD_SETLK)
}

fn kind(mode: Mode) -> libc::c_int {
    if mode == Mode::Exclusive { libc::F_WRLCK } else { libc::F_RDLCK }
}

fn change(file: &File, byte: u64, kind: libc::c_int, command: libc::c_int) -> io::Result<()> {
    let start = libc::off_t::try_from(byte).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // A process id of zero is what these commands ask for.
    let lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: both commands read a `struct flock`, which lives until the call returns.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn opened(path: &std::path::Path) -> File {
        File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
    }

    #[test]
    fn a_byte_is_one_open_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bytes");
        let (one, other) = (opened(&path), opened(&path));
        assert!(try_lock(&one, 7, Mode::Exclusive).unwrap());
        assert!(try_lock(&one, 7, Mode::Exclusive).unwrap(), "it is his already");
        assert!(!try_lock(&other, 7, Mode::Exclusive).unwrap());
        assert!(!try_lock(&other, 7, Mode::Shared).unwrap());
        assert!(try_lock(&other, 8, Mode::Exclusive).unwrap(), "the next one is another");
        unlock(&one, 7).unwrap();
        assert!(try_lock(&other, 7, Mode::Shared).unwrap());
        assert!(try_lock(&one, 7, Mode::Shared).unwrap());
        assert_eq!(try_lock(&one, u64::MAX, Mode::Shared).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_closed_file_holds_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bytes");
        let (one, other) = (opened(&path), opened(&path));
        assert!(try_lock(&one, 7, Mode::Exclusive).unwrap());
        let (waits, has_waited) = mpsc::channel();
        let waiter = std::thread::spawn(move || {
            waits.send(()).unwrap();
            lock(&other, 7, Mode::Shared)
        });
        has_waited.recv().unwrap();
        drop(one);
        waiter.join().unwrap().unwrap();
    }
}
