//! What a child does to itself before it executes its program: system calls alone, with memory that was
//! prepared before.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::mount::{MountFlags, UnmountFlags};

/// An instruction of a seccomp filter, as the kernel's `struct sock_filter` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// How far to jump when a comparison holds.
    pub jump_if: u8,
    /// How far to jump when it does not.
    pub jump_else: u8,
    /// The operand.
    pub operand: u32,
}

/// One thing the child does to itself before it executes its program.
#[derive(Debug)]
pub enum Step {
    /// Writes to a file that is there.
    Write {
        /// The file.
        path: CString,
        /// What is written, in one system call.
        bytes: Vec<u8>,
    },
    /// Mounts an empty file system.
    Tmpfs {
        /// Where.
        at: CString,
    },
    /// Makes a directory, or finds it.
    Directory(CString),
    /// Makes an empty file, or finds it.
    File(CString),
    /// Makes a symbolic link.
    Link {
        /// What it says.
        to: CString,
        /// Where it is.
        at: CString,
    },
    /// Shows a file or directory in another place, too.
    Bind {
        /// The file or directory.
        from: CString,
        /// The place; a file or directory of the same kind.
        at: CString,
    },
    /// Takes rights from a mount and all below it (mount_setattr(2); Linux 5.12).
    Protect {
        /// Where it is mounted.
        at: CString,
        /// `MOUNT_ATTR_*`, see [`READ_ONLY`] and its neighbours.
        attributes: u64,
    },
    /// Makes a directory the root of all that the child sees.
    Root(CString),
    /// Bounds a resource, for good.
    Limit {
        /// `RLIMIT_*`.
        resource: rustix::process::Resource,
        /// The bound, in the resource's own unit.
        max: u64,
    },
    /// Nothing it executes gives it rights any more.
    NoNewPrivileges,
    /// Enters a Landlock domain; needs [`Step::NoNewPrivileges`] before it.
    Landlock(OwnedFd),
    /// Installs a seccomp filter; needs [`Step::NoNewPrivileges`] before it.
    Seccomp(Vec<Instruction>),
}

/// No writing below a mount.
pub const READ_ONLY: u64 = 0x1;
/// No set-user-id below a mount.
pub const NO_SET_UID: u64 = 0x2;
/// No devices below a mount.
pub const NO_DEVICES: u64 = 0x4;
/// No programs below a mount.
pub const NO_EXECUTION: u64 = 0x8;

/// Takes a step: system calls alone.
pub(crate) fn take(step: &Step) -> rustix::io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    let found = |result: rustix::io::Result<()>| match result {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => other,
    };
    match step {
        Step::Write { path, bytes } => {
            let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
            rustix::io::write(file, bytes).map(drop)
        }
        Step::Tmpfs { at } => mount(c"tmpfs", at, c"tmpfs", MountFlags::NOSUID | MountFlags::NODEV),
        Step::Directory(path) => found(rustix::fs::mkdir(path, Mode::RWXU)),
        Step::File(path) => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map(drop)
        }
        Step::Link { to, at } => found(rustix::fs::symlink(to, at)),
        Step::Bind { from, at } => mount(from, at, c"", MountFlags::BIND | MountFlags::REC),
        Step::Protect { at, attributes } => protect(at, *attributes),
        Step::Root(path) => {
            rustix::process::chdir(path)?;
            // The old root lies over the new one then, and is taken away from there.
            rustix::process::pivot_root(c".", c".")?;
            rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
            rustix::process::chdir(c"/")
        }
        Step::Limit { resource, max } => limit(*resource, *max),
        Step::NoNewPrivileges => rustix::thread::set_no_new_privs(true),
        Step::Landlock(domain) => {
            // SAFETY: touches no memory.
            check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, domain.as_raw_fd(), 0) })
        }
        Step::Seccomp(program) => filter(program),
    }
}

fn mount(what: &CStr, at: &CStr, kind: &CStr, flags: MountFlags) -> rustix::io::Result<()> {
    rustix::mount::mount(what, at, kind, flags, None)
}

fn limit(resource: rustix::process::Resource, max: u64) -> rustix::io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let max = now.maximum.map_or(max, |maximum| maximum.min(max));
    rustix::process::setrlimit(resource, rustix::process::Rlimit { current: Some(max), maximum: Some(max) })
}

fn protect(at: &CStr, attributes: u64) -> rustix::io::Result<()> {
    /// `struct mount_attr` of linux/mount.h.
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let change = Attributes { set: attributes, clear: 0, propagation: 0, user_namespace: 0 };
    // SAFETY: the kernel reads a path and as many bytes of the structure as it is told.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            at.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const change,
            size_of::<Attributes>(),
        )
    })
}

fn filter(program: &[Instruction]) -> rustix::io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| rustix::io::Errno::TOOBIG)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `Instruction` is laid out as `sock_filter`; the kernel copies as many as it is told.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0 as libc::c_uint, &raw const program)
    })
}

/// The error of the system call before.
pub(crate) fn errno() -> rustix::io::Errno {
    let error = io::Error::last_os_error();
    rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::INVAL)
}

fn check(result: libc::c_long) -> rustix::io::Result<()> {
    if result < 0 { Err(errno()) } else { Ok(()) }
}
