//! Waiting for a task's command, for as long as its caller cares to.
//!
//! ```text
//! no wait_seconds: to the command's end
//! wait_seconds:    to its end, or its output so far when they are over; the command keeps running
//! ```

use std::future::Future;
use std::time::Duration;

use pyro_manager::{Error, Phase, RunEvent, RunIo, TaskExecRecord};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use tokio::sync::mpsc;

/// Bytes of each stream of a running command that are told when its caller stops waiting.
const MAX_KEPT: usize = 24 * 1024;
/// Events on their way.
const IN_FLIGHT: usize = 64;
const GOES_ON: &str =
    "the command keeps running: task_wait waits for it, task_output reads more output, task_cancel ends it";

/// The result of waiting for a command.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CommandOutcome {
    /// It is over.
    Ended(Box<TaskExecRecord>),
    /// It is still running.
    Running(RunningCommand),
}

/// A command that is still running after `wait_seconds`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RunningCommand {
    /// The task.
    pub task_id: String,
    /// The command's number.
    pub sequence: u64,
    /// `running`; `finished` or `timed_out` where it is over.
    pub status: &'static str,
    /// Null while it runs.
    pub exit_code: Option<i32>,
    /// The end of its standard output so far.
    pub stdout: String,
    /// The end of its standard error so far.
    pub stderr: String,
    /// What to do now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

/// Both have these fields; one that is over has more.
impl JsonSchema for CommandOutcome {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CommandOutcome".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        RunningCommand::json_schema(generator)
    }
}

/// How long the caller waits; `None` to the command's end.
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn limit(wait_seconds: Option<f64>) -> Result<Option<Duration>, Error> {
    let Some(seconds) = wait_seconds else { return Ok(None) };
    if (0.0..=86_400.0).contains(&seconds) {
        return Ok(Some(Duration::from_secs_f64(seconds)));
    }
    Err(Error::OutOfRange { field: "wait_seconds", value: seconds.to_string(), bounds: "0 to 86400".into() })
}

/// A caller who waits for a command.
pub struct Wait<'a> {
    /// The task.
    pub task_id: &'a str,
    /// The command's number, where it is known.
    pub sequence: Option<u64>,
    /// How long.
    pub limit: Option<Duration>,
}

impl Wait<'_> {
    /// The command's end, or its output so far when `wait_seconds` are over. It returns only after the command is in the
    /// journal, because the caller needs its number to continue.
    pub async fn until_end<F>(self, io: RunIo, command: impl FnOnce(RunIo) -> F) -> Result<CommandOutcome, Error>
    where
        F: Future<Output = Result<TaskExecRecord, Error>>,
    {
        let Some(limit) = self.limit else { return Ok(CommandOutcome::Ended(Box::new(command(io).await?))) };
        let (events, heard) = mpsc::channel(IN_FLIGHT);
        let passing =
            Passing { heard, caller: io.events, listens: true, sequence: self.sequence, said: Said::default() };
        let command = command(RunIo { events, ..io });
        passing.until(self.task_id, command, limit).await
    }
}

/// Events pass by here on their way to the caller.
struct Passing {
    heard: mpsc::Receiver<RunEvent>,
    caller: mpsc::Sender<RunEvent>,
    listens: bool,
    sequence: Option<u64>,
    said: Said,
}

/// The last output of a command.
#[derive(Default)]
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Passing {
    async fn until(
        mut self,
        task_id: &str,
        command: impl Future<Output = Result<TaskExecRecord, Error>>,
        limit: Duration,
    ) -> Result<CommandOutcome, Error> {
        let time_is_up = tokio::time::sleep(limit);
        tokio::pin!(command, time_is_up);
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut command => break ended?,
                event = self.heard.recv(), if self.listens => self.pass(event).await,
                () = &mut time_is_up, if self.sequence.is_some() => {
                    let sequence = self.sequence.expect("the branch asks for it");
                    return Ok(CommandOutcome::Running(self.said.running(task_id, sequence)));
                }
            }
        };
        while let Ok(event) = self.heard.try_recv() {
            let _ = self.caller.send(event).await;
        }
        Ok(CommandOutcome::Ended(Box::new(ended)))
    }

    /// A caller that no longer listens is gone; the manager notices it when the events end.
    async fn pass(&mut self, event: Option<RunEvent>) {
        match &event {
            Some(RunEvent::Phase(Phase::Accepted { sequence, .. })) => self.sequence = Some(*sequence),
            Some(RunEvent::Stdout(bytes)) => keep_the_end(&mut self.said.stdout, bytes),
            Some(RunEvent::Stderr(bytes)) => keep_the_end(&mut self.said.stderr, bytes),
            _ => {}
        }
        self.listens = match event {
            Some(event) => self.caller.send(event).await.is_ok(),
            None => false,
        };
        if !self.listens {
            self.heard.close();
        }
    }
}

impl Said {
    fn running(&self, task_id: &str, sequence: u64) -> RunningCommand {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        RunningCommand {
            task_id: task_id.to_owned(),
            sequence,
            status: "running",
            exit_code: None,
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
            hint: Some(GOES_ON),
        }
    }
}

fn keep_the_end(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.extend_from_slice(bytes);
    let surplus = kept.len().saturating_sub(MAX_KEPT);
    kept.drain(..surplus);
}
