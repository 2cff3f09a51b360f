//! Safe wrappers for the few system calls pyro needs.
//!
//! The only pyro crate with unsafe code. It knows nothing of tasks, machines or JSON. What
//! `rustix` already offers safely is used from there directly and is not wrapped again.

pub mod byte_lock;
pub mod cgroup_namespace;
pub mod child;
pub mod entropy;
pub mod keeper;
pub mod launch;
pub mod signals;
pub mod tsc;
