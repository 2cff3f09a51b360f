//! A process between this one and a program. It stays the ancestor of everything that the program starts.
//!
//! ```text
//! caller ── keeper (subreaper) ── program ── whatever it starts, in any session, with any environment
//!             └ the program ends, the caller ends, or SIGTERM ─▶ kills and reaps until nothing is left
//! ```
//!
//! The keeper is a fork of the caller that executes nothing: it makes system calls on memory of its own, and
//! ends with the program's exit code (128 and the signal where there was one). What the program leaves
//! behind becomes the keeper's child, so the keeper finds it. There is one way to escape: killing
//! the keeper itself.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Bytes of a listing of children that are read at once.
const LISTING: usize = 4096;

/// Starts the program below a keeper. The child that is spawned is the keeper. `ended` is the writing end
/// of a pipe: it is closed when the program itself has ended, while the rest of it may still be there.
///
/// Call it before everything else that is to happen in the program's own process.
pub fn keep(command: &mut Command, ended: OwnedFd) {
    let caller = rustix::process::getpid();
    // SAFETY: before and after the fork the closure makes system calls only, on memory of this process; the
    // keeper never returns from it.
    unsafe {
        command.pre_exec(move || {
            let mut wanted: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut wanted);
            libc::sigaddset(&mut wanted, libc::SIGCHLD);
            libc::sigaddset(&mut wanted, libc::SIGTERM);
            libc::sigprocmask(libc::SIG_BLOCK, &wanted, &mut before);
            let none: libc::c_ulong = 0;
            let signal = libc::SIGTERM as libc::c_ulong;
            if libc::setsid() < 0
                || libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as libc::c_ulong, none, none, none) != 0
                || libc::prctl(libc::PR_SET_PDEATHSIG, signal, none, none, none) != 0
            {
                return Err(io::Error::last_os_error());
            }
            // The caller may have died before the line above.
            if libc::getppid() != caller.as_raw_nonzero().get() {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            let keeper = libc::getpid();
            // By the system call: the C library's fork takes locks that another thread may have held.
            let program = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
            match program {
                ..0 => Err(io::Error::last_os_error()),
                0 => {
                    libc::sigprocmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
                    let kill = libc::SIGKILL as libc::c_ulong;
                    if libc::prctl(libc::PR_SET_PDEATHSIG, kill, none, none, none) != 0 || libc::getppid() != keeper {
                        return Err(io::Error::from_raw_os_error(libc::ESRCH));
                    }
                    Ok(())
                }
                program => watch(program as libc::pid_t, &wanted, ended.as_raw_fd()),
            }
        });
    }
}

/// The keeper's life.
///
/// # Safety
/// Only in a process that has one thread and will never execute anything else.
unsafe fn watch(program: libc::pid_t, wanted: &libc::sigset_t, ended: libc::c_int) -> ! {
    // SAFETY: system calls on memory of this function; the descriptors are nobody else's in this process.
    unsafe {
        let last = libc::c_uint::MAX;
        let keep = ended as libc::c_uint;
        if keep > 0 {
            libc::syscall(libc::SYS_close_range, 0 as libc::c_uint, keep - 1, 0 as libc::c_uint);
        }
        if libc::syscall(libc::SYS_close_range, keep + 1, last, 0 as libc::c_uint) != 0 {
            // Linux before 5.9.
            for number in (0..1024).filter(|number| *number != ended) {
                libc::close(number);
            }
        }
        let (mut code, mut over, mut kill) = (None, false, false);
        loop {
            over |= reap(program, &mut code);
            if over {
                libc::_exit(code.unwrap_or(128 + libc::SIGKILL));
            }
            if code.is_some() && !kill {
                kill = true;
                libc::close(ended);
            }
            if kill {
                kill_children();
                // Those that are killed tell when they are gone; others come to be children meanwhile.
                let soon = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
                libc::sigtimedwait(wanted, std::ptr::null_mut(), &soon);
            } else if libc::sigwaitinfo(wanted, std::ptr::null_mut()) == libc::SIGTERM {
                kill = true;
            }
        }
    }
}

/// Reaps all ended children. Returns whether none is left, and records how the program ended.
///
/// # Safety
/// Only in the keeper.
unsafe fn reap(program: libc::pid_t, code: &mut Option<libc::c_int>) -> bool {
    loop {
        let mut status = 0;
        // SAFETY: waitpid writes to the status alone.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        if pid < 0 {
            return io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD);
        }
        if pid == 0 {
            return false;
        }
        if pid == program {
            let exited = libc::WIFEXITED(status);
            *code = Some(if exited { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) });
        }
    }
}

/// Kills every child. Nobody else reaps them, so that their numbers are theirs.
///
/// # Safety
/// Only in the keeper.
unsafe fn kill_children() {
    let mut listing = [0u8; LISTING];
    // SAFETY: the path ends with a zero byte; read gets the listing's own length.
    let read = unsafe {
        let file = libc::open(c"/proc/thread-self/children".as_ptr(), libc::O_RDONLY);
        if file < 0 {
            return;
        }
        let read = libc::read(file, listing.as_mut_ptr().cast(), LISTING);
        libc::close(file);
        usize::try_from(read).unwrap_or(0)
    };
    let mut number: libc::pid_t = 0;
    for byte in listing.iter().take(read) {
        match byte {
            b'0'..=b'9' => number = number.wrapping_mul(10).wrapping_add(libc::pid_t::from(byte - b'0')),
            _ => {
                if number > 1 {
                    // SAFETY: a signal to a child.
                    unsafe { libc::kill(number, libc::SIGKILL) };
                }
                number = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::Stdio;

    fn kept(script: &str) -> (std::process::Child, std::io::PipeReader) {
        let (ended, ending) = std::io::pipe().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        crate::child::inherit_nothing(&mut command);
        keep(&mut command, ending.into());
        (command.spawn().unwrap(), ended)
    }

    #[test]
    fn what_the_program_leaves_behind_ends_with_it_and_its_code_is_told() {
        let (mut child, mut ended) = kept("(env -i setsid -f sleep 4718); env -i sleep 4718 & exit 7");
        assert_eq!(child.wait().unwrap().code(), Some(7));
        assert_eq!(ended.read(&mut [0]).unwrap(), 0, "its end was told");
        // Whoever holds the other end of its output is gone.
        child.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
    }

    #[test]
    fn a_signal_is_told_as_the_shell_tells_it() {
        assert_eq!(kept("kill -9 $$").0.wait().unwrap().code(), Some(137));
    }

    #[test]
    fn asking_the_keeper_to_end_ends_all() {
        let (mut child, _ended) = kept("(env -i setsid -f sleep 4718); echo up; exec sleep 4718");
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 3]).unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(137));
        stdout.read_to_end(&mut Vec::new()).unwrap();
    }
}
