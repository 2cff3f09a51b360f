//! Everything pyro promises, as one facade.
//!
//! ```text
//! Pyro::run ─▶ limits ─▶ environment (pulled when it is not there) ─▶ accelerator (a guest's verdict)
//!           ─▶ template (booted once, restored ever after) ─▶ machine ─▶ command ─▶ everything removed
//! ```
//!
//! The front ends parse, call one function of [`Pyro`], and render what comes back. Nothing here reads
//! the environment, the terminal or `$HOME`, and nothing prints: what there is to know stands in
//! [`Config`], and what there is to tell goes out as events and payloads.
#![forbid(unsafe_code)]

mod accelerator;
mod agent;
mod client;
mod clock;
mod config;
mod conversation;
mod create;
mod doctor;
mod environments;
mod error;
mod events;
mod exec;
mod failpoints;
mod files;
mod follow;
#[cfg(fuzzing)]
pub mod fuzzing;
mod id;
mod limits;
mod look;
mod naming;
mod network;
mod output;
mod payload;
mod pyro;
mod repair;
mod restore_permit;
mod revive;
mod run;
mod session;
mod supervisor;
mod tasks;
mod template;
mod threads;
mod unpacker;
mod vm_directory;
mod vms;
mod warm_pool;
mod workspace;

pub use accelerator::KvmVerdict;
pub use agent::agent_size;
pub use config::{Config, JOURNAL_CAP, Supervisor};
pub use create::CreateRequest;
pub use doctor::{Check, CheckStatus, Depth, DoctorReport, KvmReport};
pub use error::{Error, Failure};
pub use events::{EnvironmentProgress, Phase, RunEvent, RunIo};
pub use exec::ExecRequest;
pub use failpoints::Failpoints;
pub use files::{
    AppliedChanges, AppliedStep, ApplyRequest, ChangedName, DiffRequest, ExportRequest, FileCall, FileInput, FileIo,
    FilePiece, FileReplies, FileSink, NoOutput, PushRequest, SeedRequest, UndoneChanges, protocol as file_protocol,
};
pub use limits::{Bounds, MachineSize, VmOptions, run_ttl, stopped_ttl, timeout, ttl};
pub use naming::{NameChange, NamingChange};
pub use output::PAYLOAD_CAP;
pub use payload::{
    Addresses, CATALOG_VERSION, Cleanup, DetachedRecord, EnvironmentList, EnvironmentRecord, Isolation, LastCommand,
    LifeRecord, LogEntry, NetworkInfo, OutputPiece, Problem, PruneRecord, PullRecord, Reaped, RunRecord, StartMode,
    TaskDeleted, TaskExecRecord, TaskList, TaskLogs, TaskRecord, Timings, VmDeleted, VmRecord, WORKSPACE,
};
pub use pyro::Pyro;
pub use pyro_engine::Accelerator;
pub use pyro_environment::Step as PullStep;
pub use pyro_hostfs::digest::hex_of_bytes as sha256_hex;
pub use pyro_store::journal::Stream;
pub use pyro_store::{Naming, Settings};
pub use pyro_tree::diff::{Binary as DiffBinary, Color as DiffColor, Form as DiffForm, Options as DiffOptions};
pub use repair::{Finding, RepairMode, RepairReport, RepairRequest};
pub use run::RunRequest;
pub use session::Session;
pub use supervisor::supervise;
pub use tasks::{LogsRequest, TaskJournal};
pub use workspace::shell_join;
