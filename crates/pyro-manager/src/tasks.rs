//! Tasks: a machine that stays, its workspace, and the journal of its commands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::client::off_thread;
use crate::clock::now;
use crate::create::CreateRequest;
use crate::error::Unavailable;
use crate::exec::{ExecRequest, Over};
use crate::journal::{self, Contents, Entry, Status, Stream};
use crate::machines::Seen;
use crate::output::{PAYLOAD_CAP, fair_share, keep_ends};
use crate::payload::{
    DetachedRecord, LastCommand, LogEntry, OutputPiece, Problem, TaskDeleted, TaskExecRecord, TaskList, TaskLogs,
    TaskRecord,
};
use crate::registry::{Kind, Record, State};
use crate::run::{RunEvent, RunIo};
use crate::supervisor::wire::{Reply, Request};
use crate::{Error, Pyro, limits};

/// How long a supervisor may take to say whether a command runs.
const ANSWER: Duration = Duration::from_secs(2);

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
    pub most_bytes: Option<usize>,
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
        let (seen, mut problems) = self.find_all(Kind::Task, "").await?;
        let mut tasks = Vec::new();
        for seen in seen {
            let known = seen.problems.len();
            let task = self.task_record(seen).await?;
            // Those of its journal were seen only now.
            problems.extend(task.problems[known..].iter().cloned());
            tasks.push(task);
        }
        Ok(TaskList { count: tasks.len(), tasks, problems })
    }

    /// The whole id of the task of which `prefix` is the beginning.
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
        let wire = request.wire(true, false)?;
        let record = self.record_of(Kind::Task, task_id).await?;
        Ok(task_result(&record, self.send(&record, &wire, io).await?))
    }

    /// Starts a command in its workspace, with empty input, and returns its number.
    ///
    /// # Errors
    /// [`Error`]; then the command was not run, or it says that this is unknown.
    pub async fn start_task_command(&self, task_id: &str, request: ExecRequest) -> Result<DetachedRecord, Error> {
        let wire = request.wire(false, false)?;
        let record = self.record_of(Kind::Task, task_id).await?;
        let (sequence, status) = self.send_detached(&record, wire).await?;
        Ok(DetachedRecord { task_id: record.id.to_string(), sequence, status: status.word() })
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

    /// Its journal. All entries together carry at most 1 MiB of each stream, shared fairly.
    ///
    /// # Errors
    /// [`Error`], when there is no such task or command.
    pub async fn logs_task(&self, task_id: &str, request: LogsRequest) -> Result<TaskLogs, Error> {
        let record = self.record_of(Kind::Task, task_id).await?;
        let directory = self.machines().directory(&record.id);
        let journal = Box::pin(self.journal_of(&record)).await?;
        off_thread(move || {
            let problem = journal.problem().map(|problem| Problem::journal(record.id.to_string(), problem));
            let entries = selected(&record, journal.entries, request)?;
            let most = request.most_bytes.unwrap_or(PAYLOAD_CAP).min(PAYLOAD_CAP);
            let share = |stream| {
                let length = |entry: &Entry| journal::output_length(&directory, entry.began.sequence, stream);
                let lengths = entries.iter().map(length).collect::<Result<Vec<u64>, Error>>()?;
                Ok::<_, Error>(fair_share(&lengths, most as u64))
            };
            let (stdout, stderr) = (share(Stream::Stdout)?, share(Stream::Stderr)?);
            let entries = entries
                .iter()
                .map(|entry| log_entry(&directory, entry, request.tail_bytes, stdout, stderr))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(TaskLogs {
                task_id: record.id.to_string(),
                count: entries.len(),
                entries,
                problems: problem.into_iter().collect(),
            })
        })
        .await
    }

    /// Its journal as it is now, for one who reads all of the output: entries without text, and a way to
    /// their bytes that reads nothing twice.
    ///
    /// # Errors
    /// [`Error`], when there is no such task or command.
    pub async fn journal_of_task(&self, task_id: &str, request: LogsRequest) -> Result<TaskJournal, Error> {
        let record = self.record_of(Kind::Task, task_id).await?;
        let directory = self.machines().directory(&record.id);
        let journal = Box::pin(self.journal_of(&record)).await?;
        off_thread(move || {
            let problem = journal.problem().map(|problem| Problem::journal(record.id.to_string(), problem));
            let entries = selected(&record, journal.entries, request)?;
            let entries = entries.iter().map(|entry| log_entry(&directory, entry, Some(0), 0, 0));
            let problems = problem.into_iter().collect();
            Ok(TaskJournal { entries: entries.collect::<Result<_, _>>()?, problems, directory })
        })
        .await
    }

    /// Up to `most` bytes of one stream of a command, from a byte offset on. What is there is
    /// returned at once; a command that runs may have more later.
    ///
    /// # Errors
    /// [`Error`], when there is no such command.
    pub async fn read_output(
        &self,
        task_id: &str,
        sequence: u64,
        stream: Stream,
        offset: u64,
        most: usize,
    ) -> Result<OutputPiece, Error> {
        let record = self.record_of(Kind::Task, task_id).await?;
        // The entry first: what it says of the end holds for the bytes that are read after it.
        let entry = self.entry(&record, sequence).await?;
        let directory = self.machines().directory(&record.id);
        off_thread(move || {
            let bytes = journal::read_output(&directory, sequence, stream, offset, most.min(PAYLOAD_CAP))?;
            let next_offset = offset + bytes.len() as u64;
            let end = entry.end.map(|end| if stream == Stream::Stdout { end.stdout } else { end.stderr });
            let ended = end.as_ref().is_some_and(|end| next_offset >= end.kept);
            Ok(OutputPiece { bytes, next_offset, ended, cut: end.and_then(|end| end.cut) })
        })
        .await
    }

    /// Tells the number of its newest command (0 for none) now and whenever there is a newer one,
    /// until the task ends or nobody listens.
    ///
    /// # Errors
    /// [`Error`], when there is no such task.
    pub async fn watch_task(&self, task_id: &str, newest: mpsc::Sender<u64>) -> Result<(), Error> {
        let record = self.record_of(Kind::Task, task_id).await?;
        let Some(mut talk) = self.reach(&record).await? else { return Ok(()) };
        talk.send(&Request::WatchTask).await?;
        loop {
            let reply = tokio::select! {
                reply = talk.read::<Reply>() => reply?,
                () = newest.closed() => return Ok(()),
            };
            match reply {
                Some(Reply::Latest { sequence }) => drop(newest.send(sequence).await),
                _ => return Ok(()),
            }
        }
    }

    /// Counts its life anew from now.
    ///
    /// # Errors
    /// [`Error`], when there is no such task, or the seconds are out of bounds.
    pub async fn extend_task(&self, task_id: &str, ttl_seconds: i64) -> Result<TaskRecord, Error> {
        let ttl_seconds = limits::ttl(ttl_seconds)?.as_secs();
        let record = self.record_of(Kind::Task, task_id).await?;
        let record = match self.ask(&record, &Request::Extend { ttl_seconds }).await? {
            Some(Reply::Done { record }) => record,
            _ => {
                let (machines, id) = (self.machines(), record.id.clone());
                let extended = off_thread(move || match machines.take_over(&id)? {
                    None => Ok(false),
                    Some((mut record, _lock)) => {
                        record.ttl_seconds = ttl_seconds;
                        record.expires_at = now() + ttl_seconds as f64;
                        record.write(&machines.directory(&id))?;
                        machines.registry()?.put(&record)?;
                        Ok(true)
                    }
                });
                extended.await?;
                self.record_of(Kind::Task, record.id.as_str()).await?
            }
        };
        self.task_record(record.into()).await
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

    /// A task's journal, in which nothing runs that does not run any more.
    pub(crate) async fn journal_of(&self, record: &Record) -> Result<Contents, Error> {
        let (directory, stopped) = (self.machines().directory(&record.id), record.state == State::Stopped);
        let (mut journal, directory) = off_thread(move || Ok((journal::read(&directory)?, directory))).await?;
        let mut running = BTreeSet::new();
        if !stopped {
            // Its end may stand in the damaged part: only its supervisor knows.
            for sequence in journal.doubtful() {
                if Box::pin(self.is_running(record, sequence)).await? {
                    running.insert(sequence);
                }
            }
        }
        off_thread(move || {
            let doubtful: BTreeSet<u64> = journal.doubtful().collect();
            let runs = |sequence| !stopped && (!doubtful.contains(&sequence) || running.contains(&sequence));
            journal.settle(now(), runs, |sequence| journal::kept(&directory, sequence))?;
            Ok(journal)
        })
        .await
    }

    /// Whether its supervisor says so. One that does not answer in time is not contradicted.
    async fn is_running(&self, record: &Record, sequence: u64) -> Result<bool, Error> {
        let ask = async {
            let Some(mut talk) = self.reach(record).await? else { return Ok(false) };
            let _ = talk.send(&Request::Watch { sequence }).await;
            Ok(matches!(talk.read::<Reply>().await?, Some(Reply::Grown { .. })))
        };
        tokio::time::timeout(ANSWER, ask).await.unwrap_or(Ok(true))
    }
}

/// A task's journal at one moment, and the files with its output.
#[derive(Debug)]
pub struct TaskJournal {
    /// In order of start; their texts are empty.
    pub entries: Vec<LogEntry>,
    /// What of it is damaged.
    pub problems: Vec<Problem>,
    directory: PathBuf,
}

impl TaskJournal {
    /// Up to `most` bytes of one stream of an entry, from a byte offset on. Blocks.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read_output(&self, sequence: u64, stream: Stream, offset: u64, most: usize) -> Result<Vec<u8>, Error> {
        journal::read_output(&self.directory, sequence, stream, offset, most.min(PAYLOAD_CAP))
    }
}

/// The entries that were asked for.
fn selected(record: &Record, entries: Vec<Entry>, request: LogsRequest) -> Result<Vec<Entry>, Error> {
    let mut entries = entries;
    if let Some(sequence) = request.sequence {
        entries.retain(|entry| entry.began.sequence == sequence);
        if entries.is_empty() {
            return Err(Unavailable::UnknownSequence { id: record.id.to_string(), sequence }.into());
        }
    }
    if let Some(last) = request.last {
        entries.drain(..entries.len().saturating_sub(last));
    }
    Ok(entries)
}

fn last_command(entry: &Entry) -> LastCommand {
    LastCommand {
        sequence: entry.began.sequence,
        command: entry.began.command.clone(),
        cwd: entry.began.cwd.clone(),
        exit_code: entry.exit_code(),
        duration_ms: entry.end.as_ref().and_then(|end| end.duration_ms),
        execution_mode: entry.began.execution_mode.clone(),
        status: entry.status().word(),
    }
}

fn task_result(record: &Record, over: Over) -> TaskExecRecord {
    let Over { entry, stdout, stderr } = over;
    let Entry { began, end } = entry;
    let end = end.expect("a command that is over has an end");
    TaskExecRecord {
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

/// An entry with as many bytes of each stream as its share.
fn log_entry(
    directory: &Path,
    entry: &Entry,
    tail_bytes: Option<usize>,
    stdout_share: u64,
    stderr_share: u64,
) -> Result<LogEntry, Error> {
    let Entry { began, end } = entry;
    let sequence = began.sequence;
    let read = |stream, share: u64, bytes: Option<u64>| {
        let length = journal::output_length(directory, sequence, stream)?;
        let text = match tail_bytes {
            Some(tail) => {
                let most = tail.min(usize::try_from(share).unwrap_or(usize::MAX));
                String::from_utf8_lossy(&journal::read_tail(directory, sequence, stream, most)?).into_owned()
            }
            None => keep_ends(length, share, |offset, most| {
                journal::read_output(directory, sequence, stream, offset, most)
            })?,
        };
        let shown = tail_bytes.map_or(share, |tail| share.min(tail as u64));
        let total = bytes.unwrap_or(length).max(length);
        Ok::<_, Error>((text, total > shown.min(length), total))
    };
    let (stdout, stdout_truncated, stdout_bytes) =
        read(Stream::Stdout, stdout_share, end.as_ref().map(|end| end.stdout.bytes))?;
    let (stderr, stderr_truncated, stderr_bytes) =
        read(Stream::Stderr, stderr_share, end.as_ref().map(|end| end.stderr.bytes))?;
    Ok(LogEntry {
        sequence,
        command: began.command.clone(),
        cwd: began.cwd.clone(),
        exit_code: entry.exit_code(),
        duration_ms: end.as_ref().and_then(|end| end.duration_ms),
        execution_mode: began.execution_mode.clone(),
        stdout_file: journal::output_path(directory, sequence, Stream::Stdout),
        stderr_file: journal::output_path(directory, sequence, Stream::Stderr),
        recorded_at: end.as_ref().map_or(began.started_at, |end| end.finished_at),
        stdout,
        stderr,
        stdout_truncated,
        stderr_truncated,
        stdout_cut: end.as_ref().and_then(|end| end.stdout.cut.clone()),
        stderr_cut: end.as_ref().and_then(|end| end.stderr.cut.clone()),
        stdout_bytes,
        stderr_bytes,
        status: entry.status().word(),
        reason: end.as_ref().and_then(|end| end.reason.clone()),
        out_of_memory: end.as_ref().is_some_and(|end| end.out_of_memory),
        started_at: began.started_at,
        finished_at: end.as_ref().map(|end| end.finished_at),
        attempt_id: began.attempt_id.clone(),
    })
}
