//! Errors of the registry, the journals, and of operations on VMs and tasks.

use std::path::PathBuf;

use crate::lifecycle::{Ended, Kind};

/// The registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryProblem {
    /// A newer release made it.
    #[error("{} was made by a newer release of pyro: it has version {found}, this release knows {ours}", path.display())]
    Newer {
        /// Its file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version this release knows.
        ours: i64,
    },
    /// Locks and shared memory do not work reliably there.
    #[error("{} is on a network file system ({kind}), where locks cannot be relied on", path.display())]
    Network {
        /// The data directory.
        path: PathBuf,
        /// Which kind.
        kind: &'static str,
    },
    /// SQLite refused.
    #[error("the registry {} cannot be used", path.display())]
    Sql {
        /// Its file.
        path: PathBuf,
        /// SQLite's words.
        #[source]
        source: rusqlite::Error,
    },
    /// A row is not a record.
    #[error("the row of {id} in {} cannot be read", path.display())]
    Row {
        /// Its file.
        path: PathBuf,
        /// Which row, as far as that can be read.
        id: String,
        /// Why.
        #[source]
        source: Box<RecordProblem>,
    },
    /// It was made for machines that are not there any more, or that it does not know.
    #[error("the row of {id} in {} is missing or old", path.display())]
    Stale {
        /// Its file.
        path: PathBuf,
        /// Which row.
        id: String,
    },
}

/// The record of a VM or task cannot be read. What it is of is kept as it is.
#[derive(Debug, thiserror::Error)]
pub enum RecordProblem {
    /// A newer release wrote it.
    #[error("{} was written by a newer release of pyro: it has format {found}, this release knows {ours}", path.display())]
    Newer {
        /// Its file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format this release knows.
        ours: u32,
    },
    /// It is not what was written.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The host refused to read it.
    #[error("{} could not be read", path.display())]
    Unread {
        /// Its file.
        path: PathBuf,
        /// The host's answer.
        #[source]
        source: std::io::Error,
    },
    /// There is none, and nothing says that it was a one-shot run's.
    #[error("{} has no record, and nothing says what it was", directory.display())]
    Missing {
        /// The directory.
        directory: PathBuf,
    },
}

/// A journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalProblem {
    /// The file is no log that this release reads.
    #[error("the journal {} cannot be read", path.display())]
    Log {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pyro_hostfs::log::LogError,
    },
    /// A whole record makes no sense.
    #[error("a record in {} makes no sense", path.display())]
    Record {
        /// Its file.
        path: PathBuf,
        /// The parser's words.
        #[source]
        source: serde_json::Error,
    },
}

/// Why an operation on a VM or task cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// A one-shot run outlived what it was given.
    #[error("the run's time was up (ttl_seconds={ttl_seconds}): the command was ended and its machine removed")]
    RunExpired {
        /// What it was given.
        ttl_seconds: u64,
    },
    /// Nothing of that id is known.
    #[error("there is no {} {id}", kind.word())]
    Unknown {
        /// What was looked for.
        kind: Kind,
        /// What was given.
        id: String,
    },
    /// It was there.
    #[error("{} {id} {}", kind.word(), gone_words(*reason))]
    Gone {
        /// What it was.
        kind: Kind,
        /// Its id.
        id: String,
        /// How it ended.
        reason: Ended,
    },
    /// The beginning of several ids.
    #[error("{prefix} is the beginning of several {}s: {}", kind.word(), ids.join(", "))]
    Ambiguous {
        /// What was looked for.
        kind: Kind,
        /// What was given.
        prefix: String,
        /// Whose beginning it is.
        ids: Vec<String>,
    },
    /// There are as many machines as there may be.
    #[error("{live} machines are live, and there may be {limit} at once (max_active_vms)")]
    Capacity {
        /// The limit.
        limit: usize,
        /// How many there are.
        live: usize,
    },
    /// It has no running machine now, and may get one.
    #[error("vm {id} is {state}, not started")]
    NotStarted {
        /// Its id.
        id: String,
        /// Its state.
        state: &'static str,
    },
    /// Its machine is gone for good.
    #[error("{} {id} is stopped: {why}", kind.word())]
    Stopped {
        /// What it is.
        kind: Kind,
        /// Its id.
        id: String,
        /// What happened.
        why: String,
    },
    /// A disk cannot be used over another one than it was made over.
    #[error("vm {id} cannot start again: its environment was installed anew since")]
    EnvironmentChanged {
        /// Its id.
        id: String,
    },
    /// The attempt's name was used for something else.
    #[error("attempt {attempt_id} was made before with another request")]
    AttemptConflict {
        /// The name.
        attempt_id: String,
    },
    /// There is no such command.
    #[error("task {id} has no command number {sequence}")]
    UnknownSequence {
        /// The task.
        id: String,
        /// What was given.
        sequence: u64,
    },
    /// What came of a command is unknown.
    #[error("command {sequence} of {id} was lost, and what came of it is unknown: {why}")]
    CommandLost {
        /// The task or VM.
        id: String,
        /// The command.
        sequence: u64,
        /// What happened.
        why: String,
    },
    /// The guest did not run a command.
    #[error("command {sequence} of {id} was not run: {why}")]
    CommandNotRun {
        /// The task or VM.
        id: String,
        /// The command.
        sequence: u64,
        /// The guest's words.
        why: String,
    },
    /// A command was ended before its end.
    #[error("command {sequence} of {id} was cancelled: {why}")]
    CommandCancelled {
        /// The task or VM.
        id: String,
        /// The command.
        sequence: u64,
        /// Who ended it.
        why: String,
    },
    /// The supervisor ended before it said whether the command was sent.
    #[error(
        "the supervisor of {id} ended before it answered ({why}); whether the command was sent stands in its journal"
    )]
    Unanswered {
        /// The task or VM.
        id: String,
        /// What is known of its end.
        why: String,
    },
    /// The supervisor could not be started, or ended before it was done.
    #[error("the supervisor of {id} {what}{log}")]
    Supervisor {
        /// The task or VM.
        id: String,
        /// What happened.
        what: &'static str,
        /// What it said last, on lines of its own.
        log: String,
    },
    /// Its supervisor serves as many clients as it may.
    #[error("its supervisor serves {limit} clients already, as many as it may")]
    TooManyClients {
        /// How many it may serve.
        limit: usize,
    },
}

impl Unavailable {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { kind: Kind::Task, .. } => "unknown_task",
            Self::Unknown { kind: Kind::Vm, .. } => "unknown_vm",
            Self::Gone { reason: Ended::Expired, .. } | Self::RunExpired { .. } => "expired",
            Self::Gone { reason: Ended::Deleted, .. } => "deleted",
            Self::Ambiguous { .. } => "ambiguous_id",
            Self::Capacity { .. } => "max_active_vms",
            Self::NotStarted { .. } => "not_started",
            Self::Stopped { kind: Kind::Task, .. } => "task_stopped",
            Self::Stopped { kind: Kind::Vm, .. } => "vm_stopped",
            Self::EnvironmentChanged { .. } => "environment_changed",
            Self::AttemptConflict { .. } => "attempt_conflict",
            Self::UnknownSequence { .. } => "unknown_sequence",
            Self::CommandLost { .. } => "command_lost",
            Self::CommandNotRun { .. } => "command_refused",
            Self::CommandCancelled { .. } => "command_cancelled",
            Self::Unanswered { .. } => "supervisor_gone",
            Self::Supervisor { .. } => "supervisor_failed",
            Self::TooManyClients { .. } => "too_many_clients",
        }
    }
}

impl RegistryProblem {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "newer_registry",
            Self::Network { .. } => "network_file_system",
            Self::Sql { source, .. } if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => "no_space",
            Self::Sql { .. } | Self::Row { .. } | Self::Stale { .. } => "registry_unusable",
        }
    }
}

impl RecordProblem {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "newer_record",
            Self::Damaged { .. } => "record_damaged",
            Self::Unread { .. } => "record_unreadable",
            Self::Missing { .. } => "record_missing",
        }
    }
}

impl JournalProblem {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Log { source: pyro_hostfs::log::LogError::Format, .. } => "newer_journal",
            Self::Log { .. } | Self::Record { .. } => "journal_unusable",
        }
    }
}

fn gone_words(reason: Ended) -> &'static str {
    match reason {
        Ended::Deleted => "was deleted",
        Ended::Expired => "expired, and was removed",
    }
}
