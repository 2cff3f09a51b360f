//! QEMU's `microvm` machine as an engine.
//!
//! One QEMU process a machine. Its parent is the thread that started it, and it dies with that
//! thread; QMP and the guest's byte stream are socket pairs it inherits, so there is no path to
//! guess and nothing to listen on. It runs under QEMU's own seccomp filter.

mod arguments;
mod machine;
pub mod overlay;
mod program;
mod qmp;

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::{Accelerator, BootSpec, BoxFuture, Engine, Machine, ProgramError, RestoreSpec, StartError};

pub use program::{MINIMUM_VERSION, Program};

/// Where a run of QEMU starts from.
pub(crate) enum Start<'a> {
    Boot { kernel: &'a std::path::Path, initramfs: &'a std::path::Path, parameters: &'a [String] },
    Restore { state: &'a std::path::Path },
}

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

impl Engine for Qemu {
    fn boot(&self, spec: BootSpec) -> BoxFuture<'_, Result<Box<dyn Machine>, StartError>> {
        Box::pin(async move {
            let start = Start::Boot { kernel: &spec.kernel, initramfs: &spec.initramfs, parameters: &spec.parameters };
            let machine = machine::QemuMachine::start(self.program()?, &spec.machine, start).await?;
            Ok(Box::new(machine) as Box<dyn Machine>)
        })
    }

    fn restore(&self, spec: RestoreSpec) -> BoxFuture<'_, Result<Box<dyn Machine>, StartError>> {
        Box::pin(async move {
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
        Ok(format!("qemu {} {} {processor} {host} {}", program.stamp, arguments::DEVICES, accelerator.name()))
    }
}
