//! The messages (the form on the socket).
//!
//! Names of fields and tags never change. A field may be added where it has a default.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command_form::CommandForm;
use super::peer::{FILES, FIRST, WORKSPACES};
use super::record_form::RecordForm;
use crate::Failure;
use crate::naming::{NameChange, NamingChange};
use crate::supervisor::request::ExecRequest;

/// What a client says: who it is, and then what it wants, once on each connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Who asks. `needs` is the generation that a supervisor must have to carry out the request that follows.
    Hello { generation: u32, release: String, needs: u32 },
    /// Run a command.
    Exec(ExecForm),
    /// Carry out a file operation. What follows is the input of a file worker; its output comes back.
    Files { timeout_us: u64 },
    /// Tell how a running command gets on, until it ends.
    Watch { sequence: u64 },
    /// Tell whenever a command begins.
    WatchTask,
    /// End a running command, and tell when it has ended.
    Cancel { sequence: u64 },
    /// Start the VM's machine.
    Start,
    /// Stop the VM's machine in an orderly way.
    Stop,
    /// Start the task's machine. Its life is counted anew.
    StartTask { ttl_seconds: Option<u64> },
    /// Stop the task's machine in an orderly way, and give it another life; 0 is one without an end.
    StopTask { ttl_seconds: Option<u64> },
    /// Call the task otherwise.
    Update(NamingForm),
    /// Remove everything.
    Delete,
    /// Remove everything, because its time is up by the wall's clock.
    Expire,
    /// Count the life anew from now.
    Extend { ttl_seconds: u64 },
}

impl Request {
    /// The generation that a supervisor must have to carry it out. A new request, and a new field that an older
    /// supervisor must not leave out, name the generation that brought them.
    pub fn needs(&self) -> u32 {
        match self {
            Self::Hello { needs, .. } => *needs,
            Self::Files { .. } => FILES,
            // Tasks of the first generation have no disk of their own.
            Self::StartTask { .. } | Self::StopTask { .. } | Self::Update(_) => WORKSPACES,
            Self::Exec(_)
            | Self::Watch { .. }
            | Self::WatchTask
            | Self::Cancel { .. }
            | Self::Start
            | Self::Stop
            | Self::Delete
            | Self::Expire
            | Self::Extend { .. } => FIRST,
        }
    }
}

/// A command that is to be run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecForm {
    command: String,
    cwd: String,
    environment: Vec<(String, String)>,
    timeout_us: u64,
    attempt_id: Option<String>,
    attached: bool,
    stdin: bool,
    then_delete: bool,
}

impl From<ExecRequest> for ExecForm {
    fn from(request: ExecRequest) -> Self {
        let ExecRequest { command, cwd, environment, timeout_us, attempt_id, attached, stdin, then_delete } = request;
        Self { command, cwd, environment, timeout_us, attempt_id, attached, stdin, then_delete }
    }
}

impl From<ExecForm> for ExecRequest {
    fn from(form: ExecForm) -> Self {
        let ExecForm { command, cwd, environment, timeout_us, attempt_id, attached, stdin, then_delete } = form;
        Self { command, cwd, environment, timeout_us, attempt_id, attached, stdin, then_delete }
    }
}

/// What is to change of a task's name and labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamingForm {
    name: Option<String>,
    remove_name: bool,
    labels: BTreeMap<String, String>,
    remove_labels: Vec<String>,
}

impl From<NamingChange> for NamingForm {
    fn from(NamingChange { name, labels, remove_labels }: NamingChange) -> Self {
        let (name, remove_name) = match name {
            NameChange::Keep => (None, false),
            NameChange::Set(name) => (Some(name), false),
            NameChange::Remove => (None, true),
        };
        Self { name, remove_name, labels, remove_labels }
    }
}

impl From<NamingForm> for NamingChange {
    fn from(NamingForm { name, remove_name, labels, remove_labels }: NamingForm) -> Self {
        let name = match name {
            Some(name) => NameChange::Set(name),
            None if remove_name => NameChange::Remove,
            None => NameChange::Keep,
        };
        Self { name, labels, remove_labels }
    }
}

/// What a supervisor answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Reply {
    /// Who answers. It comes first, where the client said hello.
    Hello { generation: u32, release: String },
    /// The command is in the journal. One that joined belongs to an earlier request.
    Accepted { sequence: u64, joined: bool },
    /// The journal has so many bytes of each stream.
    Grown { stdout: u64, stderr: u64 },
    /// The newest command's number.
    Latest { sequence: u64 },
    /// The command is over; nothing follows.
    Ended { entry: CommandForm },
    /// The file worker runs; its output follows.
    FilesBegun,
    /// The file worker has ended, with this exit code; or why it is not known how it ended. Nothing follows.
    FilesEnded { exit_code: Option<i32>, timed_out: bool, problem: Option<String> },
    /// It does not run; the journal has what there is to know. Nothing follows.
    NotRunning,
    /// The command goes on without this client, who reads too slowly.
    Detached,
    /// It was done.
    Done { record: RecordForm },
    /// Everything was removed.
    Deleted,
    /// It was not done.
    Failed { failure: FailureForm },
    /// To the creator: something the user should know.
    Notice { text: String },
    /// To the creator: a template is being made.
    MakingTemplate,
    /// To the creator: it is there and waits to be taken.
    Ready { record: RecordForm },
}

impl Reply {
    /// It was not done, for this reason.
    pub fn failed(error: &crate::Error) -> Self {
        Self::Failed { failure: error.failure().into() }
    }
}

/// An error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureForm {
    error: String,
    code: String,
    hint: Option<String>,
}

impl From<Failure> for FailureForm {
    fn from(Failure { error, code, hint }: Failure) -> Self {
        Self { error, code: code.into_owned(), hint }
    }
}

impl From<FailureForm> for Failure {
    fn from(FailureForm { error, code, hint }: FailureForm) -> Self {
        Self { error, code: Cow::Owned(code), hint }
    }
}

impl From<FailureForm> for crate::Error {
    fn from(form: FailureForm) -> Self {
        Self::Remote { failure: form.into() }
    }
}
