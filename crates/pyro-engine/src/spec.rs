//! What a machine is made of.

use std::path::PathBuf;

use crate::Accelerator;

/// The shape of a machine, the same for boot and restore. A state saved in one shape can only be
/// restored in the same one (back ends and paths may differ, devices may not).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineSpec {
    /// A name in the machine's command line, so that a person can find the process of a machine.
    pub name: String,
    /// How its instructions are run.
    pub accelerator: Accelerator,
    /// Virtual processors, at least 1.
    pub vcpus: u8,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The guest's memory.
    pub memory: MemoryFile,
    /// Disks in order: the first is the guest's `/dev/vda`.
    pub disks: Vec<Disk>,
    /// Whether its network device leads to a nic, with its link up. Otherwise the device is there
    /// all the same, leads nowhere, and its link is down.
    pub nic: bool,
    /// A private directory for the console's log and the like; it outlives the machine.
    pub directory: PathBuf,
}

/// The file behind a guest's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryFile {
    /// Its path; it is as long as the guest's memory.
    pub path: PathBuf,
    /// How it is mapped.
    pub mode: MemoryMode,
}

/// How guest memory is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryMode {
    /// The guest writes into the file: it can be saved.
    Shared,
    /// The guest's writes stay its own, and the file is opened for reading only.
    CopyOnWrite,
}

/// A disk of a machine: layers over one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The layer the guest writes to, or the only one.
    pub top: DiskLayer,
    /// The layers below, from the upper to the lowest. Never written.
    pub below: Vec<DiskLayer>,
    /// Whether the guest may write.
    pub writable: bool,
}

/// A file of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskLayer {
    /// Its path.
    pub path: PathBuf,
    /// Its format.
    pub layering: Layering,
}

/// The format of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layering {
    /// Bytes as they are; must be the lowest layer.
    Raw,
    /// Only what differs from the layer below.
    Qcow2,
}

/// A machine started from its kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootSpec {
    /// Its shape.
    pub machine: MachineSpec,
    /// An ELF kernel with a PVH entry.
    pub kernel: PathBuf,
    /// The initial file system.
    pub initramfs: PathBuf,
    /// Kernel command line words of the caller's, after the engine's own.
    pub parameters: Vec<String>,
}

/// A machine started from a saved state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreSpec {
    /// Its shape, as it was when it was saved.
    pub machine: MachineSpec,
    /// The state file that [`crate::Machine::save`] wrote.
    pub state: PathBuf,
}
