//! Machines: boot, save, restore, halt.
//!
//! ```text
//! Engine::boot ───▶ Machine (running) ──save──▶ state file, memory file; the machine stands still
//! Engine::restore ▶ Machine (running), copy-on-write from a saved one
//! Machine ──halt──▶ gone        Machine ──by itself──▶ Death (why, with its last output)
//! ```
//!
//! The interface is narrow on purpose. An engine knows nothing of agents, images or tasks: it gets
//! files and a machine shape, and returns one byte stream to the guest. QEMU is the engine of
//! this crate; KVM and TCG are its accelerators, not two engines.
#![forbid(unsafe_code)]

mod accelerator;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod qemu;
mod spec;

pub use accelerator::{Accelerator, KvmDevice};
pub use error::{Death, ProgramError, SaveError, StartError};
pub use spec::{BootSpec, Disk, DiskLayer, Layering, MachineSpec, MemoryFile, MemoryMode, RestoreSpec};

/// The address of every machine's network device. Locally administered; each has its network to
/// itself.
pub const MAC_ADDRESS: [u8; 6] = [0x52, 0x54, 0x00, 0x70, 0x79, 0x72];

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use tokio::net::UnixStream;

/// A boxed future, so that engines can be chosen while the program runs.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that can run machines.
pub trait Engine: Send + Sync {
    /// Starts a machine from its kernel. Returns when the machine runs, not when the guest is up.
    fn boot(&self, spec: BootSpec) -> BoxFuture<'_, Result<Box<dyn Machine>, StartError>>;

    /// Starts a machine from a saved state. Returns when the machine runs again.
    fn restore(&self, spec: RestoreSpec) -> BoxFuture<'_, Result<Box<dyn Machine>, StartError>>;

    /// The properties of this engine that a saved state depends on, as a stable text. A state saved under one
    /// fingerprint is not offered under another.
    ///
    /// # Errors
    /// When the engine's program is not there.
    fn fingerprint(&self, accelerator: Accelerator) -> Result<String, ProgramError>;
}

/// A machine that was started. Dropping it ends it.
pub trait Machine: Send {
    /// The byte stream to the guest's port. `Some` once.
    fn take_channel(&mut self) -> Option<UnixStream>;

    /// The accelerator it really has.
    fn accelerator(&self) -> Accelerator;

    /// The layers of confinement that are in force around the machine's process, by name.
    fn layers(&self) -> &[&'static str];

    /// The other end of the machine's network device: a stream of Ethernet frames, each with its
    /// length before it, in four bytes, big-endian. `Some` once, and only where it was asked for.
    fn take_nic_stream(&mut self) -> Option<UnixStream>;

    /// Stops the machine and writes its state, all but the memory that lives in a shared file, to
    /// `state`. The machine stands still afterwards and can only be halted.
    fn save<'a>(&'a mut self, state: &'a Path) -> BoxFuture<'a, Result<(), SaveError>>;

    /// Resolves when the machine has ended by itself.
    fn died(&mut self) -> BoxFuture<'_, Death>;

    /// Ends the machine at once and waits until it is gone.
    fn halt(self: Box<Self>) -> BoxFuture<'static, ()>;

    /// The last lines of the guest's console, newest last.
    fn console_tail(&self) -> Vec<String>;
}
