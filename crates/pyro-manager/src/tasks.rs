//! Tasks: a machine that stays, its workspace, and the journal of its commands.

mod change;
mod logs;

pub use logs::TaskJournal;

use std::collections::BTreeMap;

use pyro_store::journal::{CommandRecord, Contents, Status};
use pyro_store::{Kind, Record};
use tokio::sync::mpsc;

use crate::create::CreateRequest;
use crate::events::{RunEvent, RunIo};
use crate::exec::{ExecRequest, Over};
use crate::look::Seen;
use crate::payload::{
    DetachedRecord, LastCommand, LogEntry, Problem, TaskDeleted, TaskExecRecord, TaskList, TaskRecord,
};
use crate::supervisor::rpc::{Reply, Request};
use crate::{Error, Pyro};

/// Which entries of a journal, and how much of their output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogsRequest {
    /// Only this command.
    pub sequence: Option<u64>,
    /// Only the last bytes of each stream.
    pub tail_bytes: Option<usize>,
    /// Only the last commands, so many of them.
    pub last: Option<usize>,
    /// Bytes of each stream that all entries carry together, at most 1 MiB, which is the default.
    pub max_bytes: Option<usize>,
}

impl Pyro {
    /// Creates a task and starts its machine. Returns when its guest answers.
    ///
    /// # Errors
    /// [`Error`]; then nothing of it is left.
    pub async fn create_task(
        &self,
        request: CreateRequest,
        events: &mpsc::Sender<RunEvent>,
    ) -> Result<TaskRecord, Error> {
        let record = self.create(Kind::Task, request, events).await?;
        self.task_record(record.into()).await
    }

    /// What there is to know of it.
    ///
    /// # Errors
    /// [`Error`], when there is no such task.
    pub async fn status_task(&self, task_id: &str) -> Result<TaskRecord, Error> {
        self.task_record(self.seen(Kind::Task, task_id).await?).await
    }

    /// Every task, oldest first.
    ///
    /// # Errors
    /// [`Error`], when the registry cannot be read.
    pub async fn list_tasks(&self) -> Result<TaskList, Error> {
        self.list_labelled_tasks(&BTreeMap::new()).await
    }

    /// Every task that has all of these labels, oldest first.
    ///
    /// # Errors
    /// [`Error`], when the registry cannot be read.
    pub async fn list_labelled_tasks(&self, labels: &BTreeMap<String, String>) -> Result<TaskList, Error> {
        let (seen, mut problems) = self.find_all(Kind::Task, "").await?;
        let mut tasks = Vec::new();
        for seen in seen.into_iter().filter(|seen| seen.record.naming.has_labels(labels)) {
            let known = seen.problems.len();
            let task = self.task_record(seen).await?;
            // Those of its journal were seen only now.
            problems.extend(task.problems[known..].iter().cloned());
            tasks.push(task);
        }
        Ok(TaskList { count: tasks.len(), tasks, problems })
    }

    /// The whole id of the task of which `prefix` is the beginning, or that has this name.
    ///
    /// # Errors
    /// [`Error`], when there is none, or more than one.
    pub async fn complete_task_id(&self, prefix: &str) -> Result<String, Error> {
        self.complete(Kind::Task, prefix).await
    }

    /// Runs a command in its workspace and waits for the end. Standard input is the caller's; the
    /// caller's cancellation ends the command, and his going away does not.
    ///
    /// # Errors
    /// [`Error`]; it says whether the command was run.
    pub async fn exec_task(&self, task_id: &str, request: ExecRequest, io: RunIo) -> Result<TaskExecRecord, Error> {
        let exec = request.to_rpc(true, false)?;
        let record = self.record_of(Kind::Task, task_id).await?;
        Ok(task_result(&record, self.send(&record, &exec, io).await?))
    }

    /// Starts a command in its workspace, with empty input, and returns its number.
    ///
    /// # Errors
    /// [`Error`]; then the command was not run, or it says that this is unknown.
    pub async fn start_task_command(&self, task_id: &str, request: ExecRequest) -> Result<DetachedRecord, Error> {
        let exec = request.to_rpc(false, false)?;
        let record = self.record_of(Kind::Task, task_id).await?;
        let (sequence, status) = self.send_detached(&record, exec).await?;
        Ok(DetachedRecord { task_id: record.id.to_string(), sequence, status: status.as_str() })
    }

    /// Waits for the end of a command that was started before. Its output is told from its first
    /// byte, as far as the journal keeps it.
    ///
    /// # Errors
    /// [`Error`]: there is no such command, or it did not end by itself.
    pub async fn wait_task(&self, task_id: &str, sequence: u64, io: RunIo) -> Result<TaskExecRecord, Error> {
        let record = self.record_of(Kind::Task, task_id).await?;
        self.entry(&record, sequence).await?;
        Ok(task_result(&record, self.join(&record, sequence, io).await?))
    }

    /// Ends a running command with all its processes, and returns what the journal says of it. One
    /// that is over is left as it is.
    ///
    /// # Errors
    /// [`Error`], when there is no such command.
    pub async fn cancel_task(&self, task_id: &str, sequence: u64) -> Result<LogEntry, Error> {
        let record = self.record_of(Kind::Task, task_id).await?;
        self.entry(&record, sequence).await?;
        self.cancel_command(&record, sequence).await?;
        let request = LogsRequest { sequence: Some(sequence), ..LogsRequest::default() };
        let mut logs = self.logs_task(task_id, request).await?;
        Ok(logs.entries.remove(0))
    }

    /// Tells the number of its newest command (0 for none) now and whenever there is a newer one,
    /// until the task ends or nobody listens.
    ///
    /// # Errors
    /// [`Error`], when there is no such task.
    pub async fn watch_task(&self, task_id: &str, newest: mpsc::Sender<u64>) -> Result<(), Error> {
        let record = self.record_of(Kind::Task, task_id).await?;
        let asked = tokio::select! {
            asked = self.put(&record, &Request::WatchTask) => asked?,
            () = newest.closed() => return Ok(()),
        };
        let Some(mut connection) = asked else { return Ok(()) };
        loop {
            let reply = tokio::select! {
                reply = connection.reply() => reply?,
                () = newest.closed() => return Ok(()),
            };
            match reply {
                Some(Reply::Latest { sequence }) => drop(newest.send(sequence).await),
                _ => return Ok(()),
            }
        }
    }

    /// Deletes it with its workspace and its journal. What runs in it is ended.
    ///
    /// # Errors
    /// [`Error`], when there is no such task or something could not be removed.
    pub async fn delete_task(&self, task_id: &str) -> Result<TaskDeleted, Error> {
        let record = self.record_of(Kind::Task, task_id).await?;
        self.delete(&record).await?;
        Ok(TaskDeleted { task_id: record.id.to_string(), deleted: true, reason: "explicit_delete" })
    }

    /// A journal that cannot be read keeps nobody from the rest.
    async fn task_record(&self, seen: Seen) -> Result<TaskRecord, Error> {
        let Seen { record, mut problems } = seen;
        let id = record.id.to_string();
        let journal = Box::pin(self.journal_of(&record)).await.unwrap_or_else(|error| {
            problems.push(Problem::of(Some(id.clone()), &error));
            Contents::default()
        });
        problems.extend(journal.problem().map(|problem| Problem::journal(id, problem)));
        let entries = &journal.entries;
        Ok(TaskRecord::new(&record, entries.len() as u64, entries.last().map(last_command), problems))
    }
}

fn last_command(entry: &CommandRecord) -> LastCommand {
    LastCommand {
        sequence: entry.began.sequence,
        command: entry.began.command.clone(),
        cwd: entry.began.cwd.clone(),
        exit_code: entry.exit_code(),
        duration_ms: entry.end.as_ref().and_then(|end| end.duration_ms),
        execution_mode: entry.began.execution_mode.clone(),
        status: entry.status().as_str(),
    }
}

fn task_result(record: &Record, over: Over) -> TaskExecRecord {
    let Over { entry, stdout, stderr } = over;
    let CommandRecord { began, end } = entry;
    let end = end.expect("a command that is over has an end");
    TaskExecRecord {
        status: end.status.as_str(),
        task_id: record.id.to_string(),
        environment: record.environment.clone(),
        environment_version: record.environment_version.clone(),
        command: began.command,
        stdout: stdout.text,
        stderr: stderr.text,
        stdout_truncated: stdout.truncated,
        stderr_truncated: stderr.truncated,
        stdout_bytes: stdout.bytes,
        stderr_bytes: stderr.bytes,
        exit_code: end.exit_code.expect("a command that ended by itself has an exit code"),
        timed_out: end.status == Status::TimedOut,
        out_of_memory: end.out_of_memory,
        duration_ms: end.duration_ms.unwrap_or_default(),
        execution_mode: began.execution_mode,
        sequence: began.sequence,
        cwd: began.cwd,
        attempt_id: began.attempt_id,
    }
}
