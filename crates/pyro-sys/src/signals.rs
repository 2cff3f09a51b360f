//! Notification of dead children through a file descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// Readable when a child has died since it was last taken.
#[derive(Debug)]
pub struct ChildSignals {
    descriptor: OwnedFd,
}

impl ChildSignals {
    /// Blocks SIGCHLD in this thread and turns it into a descriptor. Programs that are executed by
    /// the standard library's `Command` start with nothing blocked all the same.
    ///
    /// # Errors
    /// The error of the kernel.
    pub fn block() -> io::Result<Self> {
        // SAFETY: the set is initialised by sigemptyset before it is used, all pointers are to it,
        // and the descriptor returned by signalfd is owned by nobody else.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGCHLD);
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
                -1 => Err(io::Error::last_os_error()),
                descriptor => Ok(Self { descriptor: OwnedFd::from_raw_fd(descriptor) }),
            }
        }
    }

    /// Whether a child has died since the last call. Several deaths may be one signal.
    #[must_use]
    pub fn take(&self) -> bool {
        let mut record = [0u8; size_of::<libc::signalfd_siginfo>()];
        let mut any = false;
        while rustix::io::read(&self.descriptor, &mut record).is_ok_and(|read| read > 0) {
            any = true;
        }
        any
    }
}

impl AsFd for ChildSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
