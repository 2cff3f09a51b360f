//! QEMU's `microvm` machine as an engine.
//!
//! One QEMU process a machine. Its parent is the thread that started it, and it dies with that
//! thread. QMP and the guest's byte stream are socket pairs that it inherits, so there is no path to
//! guess and no listening socket. It is confined (`pyro-confinement`) as if the guest controlled it
//! already, and also has QEMU's own seccomp filter.

mod arguments;
mod files;
mod machine;
pub mod overlay;
mod program;
pub(crate) mod qmp;
mod start;

use std::path::PathBuf;
use std::sync::OnceLock;

use start::Start;

use crate::{Accelerator, BootSpec, BoxFuture, Engine, Machine, ProgramError, RestoreSpec, StartError};

pub use files::remove_cgroup;
pub use machine::Confinement;
pub use program::{MINIMUM_VERSION, Program};

/// QEMU on this host.
#[derive(Debug)]
pub struct Qemu {
    name: PathBuf,
    search_path: Vec<PathBuf>,
    /// Looked up when it is first needed; the answer stays for the life of this value.
    program: OnceLock<Program>,
}

impl Qemu {
    /// QEMU under a name looked up in `search_path`, or under a path.
    #[must_use]
    pub fn new(name: impl Into<PathBuf>, search_path: Vec<PathBuf>) -> Self {
        Self { name: name.into(), search_path, program: OnceLock::new() }
    }

    /// The program behind it, without starting it.
    ///
    /// # Errors
    /// When it is not there.
    pub fn program(&self) -> Result<&Program, ProgramError> {
        if self.program.get().is_none() {
            let found = Program::find(&self.name, &self.search_path)?;
            let _ = self.program.set(found);
        }
        Ok(self.program.get().expect("the program was set above"))
    }
}

fn not_found(source: std::io::Error) -> StartError {
    StartError::Host { attempt: "find the machine's files", source }
}

impl Program {
    /// Starts it as a machine's process is started, to see what the host allows. It only says its
    /// version.
    ///
    /// # Errors
    /// What the host says when it cannot be started at all.
    pub async fn confinement(&self) -> std::io::Result<Confinement> {
        machine::try_confinement(self).await
    }
}

impl Engine for Qemu {
    fn boot(&self, spec: BootSpec) -> BoxFuture<'_, Result<Box<dyn Machine>, StartError>> {
        Box::pin(async move {
            let spec = files::of_boot(spec).map_err(not_found)?;
            let start = Start::Boot { kernel: &spec.kernel, initramfs: &spec.initramfs, parameters: &spec.parameters };
            let machine = machine::QemuMachine::start(self.program()?, &spec.machine, start).await?;
            Ok(Box::new(machine) as Box<dyn Machine>)
        })
    }

    fn restore(&self, spec: RestoreSpec) -> BoxFuture<'_, Result<Box<dyn Machine>, StartError>> {
        Box::pin(async move {
            let spec = files::of_restore(spec).map_err(not_found)?;
            let start = Start::Restore { state: &spec.state };
            let machine = machine::QemuMachine::start(self.program()?, &spec.machine, start).await?;
            Ok(Box::new(machine) as Box<dyn Machine>)
        })
    }

    fn fingerprint(&self, accelerator: Accelerator) -> Result<String, ProgramError> {
        let program = self.program()?;
        let processor = arguments::processor(accelerator);
        let host = match accelerator {
            // The guest sees the host's processor.
            Accelerator::Kvm => program::host_processor(),
            Accelerator::Tcg => String::new(),
        };
        Ok(format!("qemu {} {} {processor} {host} {}", program.fingerprint, arguments::DEVICES, accelerator.name()))
    }
}
