//! Namespaces of control groups, cgroup_namespaces(7).

use std::io;
use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// Gives this thread a namespace of its own, whose root is the control group that it is in.
///
/// # Errors
/// The error of the kernel.
pub fn make() -> io::Result<()> {
    // SAFETY: this flag changes what paths of control groups mean and touches neither memory nor
    // descriptors.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }?)
}

/// Moves this thread into a namespace, of which `/proc/thread-self/ns/cgroup` was opened.
///
/// # Errors
/// The error of the kernel.
pub fn enter(namespace: impl AsFd) -> io::Result<()> {
    Ok(rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::ControlGroup))?)
}
