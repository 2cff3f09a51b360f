//! What must happen between fork and exec.
//!
//! Everything here runs in the child of a possibly threaded process, so it may only make system
//! calls: no allocation, no locks.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;

/// Lets the child die, by SIGKILL, when the **thread** that spawns it ends.
///
/// That it is the thread and not the process is Linux's rule (`PR_SET_PDEATHSIG` in prctl(2)):
/// spawn from a thread that lives as long as the child should.
pub fn die_with_parent(command: &mut Command) {
    signalled_with_parent(command, Signal::KILL);
}

/// As [`die_with_parent`], by SIGTERM: for programs that clean up when they are asked to end.
pub fn end_with_parent(command: &mut Command) {
    signalled_with_parent(command, Signal::TERM);
}

fn signalled_with_parent(command: &mut Command, signal: Signal) {
    let parent = rustix::process::getpid();
    // SAFETY: the closure makes two system calls and touches no memory but its own copy of a pid.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal))?;
            // The parent may have died before the line above: then nobody would ever kill us.
            if rustix::process::getppid() != Some(parent) {
                return Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()));
            }
            Ok(())
        });
    }
}

/// Gives the child `descriptors[i]` as descriptor number `first + i`, open across exec.
///
/// The descriptors stay owned by `command` and are closed here when it is dropped. Numbers from
/// `first` on must not be used otherwise by the child.
///
/// # Errors
/// When a descriptor cannot be moved out of the way of the wanted numbers.
pub fn inherit(command: &mut Command, first: RawFd, descriptors: Vec<OwnedFd>) -> io::Result<()> {
    let above = first + descriptors.len() as RawFd;
    // Duplicates above the wanted numbers, so that no dup2 below overwrites a later source.
    let sources = descriptors
        .iter()
        .map(|descriptor| rustix::io::fcntl_dupfd_cloexec(descriptor, above))
        .collect::<Result<Vec<OwnedFd>, _>>()?;
    drop(descriptors);
    // SAFETY: the closure calls dup2 on descriptors it owns; `forget` keeps the wanted numbers
    // open (they belong to the program that is about to be executed).
    unsafe {
        command.pre_exec(move || {
            for (target, source) in (first..).zip(&sources) {
                let mut slot = <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(target);
                let result = rustix::io::dup2(source, &mut slot);
                std::mem::forget(slot);
                result?;
            }
            Ok(())
        });
    }
    Ok(())
}

/// Starts the child as leader of a new session, so that signals of the caller's terminal do not
/// reach it.
pub fn new_session(command: &mut Command) {
    // SAFETY: the closure makes one system call.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
}

/// Lets the child inherit no descriptor above the standard three, whoever opened it and however it
/// was opened. Call it before [`inherit`], which then gives it the wanted ones.
pub fn inherit_nothing(command: &mut Command) {
    /// Linux before 5.11 has no `close_range` with this flag; there, one by one up to here.
    const OLD_KERNELS: libc::c_int = 1024;
    // SAFETY: the closure makes system calls that only mark descriptors to be closed when the
    // child executes its program.
    unsafe {
        command.pre_exec(|| {
            let (first, last, close_on_exec): (libc::c_uint, libc::c_uint, libc::c_uint) = (3, libc::c_uint::MAX, 4);
            if libc::syscall(libc::SYS_close_range, first, last, close_on_exec) != 0 {
                for descriptor in 3..OLD_KERNELS {
                    libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
                }
            }
            Ok(())
        });
    }
}

/// Lets the child take steps before it executes its program, in order. One that the host refuses is
/// passed over.
pub fn attempt(command: &mut Command, steps: Vec<crate::launch::Step>) {
    // SAFETY: a step only makes system calls, with memory that was prepared before.
    unsafe {
        command.pre_exec(move || {
            for step in &steps {
                let _ = crate::launch::take(step);
            }
            Ok(())
        });
    }
}

/// Takes over a descriptor that this program was started with, and keeps it from its own children.
/// `None` when it is not open.
///
/// Call it once for each number, first thing in the program, for numbers that were promised to it.
#[must_use]
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: fcntl takes a number and touches no memory; when the descriptor is open, it was
    // inherited, and nothing else in this program knows of it yet.
    unsafe {
        if libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) != 0 {
            return None;
        }
        Some(<OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsRawFd;

    #[test]
    fn descriptors_arrive_under_the_wanted_numbers_even_when_they_cross() {
        let content = |text: &str| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.rewind().unwrap();
            OwnedFd::from(file)
        };
        let mut command = Command::new("sh");
        command.args(["-c", "cat <&3; cat <&4; cat <&5"]);
        inherit(&mut command, 3, vec![content("a"), content("b"), content("c")]).unwrap();
        assert_eq!(command.output().unwrap().stdout, b"abc");
    }

    #[test]
    fn a_child_that_inherits_nothing_has_what_it_is_given_and_no_more() {
        let leaked = rustix::io::dup(File::open("/dev/null").unwrap()).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"given").unwrap();
        file.rewind().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("cat <&3; test -e /proc/self/fd/{} && echo leaked", leaked.as_raw_fd())]);
        inherit_nothing(&mut command);
        inherit(&mut command, 3, vec![file.into()]).unwrap();
        assert_eq!(command.output().unwrap().stdout, b"given");
    }

    #[test]
    fn a_child_dies_with_the_thread_that_spawned_it() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        std::thread::spawn(move || {
            let mut command = Command::new("sleep");
            command.arg("600").stdout(writer);
            die_with_parent(&mut command);
            drop(command.spawn().unwrap());
        })
        .join()
        .unwrap();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
    }
}
