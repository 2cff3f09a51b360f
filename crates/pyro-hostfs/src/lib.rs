//! File system primitives: private directories, atomic writes, locks that show whether their owner
//! is alive, append-only logs, checksummed JSON, digests that skip holes, program lookup, and fair permits.
//!
//! It does not know the stored contents.
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
