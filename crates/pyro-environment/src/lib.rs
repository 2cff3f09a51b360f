//! A named environment made into kernel, initramfs and disk.
//!
//! ```text
//! catalog entry ─▶ signed packages (mmdebstrap) ─▶ archives ─▶ disk (unpacked in a guest) ─▶ installed
//!                                        .partial-…/ under the pull's lock ────rename────▶ NAME-VERSION/
//! ```
//!
//! An environment is installed when its directory stands under its final name; everything before
//! that happens beside it, under a lock, and what an interrupted pull left there is removed by the
//! next one. It knows no machines: whoever pulls brings an [`Unpacker`] that can fill a disk.
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
