//! A task's journal, as callers read it: its entries with their output, and what of it is damaged.

use pyro_store::journal::{self, CommandRecord, Contents, Stream, StreamEnd};
use pyro_store::{Kind, Record, State};

use crate::clock::now;
use crate::error::Unavailable;
use crate::output::{PAYLOAD_CAP, fair_share, keep_ends};
use crate::payload::{LogEntry, OutputPiece, Problem, TaskLogs};
use crate::supervisor::rpc::{Reply, Request};
use crate::threads::off_thread;
use crate::{Error, Pyro};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::LogsRequest;

/// How long a supervisor may take to say whether a command runs.
const ANSWER: Duration = Duration::from_secs(2);

impl Pyro {
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
            let max = request.max_bytes.unwrap_or(PAYLOAD_CAP).min(PAYLOAD_CAP);
            let share = |stream| {
                let length = |entry: &CommandRecord| journal::output_length(&directory, entry.began.sequence, stream);
                let lengths = entries.iter().map(length).collect::<Result<Vec<u64>, _>>()?;
                Ok::<_, Error>(fair_share(&lengths, max as u64))
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
        max: usize,
    ) -> Result<OutputPiece, Error> {
        let record = self.record_of(Kind::Task, task_id).await?;
        // The entry first: what it says of the end holds for the bytes that are read after it.
        let entry = self.entry(&record, sequence).await?;
        let directory = self.machines().directory(&record.id);
        off_thread(move || {
            let bytes = journal::read_output(&directory, sequence, stream, offset, max.min(PAYLOAD_CAP))?;
            let next_offset = offset + bytes.len() as u64;
            let end = entry.end.map(|end| if stream == Stream::Stdout { end.stdout } else { end.stderr });
            let ended = end.as_ref().is_some_and(|end| next_offset >= end.kept);
            Ok(OutputPiece { bytes, next_offset, ended, cut: end.and_then(|end| end.cut) })
        })
        .await
    }

    /// A task's journal, in which nothing runs that does not run any more.
    pub(crate) async fn journal_of(&self, record: &Record) -> Result<Contents, Error> {
        let (directory, stopped) = (self.machines().directory(&record.id), record.state == State::Stopped);
        let (mut journal, directory) = off_thread(move || Ok((journal::read(&directory)?, directory))).await?;
        if journal.entries.is_empty() {
            // Its directory may have gone since: then that is what is to be told.
            self.record_of(record.kind, record.id.as_str()).await?;
        }
        let all_ended = journal.entries.iter().all(|entry| entry.end.is_some());
        if all_ended || (!stopped && journal.doubtful().next().is_none()) {
            return Ok(journal); // nothing in it is lost
        }
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
            journal.end_lost(now(), runs, |sequence| journal::kept(&directory, sequence))?;
            Ok(journal)
        })
        .await
    }

    /// Whether its supervisor says so. One that does not answer in time is not contradicted.
    async fn is_running(&self, record: &Record, sequence: u64) -> Result<bool, Error> {
        let ask = async {
            let Some(mut connection) = self.put(record, &Request::Watch { sequence }).await? else { return Ok(false) };
            Ok(matches!(connection.reply().await?, Some(Reply::Grown { .. })))
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
    pub fn read_output(&self, sequence: u64, stream: Stream, offset: u64, max: usize) -> Result<Vec<u8>, Error> {
        Ok(journal::read_output(&self.directory, sequence, stream, offset, max.min(PAYLOAD_CAP))?)
    }
}

/// The entries that were asked for.
fn selected(record: &Record, entries: Vec<CommandRecord>, request: LogsRequest) -> Result<Vec<CommandRecord>, Error> {
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

/// An entry with as many bytes of each stream as its share.
pub(super) fn log_entry(
    directory: &Path,
    entry: &CommandRecord,
    tail_bytes: Option<usize>,
    stdout_share: u64,
    stderr_share: u64,
) -> Result<LogEntry, Error> {
    let CommandRecord { began, end } = entry;
    let sequence = began.sequence;
    let read = |stream, share: u64, end: Option<&StreamEnd>| {
        let mut cut = end.and_then(|end| end.cut.clone());
        let length = journal::output_length(directory, sequence, stream)?;
        let text = match tail_bytes {
            Some(tail) => {
                let max = tail.min(usize::try_from(share).unwrap_or(usize::MAX));
                String::from_utf8_lossy(&journal::read_tail(directory, sequence, stream, max)?).into_owned()
            }
            // All of it is read: then it can be told from another text.
            None if length <= share => {
                let bytes =
                    journal::read_output(directory, sequence, stream, 0, usize::try_from(share).unwrap_or(usize::MAX))?;
                if end.and_then(|end| end.crc32).is_some_and(|known| known != crc32fast::hash(&bytes)) {
                    cut = Some("the file is damaged: its checksum does not match what was written".into());
                }
                String::from_utf8_lossy(&bytes).into_owned()
            }
            None => {
                keep_ends(length, share, |offset, max| journal::read_output(directory, sequence, stream, offset, max))?
            }
        };
        let shown = tail_bytes.map_or(share, |tail| share.min(tail as u64));
        let total = end.map_or(length, |end| end.bytes).max(length);
        Ok::<_, Error>((text, total > shown.min(length), total, cut))
    };
    let (stdout, stdout_truncated, stdout_bytes, stdout_cut) =
        read(Stream::Stdout, stdout_share, end.as_ref().map(|end| &end.stdout))?;
    let (stderr, stderr_truncated, stderr_bytes, stderr_cut) =
        read(Stream::Stderr, stderr_share, end.as_ref().map(|end| &end.stderr))?;
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
        stdout_cut,
        stderr_cut,
        stdout_bytes,
        stderr_bytes,
        status: entry.status().as_str(),
        reason: end.as_ref().and_then(|end| end.reason.clone()),
        out_of_memory: end.as_ref().is_some_and(|end| end.out_of_memory),
        started_at: began.started_at,
        finished_at: end.as_ref().map(|end| end.finished_at),
        attempt_id: began.attempt_id.clone(),
    })
}
