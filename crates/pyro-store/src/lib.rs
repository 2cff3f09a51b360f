//! What is on disk of machines: their directories and who lives in them, their records and the registry of
//! all, the journals of their commands.
//!
//! ```text
//! DATA/registry.sqlite    an index of all records             registry
//! DATA/vms.lock, vms/ID/  the machines' directories, locks    machines
//! vms/ID/record.json      what a machine is                   record
//! vms/ID/journal.log      its commands, and output/           journal
//! ```
//!
//! It knows no engine, no guest and no network, and says what is wrong in errors of its own.
#![forbid(unsafe_code)]

pub mod clock;
pub mod error;
pub mod id;
pub mod journal;
pub mod lifecycle;
pub mod machines;
pub mod record;
pub mod registry;

pub use error::Error;
pub use id::VmId;
pub use lifecycle::{Ended, Kind, State};
pub use machines::{Admission, Machines, Outside};
pub use record::{Addresses, Record, Settings, Wanted};
pub use registry::{Known, Registry, Rows};
