//! The host resources of one machine: the only files that its QEMU sees, and its resource limits.
//!
//! A machine that will be saved (its memory is a shared file) writes to its directory; no commands
//! run in it. Every other machine writes to its own disk and its console's log and nothing else, so what
//! else is in its directory, for example its journal, is out of its reach.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pyro_confinement::cgroup::{self, Wish};
use pyro_confinement::{AllowedPaths, Bounds};

use super::arguments::CONSOLE_LOG;
use super::program::Program;
use super::start::Start;
use crate::{Accelerator, BootSpec, Disk, MachineSpec, MemoryMode, RestoreSpec};

/// Firmware and what else QEMU reads, beside its program or in the system.
const DATA: [&str; 2] = ["share/qemu", "share/seabios"];
/// Address space on top of the guest's memory: translated code, and the stacks and heaps of threads.
const OVERHEAD: u64 = 8 << 30;
const OVERHEAD_OF_A_PROCESSOR: u64 = 256 << 20;
/// What an image needs on top of the disk in it, as a part of the disk, and at least.
const IMAGE_OVERHEAD_PART: u64 = 16;
const IMAGE_OVERHEAD: u64 = 64 << 20;
/// Descriptors QEMU may have open.
const DESCRIPTORS: u64 = 256;

/// The file in a machine's directory that says where its control group is.
const CGROUP_NOTE: &str = "cgroup";
/// Memory on top of the guest's: QEMU's own, and translated code.
const MEMORY_OVERHEAD: u64 = 1 << 30;
/// Threads that a QEMU may have: one a processor, and some that it makes for disks.
const THREADS: u32 = 256;

/// The control group of a machine.
pub fn cgroup(spec: &MachineSpec) -> Wish {
    Wish {
        name: spec.name.clone(),
        memory: (u64::from(spec.memory_mib) << 20) + MEMORY_OVERHEAD,
        processes: THREADS,
        note: spec.directory.join(CGROUP_NOTE),
    }
}

/// The control group of a QEMU that has no machine.
pub fn cgroup_of_nobody() -> Wish {
    let name = format!("nobody-{}", std::process::id());
    Wish { name, memory: MEMORY_OVERHEAD, processes: THREADS, note: "/dev/null".into() }
}

/// Removes the control group of a machine whose owner was killed. `directory` is the machine's.
pub fn remove_cgroup(directory: &Path) {
    cgroup::remove_noted(&directory.join(CGROUP_NOTE));
}

/// Bounds for a QEMU that has no machine.
pub const NO_MACHINE: Bounds = Bounds { address_space: OVERHEAD, file: 0, descriptors: DESCRIPTORS };

/// Bounds for a machine.
pub fn bounds(spec: &MachineSpec) -> io::Result<Bounds> {
    let memory = u64::from(spec.memory_mib) << 20;
    let mut file = memory;
    for layer in spec.disks.iter().flat_map(layers) {
        file = file.max(fs::metadata(layer)?.len());
    }
    Ok(Bounds {
        address_space: memory + OVERHEAD + u64::from(spec.vcpus) * OVERHEAD_OF_A_PROCESSOR,
        file: file + file / IMAGE_OVERHEAD_PART + IMAGE_OVERHEAD,
        descriptors: DESCRIPTORS,
    })
}

/// The files of a machine; makes those that QEMU may not make itself.
pub fn allowed(program: &Program, spec: &MachineSpec, start: &Start<'_>) -> io::Result<AllowedPaths> {
    let console = spec.directory.join(CONSOLE_LOG);
    pyro_hostfs::write::private_file(&console)?;
    let mut allowed = AllowedPaths { writable: vec![console], ..AllowedPaths::default() };
    match spec.memory.mode {
        MemoryMode::Shared => allowed.writable.extend([spec.directory.clone(), spec.memory.path.clone()]),
        MemoryMode::CopyOnWrite => allowed.readable.push(spec.memory.path.clone()),
    }
    for disk in &spec.disks {
        let top = if disk.writable { &mut allowed.writable } else { &mut allowed.readable };
        top.push(disk.top.path.clone());
        allowed.readable.extend(disk.below.iter().map(|layer| layer.path.clone()));
    }
    match start {
        Start::Boot { kernel, initramfs, .. } => {
            allowed.readable.extend([*kernel, *initramfs].map(Path::to_owned));
        }
        Start::Restore { state } => allowed.readable.push(state.to_path_buf()),
    }
    allowed.readable.extend(data(program));
    if spec.accelerator == Accelerator::Kvm {
        allowed.devices.push("/dev/kvm".into());
    }
    Ok(allowed)
}

/// Where QEMU's firmware is.
pub fn data(program: &Program) -> Vec<PathBuf> {
    let beside = program.path.parent().and_then(Path::parent).unwrap_or(Path::new("/usr"));
    let mut directories: Vec<PathBuf> =
        [beside, Path::new("/usr")].iter().flat_map(|prefix| DATA.map(|name| prefix.join(name))).collect();
    directories.dedup();
    directories.iter().filter_map(|path| path.canonicalize().ok()).collect()
}

fn layers(disk: &Disk) -> impl Iterator<Item = &Path> {
    std::iter::once(&disk.top).chain(&disk.below).map(|layer| layer.path.as_path())
}

/// Paths as they are without symbolic links: in a root of its own, a machine does not find them else.
pub fn of_boot(spec: BootSpec) -> io::Result<BootSpec> {
    Ok(BootSpec {
        machine: of_machine(spec.machine)?,
        kernel: spec.kernel.canonicalize()?,
        initramfs: spec.initramfs.canonicalize()?,
        parameters: spec.parameters,
    })
}

/// As [`of_boot`].
pub fn of_restore(spec: RestoreSpec) -> io::Result<RestoreSpec> {
    Ok(RestoreSpec { machine: of_machine(spec.machine)?, state: spec.state.canonicalize()? })
}

fn of_machine(mut spec: MachineSpec) -> io::Result<MachineSpec> {
    spec.directory = spec.directory.canonicalize()?;
    spec.memory.path = spec.memory.path.canonicalize()?;
    for layer in spec.disks.iter_mut().flat_map(|disk| std::iter::once(&mut disk.top).chain(&mut disk.below)) {
        layer.path = layer.path.canonicalize()?;
    }
    Ok(spec)
}
