//! Starting a program in its own namespaces, with fewer privileges after each step.
//!
//! ```text
//! Launch (everything prepared: words, descriptors, steps)
//!   └─clone (new namespaces; the caller's thread waits)──▶ child: descriptors, steps in order, exec
//!        ├─ executed ──▶ Child (a pidfd)
//!        └─ a step failed ──▶ Failed: which one, and why; the child is gone
//! ```
//!
//! The child shares its parent's memory until it executes its program (as vfork does), so a large
//! parent is not copied, and errors are reported exactly. It only makes system calls: it neither
//! allocates nor locks. Which steps are worth taking is not decided here.

mod step;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::process::{PidfdFlags, Signal, WaitId, WaitIdOptions};

use step::errno;
pub(crate) use step::take;
pub use step::{Instruction, NO_DEVICES, NO_EXECUTION, NO_SET_UID, READ_ONLY, Step};

/// Bytes of the child's stack. It calls no deeper than a few frames.
const STACK: usize = 256 * 1024;
/// Signals from 1 to the last real-time one.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;

/// Which namespaces a child gets for its own. All of them, or none: a user namespace is what lets
/// the others be made without rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// Those of its parent.
    Shared,
    /// User, mount, process id, IPC, host name and network namespaces of its own.
    Own,
}

/// A program to be started.
#[derive(Debug)]
pub struct Launch {
    /// Its path, as the child sees it after its steps.
    pub program: CString,
    /// Its words, its own name first.
    pub words: Vec<CString>,
    /// What it gets as descriptors 0, 1, 2 and so on. It gets no others, and no environment.
    pub descriptors: Vec<OwnedFd>,
    /// What it does not share.
    pub namespaces: Namespaces,
    /// What it does before.
    pub steps: Vec<Step>,
}

/// A program that was started. Its end is to be waited for.
#[derive(Debug)]
pub struct Child {
    pidfd: OwnedFd,
    pid: i32,
}

/// Why a program was not started.
#[derive(Debug)]
pub struct Failed {
    /// What failed.
    pub at: At,
    /// The kernel's answer.
    pub source: io::Error,
}

/// Where a launch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// No process was made: with [`Namespaces::Own`], the host may allow none.
    Clone,
    /// Preparing the process: its descriptors, its session, its end with its parent.
    Preparation,
    /// The step with this number.
    Step(usize),
    /// Executing the program.
    Execution,
}

/// What the child reads and writes. It lives in the parent, who waits meanwhile.
struct Shared<'a> {
    launch: &'a Launch,
    /// Numbers above those wanted, so that none is overwritten before it is copied.
    sources: &'a [OwnedFd],
    words: &'a [*const libc::c_char],
    parent: BorrowedFd<'a>,
    failed: Option<(At, i32)>,
}

impl Launch {
    /// Starts it, as leader of a session of its own. It dies when the **thread** that calls this
    /// ends (`PR_SET_PDEATHSIG` in prctl(2)).
    ///
    /// # Errors
    /// What failed; nothing is left then.
    pub fn start(&self) -> Result<Child, Failed> {
        let failed = |source| Failed { at: At::Preparation, source };
        let above = self.descriptors.len() as RawFd;
        let duplicate = |descriptor: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(descriptor, above);
        let sources: Result<Vec<OwnedFd>, _> = self.descriptors.iter().map(duplicate).collect();
        let sources = sources.map_err(|error| failed(error.into()))?;
        let own = rustix::process::getpid();
        let parent = rustix::process::pidfd_open(own, PidfdFlags::empty()).map_err(|error| failed(error.into()))?;
        let words: Vec<_> = self.words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        let mut shared =
            Shared { launch: self, sources: &sources, words: &words, parent: parent.as_fd(), failed: None };
        let cloned = clone_sharing_memory(self.namespaces, &mut shared);
        let child = cloned.map_err(|source| Failed { at: At::Clone, source })?;
        if let Some((at, error)) = shared.failed {
            let _ = child.wait();
            return Err(Failed { at, source: io::Error::from_raw_os_error(error) });
        }
        Ok(child)
    }
}

impl Child {
    /// Its number in this process's namespace.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.pid
    }

    /// Kills it. Nothing happens when it has ended.
    pub fn kill(&self) {
        // Fails only when it has ended.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Waits for its end, and returns how it ended, as text.
    ///
    /// # Errors
    /// When it was waited for already.
    pub fn wait(&self) -> io::Result<String> {
        self.ended(WaitIdOptions::EXITED).map(|status| status.unwrap_or_default())
    }

    /// As [`Self::wait`]; `None` while it has not ended.
    ///
    /// # Errors
    /// When it was waited for already.
    pub fn try_wait(&self) -> io::Result<Option<String>> {
        self.ended(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    fn ended(&self, options: WaitIdOptions) -> io::Result<Option<String>> {
        let status = loop {
            match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        Ok(status.map(|status| match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exit status: {code}"),
            (None, Some(signal)) => format!("signal: {signal}"),
            (None, None) => "an unknown end".to_owned(),
        }))
    }
}

/// Readable when it has ended.
impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl AsRawFd for Child {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

/// Returns when the child has executed its program or has ended.
fn clone_sharing_memory(namespaces: Namespaces, shared: &mut Shared<'_>) -> io::Result<Child> {
    let mut flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    if namespaces == Namespaces::Own {
        flags |= libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID;
        flags |= libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNET;
    }
    let mut stack = vec![0u8; STACK];
    let mut pidfd: libc::c_int = -1;
    // SAFETY: the child runs on a stack of its own, which outlives it: with CLONE_VFORK this thread
    // stands still until the child has executed its program or ended. `shared` is used by nobody else
    // meanwhile. No handler of a signal can run in the child, because all signals are blocked here
    // before and are unblocked there only after their handlers are gone; the mask is restored after.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        // The end of the stack, on which the x86_64 ABI wants an address divisible by 16.
        let top = stack.as_mut_ptr().add(STACK);
        let top = top.sub(top as usize % 16);
        let argument = ptr::from_mut(shared).cast();
        let pid = libc::clone(child, top.cast(), flags, argument, &mut pidfd as *mut libc::c_int);
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
        if pid < 0 {
            return Err(error);
        }
        Ok(Child { pidfd: OwnedFd::from_raw_fd(pidfd), pid })
    }
}

/// What runs in the child. Never returns to its parent's code.
extern "C" fn child(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `clone_sharing_memory` passes its `shared`, which nobody else touches meanwhile.
    let shared = unsafe { &mut *argument.cast::<Shared<'_>>() };
    let failed = match prepare(shared) {
        Err(error) => (At::Preparation, error),
        Ok(()) => match steps(shared) {
            Err(failed) => failed,
            Ok(()) => (At::Execution, execute(shared)),
        },
    };
    shared.failed = Some((failed.0, failed.1.raw_os_error()));
    127
}

fn steps(shared: &Shared<'_>) -> Result<(), (At, rustix::io::Errno)> {
    for (number, step) in shared.launch.steps.iter().enumerate() {
        take(step).map_err(|error| (At::Step(number), error))?;
    }
    // Last: changing its own rights would make the kernel forget it.
    let dies = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    dies.map_err(|error| (At::Preparation, error))?;
    // The parent may have died before the line above: then nobody would ever kill us.
    let mut parent = [rustix::event::PollFd::new(&shared.parent, rustix::event::PollFlags::IN)];
    let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    match rustix::event::poll(&mut parent, Some(&at_once)) {
        Ok(0) => Ok(()),
        Ok(_) => Err((At::Preparation, rustix::io::Errno::SRCH)),
        Err(error) => Err((At::Preparation, error)),
    }
}

fn prepare(shared: &Shared<'_>) -> rustix::io::Result<()> {
    rustix::process::setsid()?;
    for (number, source) in shared.sources.iter().enumerate() {
        // SAFETY: dup2 touches no memory. The numbers belong to the program that is to be executed.
        let result = unsafe { libc::dup2(source.as_raw_fd(), number as RawFd) };
        if result < 0 {
            return Err(errno());
        }
    }
    let first = shared.sources.len() as libc::c_uint;
    // SAFETY: only marks descriptors to be closed at exec.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 4 as libc::c_uint) };
    if closed != 0 {
        // Linux before 5.11. What pyro opens is marked already; this is for what others left open.
        for number in first as RawFd..1024 {
            // SAFETY: as above; one that is not open is an error of no consequence.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Executes the program, and comes back only with an error.
fn execute(shared: &Shared<'_>) -> rustix::io::Errno {
    let nothing: [*const libc::c_char; 1] = [ptr::null()];
    // SAFETY: handlers and mask belong to this process alone (no CLONE_SIGHAND); the words end with a
    // null and live in the waiting parent.
    unsafe {
        // By the system call: the C library keeps some for itself. The kernel's structure is four words
        // (handler, flags, restorer, mask of eight bytes), and all zeros are the default.
        let default = [0u64; 4];
        for signal in SIGNALS {
            // Two cannot be changed.
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null::<u64>(), 8);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
        libc::execve(shared.launch.program.as_ptr(), shared.words.as_ptr(), nothing.as_ptr());
    }
    errno()
}

#[cfg(test)]
mod tests;
