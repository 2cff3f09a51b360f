//! Waiting for guests, and filling disks in one.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pyro_engine::{
    Accelerator, BootSpec, Disk, DiskLayer, Engine, Layering, Machine, MachineSpec, MemoryFile, MemoryMode, StartError,
};
use pyro_environment::{UnpackFailure, UnpackJob, Unpacker};
use pyro_guest::{Guest, GuestError, Identity};

use crate::Error;
use crate::error::host;

/// How long a guest under software emulation may take to boot on a busy host.
pub const BOOT_LIMIT: Duration = Duration::from_secs(120);
/// How long filling a disk may stand still.
const UNPACK_LIMIT: Duration = Duration::from_secs(1800);
/// Memory of a machine that fills a disk, in MiB.
const UNPACK_MEMORY_MIB: u32 = 512;

/// Awaits `answer` from the guest of `machine`, which may die or stay silent instead.
pub async fn await_guest<T>(
    machine: &mut dyn Machine,
    answer: impl Future<Output = Result<T, GuestError>>,
    limit: Duration,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        answer = answer => match answer {
            Ok(value) => Ok(value),
            // The stream ends a moment before the process does.
            Err(GuestError::Gone) => Err(Error::DiedEarly { death: machine.died().await }),
            Err(GuestError::Generation { guest, .. }) => Err(Error::AgentGeneration { guest }),
            Err(GuestError::NotIdentified { why }) => Err(Error::NotIdentified { why }),
            Err(GuestError::Refused(refusal)) => Err(Error::CommandRefused(refusal)),
            Err(error) => Err(Error::GuestNonsense(error)),
        },
        death = machine.died() => Err(Error::DiedEarly { death }),
        () = tokio::time::sleep(limit) => {
            Err(Error::GuestNotUp { waited: limit, console: machine.console_tail() })
        }
    }
}

/// Awaits the start of a machine, which may hang instead.
pub async fn in_time(
    starting: impl Future<Output = Result<Box<dyn Machine>, StartError>>,
    limit: Duration,
) -> Result<Box<dyn Machine>, Error> {
    match tokio::time::timeout(limit, starting).await {
        Ok(started) => started.map_err(Error::Start),
        Err(_) => Err(Error::GuestNotUp { waited: limit, console: Vec::new() }),
    }
}

/// The guest at the other end of a machine's channel.
pub fn attach(machine: &mut dyn Machine) -> Guest {
    Guest::attach(machine.take_channel().expect("a new machine's channel was not taken yet"))
}

/// Fills disks in a guest of this engine.
pub struct GuestUnpacker {
    pub engine: Arc<dyn Engine>,
    pub accelerator: Accelerator,
}

impl GuestUnpacker {
    async fn run(&self, job: UnpackJob<'_>, progress: &mut (dyn FnMut(u64) + Send)) -> Result<(), Error> {
        let disk = |path: &Path, writable| Disk {
            top: DiskLayer { path: path.to_owned(), layering: Layering::Raw },
            below: Vec::new(),
            writable,
        };
        let mut disks = vec![disk(job.disk, true)];
        disks.extend(job.archives.iter().map(|archive| disk(archive, false)));
        let memory = job.directory.join("memory");
        make_memory(&memory, UNPACK_MEMORY_MIB)?;
        let spec = BootSpec {
            machine: MachineSpec {
                name: "unpack".into(),
                accelerator: self.accelerator,
                vcpus: 1,
                memory_mib: UNPACK_MEMORY_MIB,
                memory: MemoryFile { path: memory, mode: MemoryMode::Shared },
                disks,
                nic: false,
                directory: job.directory.to_owned(),
            },
            kernel: job.kernel.to_owned(),
            initramfs: job.initramfs.to_owned(),
            parameters: Vec::new(),
        };
        let mut machine = in_time(self.engine.boot(spec), BOOT_LIMIT).await?;
        let guest = attach(&mut *machine);
        guest.start_handshake(Identity::default());
        await_guest(&mut *machine, guest.ready(), BOOT_LIMIT).await?;
        let names: Vec<String> = (0..=job.archives.len()).map(device_name).collect();
        let sources: Vec<&str> = names[1..].iter().map(String::as_str).collect();
        let unpacked = guest.unpack(&names[0], &sources, progress);
        await_guest(&mut *machine, unpacked, UNPACK_LIMIT).await?;
        machine.halt().await;
        Ok(())
    }
}

impl Unpacker for GuestUnpacker {
    fn unpack<'a>(
        &'a self,
        job: UnpackJob<'a>,
        progress: &'a mut (dyn FnMut(u64) + Send),
    ) -> Pin<Box<dyn Future<Output = Result<(), UnpackFailure>> + Send + 'a>> {
        Box::pin(async move { self.run(job, progress).await.map_err(|error| Box::new(error) as UnpackFailure) })
    }
}

/// The guest's name of its disk number `number`.
fn device_name(number: usize) -> String {
    let letter = char::from(b'a' + u8::try_from(number).unwrap_or(25).min(25));
    format!("/dev/vd{letter}")
}

/// A sparse file as long as the guest's memory.
pub fn make_memory(path: &Path, memory_mib: u32) -> Result<(), Error> {
    let make = || pyro_hostfs::write::private_file(path)?.set_len(u64::from(memory_mib) << 20);
    make().map_err(host("make the file for the guest's memory"))
}
