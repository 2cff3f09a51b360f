//! Everything pyro promises, as one facade.
//!
//! ```text
//! Pyro::run ─▶ limits ─▶ environment (pulled when it is not there) ─▶ accelerator (a guest's verdict)
//!           ─▶ template (booted once, restored ever after) ─▶ machine ─▶ command ─▶ everything removed
//! ```
//!
//! The faces parse, call one function of [`Pyro`], and render what comes back. Nothing here reads
//! the environment, the terminal or `$HOME`, and nothing prints: what there is to know stands in
//! [`Config`], and what there is to tell goes out as events and payloads.
#![forbid(unsafe_code)]

mod accelerator;
mod agent;
mod client;
mod clock;
mod config;
mod create;
mod doctor;
mod environments;
mod error;
mod events;
mod exec;
mod execution;
#[cfg(fuzzing)]
pub mod fuzzing;
mod guest_command;
mod host_command;
mod host_processes;
mod id;
mod journal;
mod lifecycle;
mod limits;
mod machines;
mod network;
mod output;
mod payload;
mod process_tree;
mod registry;
mod repair;
mod run;
mod session;
mod shell;
mod standby;
mod steps;
mod supervisor;
mod tasks;
mod template;
mod threads;
mod turns;
mod unpacker;
mod vm_directory;
mod vms;

pub use accelerator::KvmVerdict;
pub use config::{Config, JOURNAL_CAP, Supervisor};
pub use create::CreateRequest;
pub use doctor::{Check, CheckStatus, Depth, DoctorReport, KvmReport};
pub use error::{Error, Failure};
pub use events::{EnvironmentProgress, Phase, RunEvent, RunIo};
pub use exec::ExecRequest;
pub use journal::Stream;
pub use limits::{Bounds, HostCompat, MachineSize, NetworkPolicy, VmOptions, run_ttl, timeout, ttl};
pub use network::Addresses;
pub use output::PAYLOAD_CAP;
pub use payload::{
    CATALOG_VERSION, Cleanup, DetachedRecord, EnvironmentList, EnvironmentRecord, Isolation, LastCommand, LifeRecord,
    LogEntry, NetworkInfo, OutputPiece, Problem, PruneRecord, PullRecord, Reaped, RunRecord, StartMode, TaskDeleted,
    TaskExecRecord, TaskList, TaskLogs, TaskRecord, Timings, VmDeleted, VmRecord, WORKSPACE,
};
pub use pyro_engine::Accelerator;
pub use pyro_environment::Step as PullStep;
pub use repair::{Finding, RepairMode, RepairReport, RepairRequest};
pub use run::RunRequest;
pub use session::Session;
pub use shell::join as shell_join;
pub use steps::Steps;
pub use supervisor::supervise;
pub use tasks::{LogsRequest, TaskJournal};

use std::sync::Arc;

use machines::{Admission, Machines};
use pyro_engine::Engine;
use pyro_engine::qemu::Qemu;
use pyro_environment::{Store, Tools};

/// The manager. Cheap to open: it looks at nothing before it is asked to.
#[derive(Clone)]
pub struct Pyro {
    config: Config,
    engine: Arc<dyn Engine>,
    store: Store,
    steps: Arc<dyn Steps>,
    standby: Option<standby::Standby>,
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
        let store = Store::new(config.cache.clone(), tools, agent::AGENT);
        Self { config, engine, store, steps: Arc::new(steps::Unwatched), standby: None }
    }

    /// The same, and every step it takes is told.
    #[must_use]
    pub fn watched_by(mut self, steps: Arc<dyn Steps>) -> Self {
        self.steps = steps;
        self
    }

    /// What it was opened with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Removes what killed processes left behind. Faces do this once when they start; it costs
    /// nothing where nothing was left.
    pub fn sweep(&self) {
        // What is in the way is told by whoever lists, or does something with it.
        let _ = self.machines().sweep();
    }

    fn machines(&self) -> Machines {
        Machines::new(self.config.data.clone())
    }

    /// Whether there may be one more machine of this size.
    fn admission(&self, size: MachineSize) -> Admission {
        match self.config.max_active_vms {
            Some(limit) => Admission::Limit(limit),
            None => Admission::ByMemory { mem_mib: size.memory_mib() },
        }
    }
}

/// Size of the guest agent that this program carries, in bytes.
#[must_use]
pub fn agent_size() -> usize {
    agent::AGENT.program.len()
}
