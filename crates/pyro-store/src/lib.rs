//! Persistent data of machines: their directories and owner locks, their records, the registry of all
//! records, and the journals of their commands.
//!
//! ```text
//! DATA/registry.sqlite    an index of all records             registry
//! DATA/vms.lock, vms/ID/  the machines' directories, locks    machines
//! vms/ID/record.json      what a machine is                   record
//! vms/ID/journal.log      its commands, and output/           journal
//! ```
//!
//! This crate does not depend on an engine, a guest or a network, and has its own errors.
#![forbid(unsafe_code)]

pub mod clock;
pub mod error;
pub mod id;
pub mod journal;
pub mod lifecycle;
pub mod machines;
pub mod naming;
pub mod record;
pub mod registry;

pub use error::Error;
pub use id::VmId;
pub use lifecycle::{Ended, Kind, State};
pub use machines::{Admission, Machines, Outside};
pub use naming::{Naming, Unfit};
pub use record::{Addresses, Record, Settings, Wanted};
pub use registry::{Known, Registry, Rows};
