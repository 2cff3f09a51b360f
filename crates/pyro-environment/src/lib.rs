//! Turns a named environment into a kernel, an initramfs and a disk.
//!
//! ```text
//! catalog entry ─▶ signed packages (mmdebstrap) ─▶ archives ─▶ disk (unpacked in a guest) ─▶ installed
//!                                        .partial-…/ under the pull's lock ────rename────▶ NAME-VERSION/
//! ```
//!
//! An environment is installed when its directory has its final name. Everything before
//! that happens in a partial directory, under a lock. The next pull removes what an interrupted one
//! left. This crate knows no machines: the caller passes an [`Unpacker`] that fills a disk.
#![forbid(unsafe_code)]

mod catalog;
mod cpio;
mod disk;
mod error;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
mod initramfs;
mod install;
mod kernel;
mod manifest;
mod modules;
mod partial;
mod progress;
mod store;
mod tools;

pub use catalog::{CATALOG, CATALOG_VERSION, CatalogEntry, PLATFORM};
pub use error::{EnvironmentError, UnpackFailure};
pub use initramfs::Agent;
pub use install::{UnpackJob, Unpacker};
pub use manifest::{FileRecord, KernelRecord, Manifest, Package};
pub use progress::{Progress, Step};
pub use store::{Installed, Pruned, Store};
pub use tools::Tools;
