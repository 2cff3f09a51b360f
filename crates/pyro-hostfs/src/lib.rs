//! Files done right: private directories, writes that are whole or not at all, locks that tell who
//! is alive, append-only logs, texts that carry their checksum, digests that do not read holes, programs found, turns taken.
//!
//! It does not know what is stored.
#![forbid(unsafe_code)]

pub mod digest;
pub mod directory;
pub mod fingerprint;
pub mod lock;
pub mod log;
pub mod permit;
pub mod program;
pub mod seal;
pub mod write;
