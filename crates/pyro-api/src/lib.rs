//! The operations of pyro, each written once.
//!
//! ```text
//! front end ─▶ Operation (a request: serde, schema, documentation) ─▶ carry_out ─▶ manager
//!     ▲                                                                   │
//!     └── result (serde, schema), events as they happen ◀─────────────────┘
//! ```
//!
//! An operation is a struct: its fields are the arguments, with their defaults, bounds and documentation. The list
//! [`OPERATIONS`] is what the MCP server's tools, the native half of the Python package, and the methods of the Python
//! client are made from. The command line uses the same requests and results.
//!
//! This crate owns no state and keeps no policy: limits, lives and machines are the manager's.
#![forbid(unsafe_code)]

mod catalog;
mod commands;
mod environments;
mod files;
mod machine;
mod operation;
mod output;
mod schema;
mod task_changes;
mod tasks;
mod upkeep;
mod vms;
mod waiting;

pub use catalog::{Entry, OPERATIONS, call, find};
pub use commands::{ExecTask, ExecVm, RunInVm, StartTaskCommand, WaitTask};
pub use environments::{InspectEnvironment, ListEnvironments, PruneEnvironments, PullEnvironment};
pub use files::{
    ApplyStep, ApplyTask, ApplyUndone, ChangedPath, DiffShape, DiffTask, EditFile, ExportFiles, FileChanged,
    FileContent, FileEdited, FileEntry, FileInTask, FileListing, FindFiles, GrepFiles, GrepMatch, GrepResult,
    ListFiles, MakeDirectory, MoveFile, PushFiles, ReadFile, RemoveFile, SeedTask, StatFile, TaskApplied, TaskDiff,
    TreeMoved, UndoApply, WriteFile, WriteOptions,
};
pub use machine::MachineOptions;
pub use operation::{Context, Effect, HostAccess, Operation, Reach};
pub use output::{Encoding, Piece, ReadOutput};
pub use pyro_manager::{
    Check, CheckStatus, Config, Depth, DoctorReport, EnvironmentProgress, EnvironmentRecord, Error, Failure, FilePiece,
    Finding, LogEntry, LogsRequest, Phase, Problem, Pyro, RepairReport, RunEvent, RunIo, RunRecord, Stream,
    TaskExecRecord, TaskJournal, TaskLogs, TaskRecord, shell_join, supervise,
};
pub use task_changes::{StartTask, StopTask, UpdateTask};
pub use tasks::{CancelCommand, CreateTask, DeleteTask, ExtendTask, ListTasks, LogsTask, StatusTask};
pub use upkeep::{ReapExpired, Repair};
pub use vms::{CreateVm, DeleteVm, NetworkInfoVm, StartVm, StatusVm, StopVm};
pub use waiting::{CommandOutcome, RunningCommand};
