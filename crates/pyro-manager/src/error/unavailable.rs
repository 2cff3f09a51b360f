//! Why an operation on a VM or task cannot be done.

use pyro_store::{Ended, Kind, Record};

/// What became of the machine of a task that somebody stopped, and of what ran in it.
pub(crate) const STOPPED: &str = "its machine was stopped";

/// Why an operation on a VM or task cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// A one-shot run outlived what it was given.
    #[error(
        "the run reached its time to live (ttl_seconds={ttl_seconds}): the command was ended and its machine removed"
    )]
    RunExpired {
        /// What it was given.
        ttl_seconds: u64,
    },
    /// Nothing of that id is known.
    #[error("there is no {} {id}", kind.as_str())]
    Unknown {
        /// What was looked for.
        kind: Kind,
        /// What was given.
        id: String,
    },
    /// It was there.
    #[error("{} {id} {}", kind.as_str(), gone_words(*reason))]
    Gone {
        /// What it was.
        kind: Kind,
        /// Its id.
        id: String,
        /// How it ended.
        reason: Ended,
    },
    /// The beginning of several ids.
    #[error("{prefix} matches several {}s: {}", kind.as_str(), ids.join(", "))]
    Ambiguous {
        /// What was looked for.
        kind: Kind,
        /// What was given.
        prefix: String,
        /// Whose beginning it is.
        ids: Vec<String>,
    },
    /// There are as many machines as there may be.
    #[error("{live} VMs and tasks are live; the limit is {limit} (max_active_vms)")]
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
    /// It has no machine.
    #[error("{} {id} is stopped: {why}", kind.as_str())]
    Stopped {
        /// What it is.
        kind: Kind,
        /// Its id.
        id: String,
        /// What happened.
        why: String,
    },
    /// A disk cannot be used over another one than it was made over.
    #[error(
        "{} {id} cannot start again: its environment was installed anew since, or it was made by pyro 2.1.0 or \
         earlier, {}", kind.as_str(), first_releases(*kind)
    )]
    EnvironmentChanged {
        /// What it is.
        kind: Kind,
        /// Its id.
        id: String,
    },
    /// A name belongs to one task at a time.
    #[error("the name {name} is taken by task {id}")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        id: String,
    },
    /// The attempt's name was used for something else.
    #[error("attempt {attempt_id} was already used for another request")]
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
    #[error("command {sequence} of {id} was lost; its outcome is unknown: {why}")]
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
    #[error("the supervisor of {id} ended before it answered ({why}); its journal shows whether the command was sent")]
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
    #[error("its supervisor already serves {limit} clients, the maximum")]
    TooManyClients {
        /// How many it may serve.
        limit: usize,
    },
    /// Client and supervisor are of releases that do not have this in common.
    #[error("{what}: its supervisor is of pyro {supervisor}, and the client is of pyro {client}")]
    OtherRelease {
        /// The supervisor's release.
        supervisor: String,
        /// The client's release.
        client: String,
        /// What cannot be done.
        what: &'static str,
    },
}

impl Unavailable {
    /// Why a VM or task without a machine takes no commands.
    pub(crate) fn without_machine(record: &Record) -> Self {
        let (kind, id) = (record.kind, record.id.to_string());
        match (&record.last_error, kind) {
            (Some(why), _) => Self::Stopped { kind, id, why: why.clone() },
            (None, Kind::Task) => Self::Stopped { kind, id, why: STOPPED.into() },
            (None, Kind::Vm) => Self::NotStarted { id, state: record.state.as_str() },
        }
    }

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
            Self::NameTaken { .. } => "name_taken",
            Self::AttemptConflict { .. } => "attempt_conflict",
            Self::UnknownSequence { .. } => "unknown_sequence",
            Self::CommandLost { .. } => "command_lost",
            Self::CommandNotRun { .. } => "command_refused",
            Self::CommandCancelled { .. } => "command_cancelled",
            Self::Unanswered { .. } => "supervisor_gone",
            Self::Supervisor { .. } => "supervisor_failed",
            Self::TooManyClients { .. } => "too_many_clients",
            Self::OtherRelease { .. } => "other_release",
        }
    }
}

fn first_releases(kind: Kind) -> &'static str {
    match kind {
        Kind::Vm => "which alone can start it again",
        Kind::Task => "whose tasks have no disk of their own",
    }
}

fn gone_words(reason: Ended) -> &'static str {
    match reason {
        Ended::Deleted => "was deleted",
        Ended::Expired => "expired and was removed",
    }
}
