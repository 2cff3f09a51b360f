//! Changes of a task: stopped, started again, called otherwise.

use std::collections::BTreeMap;

use pyro_manager::{Error, NameChange, NamingChange, TaskRecord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::{Context, Effect, Operation, Reach};

/// Stops a task.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StopTask {
    /// The task's id or name
    pub task_id: String,
    /// New time to live from now in seconds, 60 to 604800; 0 keeps it until it is deleted or started again
    #[schemars(range(min = 0, max = 604_800))]
    pub ttl_seconds: Option<i64>,
}

/// Starts a stopped task again.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StartTask {
    /// The task's id or name
    pub task_id: String,
    /// Time to live from now in seconds, 60 to 604800; without it as long as before, or 600
    #[schemars(range(min = 60, max = 604_800))]
    pub ttl_seconds: Option<i64>,
}

/// Changes a task's name and labels.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UpdateTask {
    /// The task's id or name
    pub task_id: String,
    /// The task's new name
    pub name: Option<String>,
    /// Remove the task's name
    #[serde(default)]
    pub remove_name: bool,
    /// Labels to set
    pub labels: Option<BTreeMap<String, String>>,
    /// Keys of labels to remove
    #[serde(default)]
    pub remove_labels: Vec<String>,
}

impl Operation for StopTask {
    type Result = TaskRecord;
    const NAME: &'static str = "stop_task";
    const TOOL: Option<&'static str> = Some("task_stop");
    const TITLE: &'static str = "Stop a task";
    const DESCRIPTION: &'static str = "Stop a task's machine. Running commands are cancelled. Its files and journal \
        stay, and it can be started again.";
    const EFFECT: Effect = Effect::Removes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.stop_task(&self.task_id, self.ttl_seconds).await
    }
}

impl Operation for StartTask {
    type Result = TaskRecord;
    const NAME: &'static str = "start_task";
    const TOOL: Option<&'static str> = Some("task_start");
    const TITLE: &'static str = "Start a task again";
    const DESCRIPTION: &'static str = "Boot a stopped task again with its files and journal.";
    const EFFECT: Effect = Effect::Changes;
    const REACH: Reach = Reach::Network;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.start_task(&self.task_id, self.ttl_seconds).await
    }
}

impl Operation for UpdateTask {
    type Result = TaskRecord;
    const NAME: &'static str = "update_task";
    const TOOL: Option<&'static str> = Some("task_update");
    const TITLE: &'static str = "Name a task";
    const DESCRIPTION: &'static str = "Change a task's name and labels. What is not named stays.";
    const EFFECT: Effect = Effect::Changes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let name = match (self.name, self.remove_name) {
            (Some(_), true) => {
                let problem = "a name cannot be set and removed at once".into();
                return Err(Error::InvalidArgument { problem });
            }
            (Some(name), false) => NameChange::Set(name),
            (None, true) => NameChange::Remove,
            (None, false) => NameChange::Keep,
        };
        let labels = self.labels.unwrap_or_default();
        let change = NamingChange { name, labels, remove_labels: self.remove_labels };
        context.pyro.update_task(&self.task_id, change).await
    }
}
