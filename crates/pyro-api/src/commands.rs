//! Commands: in a machine of their own, in a VM, and in tasks.

use std::collections::BTreeMap;

use bytes::Bytes;
use pyro_manager::{DetachedRecord, Error, ExecRequest, RunIo, RunRecord, RunRequest, VmOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::machine::MachineOptions;
use crate::operation::{Context, Effect, Operation, Reach};
use crate::waiting::{CommandOutcome, Wait, limit};

/// Default time limit of a command, in seconds.
fn default_timeout_seconds() -> f64 {
    30.0
}

/// Runs one command in a machine of its own.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunInVm {
    /// such as debian:12
    pub environment: String,
    /// The command, for the shell
    pub command: String,
    /// The machine.
    #[serde(flatten)]
    pub machine: MachineOptions,
    /// Time limit of the command in seconds
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: f64,
    /// Time to live of the machine in seconds, 60 to 604800
    #[schemars(range(min = 60, max = 604_800))]
    pub ttl_seconds: Option<i64>,
    /// The command's input
    pub stdin: Option<String>,
}

/// Runs a VM's one command.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExecVm {
    /// The VM's id
    pub vm_id: String,
    /// The command, for the shell
    pub command: String,
    /// Time limit of the command in seconds
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: f64,
    /// The command's input
    pub stdin: Option<String>,
}

/// Runs a command in a task.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExecTask {
    /// The task's id or name
    pub task_id: String,
    /// The command, for the shell
    pub command: String,
    /// Time limit of the command in seconds
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: f64,
    /// Return after this many seconds; the command keeps running
    #[schemars(range(min = 0, max = 86_400))]
    pub wait_seconds: Option<f64>,
    /// Working directory: an absolute path, or a path below /workspace
    pub cwd: Option<String>,
    /// Environment variables for the command
    pub env: Option<BTreeMap<String, String>>,
    /// The command's input
    pub stdin: Option<String>,
    /// A repeated attempt_id does not run the command again
    pub attempt_id: Option<String>,
}

/// Starts a command in a task, and does not wait for it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StartTaskCommand {
    /// The task's id or name
    pub task_id: String,
    /// The command, for the shell
    pub command: String,
    /// Time limit of the command in seconds
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: f64,
    /// Working directory: an absolute path, or a path below /workspace
    pub cwd: Option<String>,
    /// Environment variables for the command
    pub env: Option<BTreeMap<String, String>>,
    /// A repeated attempt_id does not run the command again
    pub attempt_id: Option<String>,
}

/// Waits for a command that was started before.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WaitTask {
    /// The task's id or name
    pub task_id: String,
    /// The command's number
    pub sequence: u64,
    /// Return after this many seconds; the command keeps running
    #[schemars(range(min = 0, max = 86_400))]
    pub wait_seconds: Option<f64>,
}

impl RunInVm {
    /// With everything else as it is by default.
    #[must_use]
    pub fn new(environment: impl Into<String>, command: impl Into<String>) -> Self {
        Self {
            environment: environment.into(),
            command: command.into(),
            machine: MachineOptions::default(),
            timeout_seconds: default_timeout_seconds(),
            ttl_seconds: None,
            stdin: None,
        }
    }

    /// Looks whether it could be carried out, before anything is done.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn check(&self) -> Result<(), Error> {
        let timeout = pyro_manager::timeout(self.timeout_seconds)?;
        pyro_manager::run_ttl(self.ttl_seconds, timeout)?;
        self.machine.options().map(drop)
    }
}

impl Operation for RunInVm {
    type Result = RunRecord;
    const NAME: &'static str = "run_in_vm";
    const TOOL: Option<&'static str> = Some("vm_run");
    const TITLE: &'static str = "Run one command";
    const DESCRIPTION: &'static str = "Run one shell command in a fresh, isolated Linux VM and return its output and \
        exit code. The VM and its files are removed afterwards. First choice for a single command. Exit code 124 \
        means timeout_seconds was reached.";
    const EFFECT: Effect = Effect::Runs;
    const REACH: Reach = Reach::Network;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let timeout = pyro_manager::timeout(self.timeout_seconds)?;
        let ttl = pyro_manager::run_ttl(self.ttl_seconds, timeout)?;
        let options = VmOptions { ttl, ..self.machine.allowed(&context)? };
        let request = RunRequest { environment: self.environment, command: self.command, timeout, options };
        context.pyro.run(request, with_input(context.io, self.stdin)).await
    }
}

impl Operation for ExecVm {
    type Result = RunRecord;
    const NAME: &'static str = "exec_vm";
    const TOOL: Option<&'static str> = Some("vm_exec");
    const TITLE: &'static str = "Run a VM's one command";
    const DESCRIPTION: &'static str = "Run one shell command in a started VM, then delete the VM, even if the command fails. \
        For several commands use a task.";
    const EFFECT: Effect = Effect::Runs;
    const REACH: Reach = Reach::Network;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let request = ExecRequest::new(self.command, pyro_manager::timeout(self.timeout_seconds)?);
        context.pyro.exec_vm(&self.vm_id, request, with_input(context.io, self.stdin)).await
    }
}

impl ExecTask {
    /// Looks whether it could be carried out, before anything is done.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn check(&self) -> Result<(), Error> {
        limit(self.wait_seconds)?;
        pyro_manager::timeout(self.timeout_seconds).map(drop)
    }
}

impl Operation for ExecTask {
    type Result = CommandOutcome;
    const NAME: &'static str = "exec_task";
    const TOOL: Option<&'static str> = Some("task_exec");
    const TITLE: &'static str = "Run a command in a task";
    const DESCRIPTION: &'static str = "Run a shell command in a task's /workspace, or in cwd. After wait_seconds it \
        returns status running with the command's sequence, and the command keeps running. A repeated attempt_id does not \
        run it again.";
    const EFFECT: Effect = Effect::Runs;
    const REACH: Reach = Reach::Network;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let Self { task_id, command, timeout_seconds, wait_seconds, cwd, env, stdin, attempt_id } = self;
        let request = request(command, timeout_seconds, cwd, env, attempt_id)?;
        let io = with_input(context.io, stdin);
        let wait = Wait { task_id: &task_id, sequence: None, limit: limit(wait_seconds)? };
        wait.until_end(io, |io| context.pyro.exec_task(&task_id, request, io)).await
    }
}

impl Operation for StartTaskCommand {
    type Result = DetachedRecord;
    const NAME: &'static str = "start_task_command";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Start a command in a task";
    const DESCRIPTION: &'static str = "Start a command in a task and return its sequence at once.";
    const EFFECT: Effect = Effect::Runs;
    const REACH: Reach = Reach::Network;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let request = request(self.command, self.timeout_seconds, self.cwd, self.env, self.attempt_id)?;
        context.pyro.start_task_command(&self.task_id, request).await
    }
}

impl Operation for WaitTask {
    type Result = CommandOutcome;
    const NAME: &'static str = "wait_task";
    const TOOL: Option<&'static str> = Some("task_wait");
    const TITLE: &'static str = "Wait for a command";
    const DESCRIPTION: &'static str = "Wait for a task's command that was started earlier. After wait_seconds it \
        returns status running, and the command keeps running.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let Self { task_id, sequence, wait_seconds } = self;
        let wait = Wait { task_id: &task_id, sequence: Some(sequence), limit: limit(wait_seconds)? };
        wait.until_end(context.io, |io| context.pyro.wait_task(&task_id, sequence, io)).await
    }
}

fn request(
    command: String,
    timeout_seconds: f64,
    cwd: Option<String>,
    env: Option<BTreeMap<String, String>>,
    attempt_id: Option<String>,
) -> Result<ExecRequest, Error> {
    let mut request = ExecRequest::new(command, pyro_manager::timeout(timeout_seconds)?);
    request.cwd = cwd.unwrap_or(request.cwd);
    request.environment = env.unwrap_or_default().into_iter().collect();
    request.attempt_id = attempt_id;
    Ok(request)
}

/// Input streamed by the front end takes precedence; a request's own `stdin` is the complete input.
fn with_input(io: RunIo, text: Option<String>) -> RunIo {
    let stdin = io.stdin.or_else(|| {
        let (sender, receiver) = mpsc::channel(1);
        // There is room for one, and it is the only one.
        let _ = sender.try_send(Bytes::from(text?));
        Some(receiver)
    });
    RunIo { stdin, ..io }
}
