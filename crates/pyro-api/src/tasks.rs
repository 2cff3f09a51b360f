//! Tasks: machines that stay, with a workspace and a journal. What runs in them is in `commands`.

use std::collections::BTreeMap;

use pyro_manager::{
    CreateRequest, Error, LogEntry, LogsRequest, Naming, TaskDeleted, TaskList, TaskLogs, TaskRecord, VmOptions,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine::{DEFAULT_TTL_SECONDS, MachineOptions, default_ttl_seconds};
use crate::operation::{Context, Effect, Operation, Reach};

/// Creates a task.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreateTask {
    /// such as debian:12
    pub environment: String,
    /// The machine.
    #[serde(flatten)]
    pub machine: MachineOptions,
    /// Time to live in seconds, 60 to 604800
    #[serde(default = "default_ttl_seconds")]
    #[schemars(range(min = 60, max = 604_800))]
    pub ttl_seconds: i64,
    /// A name for the task, which can be used instead of its id
    pub name: Option<String>,
    /// Labels to list tasks by
    pub labels: Option<BTreeMap<String, String>>,
    /// A repeated attempt_id returns the same task
    pub attempt_id: Option<String>,
}

/// Shows a task.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StatusTask {
    /// The task's id or name
    pub task_id: String,
}

/// Lists tasks.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListTasks {
    /// Only tasks with all of these labels
    pub labels: Option<BTreeMap<String, String>>,
}

/// Shows a task's journal.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LogsTask {
    /// The task's id or name
    pub task_id: String,
    /// Only this command
    pub sequence: Option<u64>,
    /// Only this many bytes from the end of each stream
    pub tail_bytes: Option<usize>,
    /// Only this many of the last commands
    pub last: Option<usize>,
    /// Maximum number of bytes of each stream; head and tail are kept
    pub max_bytes: Option<usize>,
}

/// Ends a running command.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CancelCommand {
    /// The task's id or name
    pub task_id: String,
    /// The command's number
    pub sequence: u64,
}

/// Lets a task live longer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExtendTask {
    /// The task's id or name
    pub task_id: String,
    /// Time to live from now in seconds, 60 to 604800
    #[schemars(range(min = 60, max = 604_800))]
    pub ttl_seconds: i64,
}

/// Deletes a task.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeleteTask {
    /// The task's id or name
    pub task_id: String,
}

impl CreateTask {
    /// Default time to live of a task, in seconds.
    pub const DEFAULT_TTL_SECONDS: i64 = DEFAULT_TTL_SECONDS;
}

impl Operation for CreateTask {
    type Result = TaskRecord;
    const NAME: &'static str = "create_task";
    const TOOL: Option<&'static str> = Some("task_create");
    const TITLE: &'static str = "Create a task";
    const DESCRIPTION: &'static str = "Create a task: an isolated Linux VM that stays and keeps its files in /workspace, \
        for several commands. Delete it when done. A repeated attempt_id returns the same task.";
    const EFFECT: Effect = Effect::Adds;
    const REACH: Reach = Reach::Network;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let options = VmOptions { ttl: pyro_manager::ttl(self.ttl_seconds)?, ..self.machine.allowed(&context)? };
        let naming = Naming { name: self.name, labels: self.labels.unwrap_or_default() };
        let request = CreateRequest { environment: self.environment, options, naming, attempt_id: self.attempt_id };
        context.pyro.create_task(request, &context.io.events).await
    }
}

impl Operation for StatusTask {
    type Result = TaskRecord;
    const NAME: &'static str = "status_task";
    const TOOL: Option<&'static str> = Some("task_status");
    const TITLE: &'static str = "Look at a task";
    const DESCRIPTION: &'static str = "Show a task's state, its last command, and why it stopped if it is stopped.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.status_task(&self.task_id).await
    }
}

impl Operation for ListTasks {
    type Result = TaskList;
    const NAME: &'static str = "list_tasks";
    const TOOL: Option<&'static str> = Some("task_list");
    const TITLE: &'static str = "List tasks";
    const DESCRIPTION: &'static str = "List the tasks of this user, oldest first.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.list_labelled_tasks(&self.labels.unwrap_or_default()).await
    }
}

impl Operation for LogsTask {
    type Result = TaskLogs;
    const NAME: &'static str = "logs_task";
    const TOOL: Option<&'static str> = Some("task_logs");
    const TITLE: &'static str = "Read a task's journal";
    const DESCRIPTION: &'static str = "Show every command of a task with status, exit code and output. Long output is \
        cut. sequence selects one command, last the last N commands, tail_bytes the end of each stream.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let Self { task_id, sequence, tail_bytes, last, max_bytes } = self;
        context.pyro.logs_task(&task_id, LogsRequest { sequence, tail_bytes, last, max_bytes }).await
    }
}

impl Operation for CancelCommand {
    type Result = LogEntry;
    const NAME: &'static str = "cancel_task";
    const TOOL: Option<&'static str> = Some("task_cancel");
    const TITLE: &'static str = "Cancel a command";
    const DESCRIPTION: &'static str = "End a task's running command and all its processes, and return its journal \
        entry. The task stays.";
    const EFFECT: Effect = Effect::Removes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.cancel_task(&self.task_id, self.sequence).await
    }
}

impl Operation for ExtendTask {
    type Result = TaskRecord;
    const NAME: &'static str = "extend_task";
    const TOOL: Option<&'static str> = Some("task_extend");
    const TITLE: &'static str = "Extend a task";
    const DESCRIPTION: &'static str = "Set a task's time to live to ttl_seconds, counted from now.";
    const EFFECT: Effect = Effect::Changes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.extend_task(&self.task_id, self.ttl_seconds).await
    }
}

impl Operation for DeleteTask {
    type Result = TaskDeleted;
    const NAME: &'static str = "delete_task";
    const TOOL: Option<&'static str> = Some("task_delete");
    const TITLE: &'static str = "Delete a task";
    const DESCRIPTION: &'static str = "Delete a task, its workspace and its journal. Running commands are ended.";
    const EFFECT: Effect = Effect::Removes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.delete_task(&self.task_id).await
    }
}
