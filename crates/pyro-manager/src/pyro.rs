//! The manager: what it was opened with, and what all its operations share. Each module above adds its own.

use std::sync::Arc;

use pyro_engine::Engine;
use pyro_engine::qemu::{Qemu, remove_cgroup};
use pyro_environment::{Store, Tools};
use pyro_store::Record;
use pyro_store::machines::{Admission, Machines, Outside};

use crate::agent::AGENT;
use crate::config::Config;
use crate::error::Error;
use crate::failpoints::{Failpoints, NoFailpoints};
use crate::limits::MachineSize;
use crate::payload::HOST_COMPAT;
use crate::threads::off_thread;
use crate::warm_pool::pool::WarmPool;
use crate::workspace::end_host_processes;

/// What a machine has outside of its directory: the processes of commands on the host, and QEMU's control group.
const OUTSIDE: Outside = Outside { end_processes, remove: remove_cgroup };

/// The manager. Cheap to open: it looks at nothing before it is asked to.
#[derive(Clone)]
pub struct Pyro {
    pub(crate) config: Config,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) store: Store,
    pub(crate) failpoints: Arc<dyn Failpoints>,
    pub(crate) warm_pool: Option<WarmPool>,
}

impl Pyro {
    /// The manager over this host's QEMU.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let engine = Arc::new(Qemu::new(&config.qemu, config.search_path.clone()));
        Self::with_engine(config, engine)
    }

    /// The manager over another engine.
    #[must_use]
    pub fn with_engine(config: Config, engine: Arc<dyn Engine>) -> Self {
        let tools = Tools { search_path: config.search_path.clone(), scratch: config.scratch.clone() };
        let store = Store::new(config.cache.clone(), tools, AGENT);
        Self { config, engine, store, failpoints: Arc::new(NoFailpoints), warm_pool: None }
    }

    /// The same, and every step it takes is told.
    #[must_use]
    pub fn with_failpoints(mut self, failpoints: Arc<dyn Failpoints>) -> Self {
        self.failpoints = failpoints;
        self
    }

    /// What it was opened with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Removes what killed processes left behind. Faces do this once when they start; it costs
    /// nothing where nothing was left.
    pub fn recover(&self) {
        // What is in the way is told by whoever lists, or does something with it.
        let _ = self.machines().recover();
    }

    pub(crate) fn machines(&self) -> Machines {
        Machines::new(self.config.data.clone(), OUTSIDE)
    }

    /// Whether there may be one more machine of this size.
    pub(crate) fn admission(&self, size: MachineSize) -> Admission {
        match self.config.max_active_vms {
            Some(limit) => Admission::Limit(limit),
            None => Admission::ByMemory { mem_mib: size.memory_mib() },
        }
    }

    /// Does work of the manager's own that waits for files, locks or the registry, on a thread of its own.
    pub(crate) async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let pyro = self.clone();
        off_thread(move || work(&pyro)).await
    }
}

/// The kernel has ended the first process of a command on the host, and nothing else of it.
fn end_processes(record: &Record) {
    if record.execution_mode == HOST_COMPAT {
        end_host_processes(&record.id);
    }
}
