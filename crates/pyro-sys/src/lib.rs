//! Safe wrappers for the few system calls pyro needs.
//!
//! The only crate of the house with unsafe code. It knows nothing of tasks, machines or JSON; what
//! `rustix` already offers safely is used from there directly and is not wrapped again.

pub mod byte_lock;
pub mod cgroup_namespace;
pub mod child;
pub mod entropy;
pub mod keeper;
pub mod launch;
pub mod signals;
pub mod tsc;
