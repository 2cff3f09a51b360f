//! The list of all operations, and calling one by its name.

use std::future::Future;
use std::pin::Pin;

use pyro_manager::Error;
use serde_json::{Map, Value};

use crate::commands::{ExecTask, ExecVm, RunInVm, StartTaskCommand, WaitTask};
use crate::environments::{InspectEnvironment, ListEnvironments, PruneEnvironments, PullEnvironment};
use crate::files::{
    ApplyTask, DiffTask, EditFile, ExportFiles, FindFiles, GrepFiles, ListFiles, MakeDirectory, MoveFile, PushFiles,
    ReadFile, RemoveFile, SeedTask, StatFile, UndoApply, WriteFile,
};
use crate::operation::{Context, Effect, Operation, Reach};
use crate::output::ReadOutput;
use crate::schema;
use crate::task_changes::{StartTask, StopTask, UpdateTask};
use crate::tasks::{CancelCommand, CreateTask, DeleteTask, ExtendTask, ListTasks, LogsTask, StatusTask};
use crate::upkeep::{ReapExpired, Repair};
use crate::vms::{CreateVm, DeleteVm, NetworkInfoVm, StartVm, StatusVm, StopVm};

/// A call under way.
type Called<'a> = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send + 'a>>;

/// An entry of the list of operations.
pub struct Entry {
    /// Its name in the Python client.
    pub name: &'static str,
    /// Its name as a tool of the MCP server; `None` where models do not get it.
    pub tool: Option<&'static str>,
    /// A few words for a list.
    pub title: &'static str,
    /// What it is for and when to use it, in one line.
    pub description: &'static str,
    /// Its side effects.
    pub effect: Effect,
    /// Whether it may reach the network.
    pub reach: Reach,
    input: fn() -> Map<String, Value>,
    output: fn() -> Map<String, Value>,
    call: for<'a> fn(Value, Context<'a>) -> Called<'a>,
}

impl Entry {
    const fn of<O: Operation + 'static>() -> Self {
        Self {
            name: O::NAME,
            tool: O::TOOL,
            title: O::TITLE,
            description: O::DESCRIPTION,
            effect: O::EFFECT,
            reach: O::REACH,
            input: schema::input::<O>,
            output: schema::output::<O::Result>,
            call: carried_out::<O>,
        }
    }

    /// The JSON Schema of its arguments: an object, with defaults, bounds and documentation.
    #[must_use]
    pub fn input(&self) -> Map<String, Value> {
        (self.input)()
    }

    /// The JSON Schema of its result: an object, without documentation, one level deep.
    #[must_use]
    pub fn output(&self) -> Map<String, Value> {
        (self.output)()
    }

    /// Carries it out. Arguments that it does not know are refused, so that a slip does not go unnoticed.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the arguments do not fit; otherwise as the operation.
    pub async fn call(&self, arguments: Value, context: Context<'_>) -> Result<Value, Error> {
        let arguments = if arguments.is_null() { Value::Object(Map::new()) } else { arguments };
        schema::check_names(&arguments, &self.input())?;
        (self.call)(arguments, context).await
    }
}

/// All of them, in the order in which they are listed.
pub static OPERATIONS: &[Entry] = &[
    Entry::of::<RunInVm>(),
    Entry::of::<ListEnvironments>(),
    Entry::of::<PullEnvironment>(),
    Entry::of::<InspectEnvironment>(),
    Entry::of::<PruneEnvironments>(),
    Entry::of::<CreateVm>(),
    Entry::of::<StartVm>(),
    Entry::of::<ExecVm>(),
    Entry::of::<StopVm>(),
    Entry::of::<DeleteVm>(),
    Entry::of::<StatusVm>(),
    Entry::of::<NetworkInfoVm>(),
    Entry::of::<ReapExpired>(),
    Entry::of::<CreateTask>(),
    Entry::of::<ExecTask>(),
    Entry::of::<StartTaskCommand>(),
    Entry::of::<WaitTask>(),
    Entry::of::<ReadOutput>(),
    Entry::of::<CancelCommand>(),
    Entry::of::<StatusTask>(),
    Entry::of::<ListTasks>(),
    Entry::of::<LogsTask>(),
    Entry::of::<StopTask>(),
    Entry::of::<StartTask>(),
    Entry::of::<UpdateTask>(),
    Entry::of::<ExtendTask>(),
    Entry::of::<DeleteTask>(),
    Entry::of::<ListFiles>(),
    Entry::of::<StatFile>(),
    Entry::of::<ReadFile>(),
    Entry::of::<WriteFile>(),
    Entry::of::<EditFile>(),
    Entry::of::<MakeDirectory>(),
    Entry::of::<RemoveFile>(),
    Entry::of::<MoveFile>(),
    Entry::of::<FindFiles>(),
    Entry::of::<GrepFiles>(),
    Entry::of::<PushFiles>(),
    Entry::of::<ExportFiles>(),
    Entry::of::<SeedTask>(),
    Entry::of::<DiffTask>(),
    Entry::of::<ApplyTask>(),
    Entry::of::<UndoApply>(),
    Entry::of::<Repair>(),
];

/// The operation of this name, or with a tool of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    OPERATIONS.iter().find(|entry| entry.name == name || entry.tool == Some(name))
}

/// Carries out the operation of this name.
///
/// # Errors
/// [`Error::InvalidArgument`] where there is none, or the arguments do not fit; otherwise as the operation.
pub async fn call(name: &str, arguments: Value, context: Context<'_>) -> Result<Value, Error> {
    match find(name) {
        Some(entry) => entry.call(arguments, context).await,
        None => Err(Error::InvalidArgument { problem: format!("there is no operation {name}") }),
    }
}

fn carried_out<O: Operation>(arguments: Value, context: Context<'_>) -> Called<'_> {
    Box::pin(async move {
        let request: O =
            serde_json::from_value(arguments).map_err(|error| Error::InvalidArgument { problem: error.to_string() })?;
        let result = request.carry_out(context).await?;
        Ok(serde_json::to_value(result).expect("results have string keys only"))
    })
}
