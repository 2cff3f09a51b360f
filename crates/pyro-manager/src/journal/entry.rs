//! A command in the journal (the form on disk, and between supervisor and client).

use serde::{Deserialize, Serialize};

/// How far a command has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was sent, and has not ended yet.
    Running,
    /// It ended by itself.
    Finished,
    /// Its time limit ended it.
    TimedOut,
    /// Somebody ended it, or the task did at its own end.
    Cancelled,
    /// The machine ended under it: what came of it is unknown.
    Lost,
    /// The guest did not run it at all.
    Refused,
}

/// What was written before a command was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Began {
    /// From 1, in order of start.
    pub sequence: u64,
    /// The caller's text.
    pub command: String,
    /// Where it runs.
    pub cwd: String,
    /// The caller's name for this attempt.
    pub attempt_id: Option<String>,
    /// Digest of all that was asked for.
    pub request_digest: String,
    /// Unix seconds.
    pub started_at: f64,
    /// `guest_agent` or `host_compat`.
    pub execution_mode: String,
}

/// What came of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEnd {
    /// Bytes the command wrote.
    pub bytes: u64,
    /// Bytes that are in the journal: the first ones.
    pub kept: u64,
    /// CRC-32 of those; none where the writer died.
    pub crc32: Option<u32>,
    /// Why the rest is not.
    pub cut: Option<String>,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Anything but `Running`.
    pub status: Status,
    /// Known for `Finished` and `TimedOut` only.
    pub exit_code: Option<i32>,
    /// By the guest's clock; none where the guest did not say.
    pub duration_ms: Option<u64>,
    /// Unix seconds.
    pub finished_at: f64,
    /// The kernel killed a process of it for want of memory.
    pub out_of_memory: bool,
    /// Why, where it is not plain.
    pub reason: Option<String>,
    /// Standard output.
    pub stdout: StreamEnd,
    /// Standard error.
    pub stderr: StreamEnd,
}

/// A command in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// How it began.
    pub began: Began,
    /// How it ended, if it has.
    pub end: Option<End>,
}

impl Entry {
    pub fn status(&self) -> Status {
        self.end.as_ref().map_or(Status::Running, |end| end.status)
    }

    pub fn exit_code(&self) -> Option<i32> {
        self.end.as_ref()?.exit_code
    }
}

impl Status {
    /// The word every face shows.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Refused => "refused",
        }
    }
}

impl End {
    /// What came of a command whose supervisor died.
    pub fn lost(finished_at: f64, stdout: u64, stderr: u64) -> Self {
        let stream = |kept| StreamEnd { bytes: kept, kept, crc32: None, cut: None };
        Self {
            status: Status::Lost,
            exit_code: None,
            duration_ms: None,
            finished_at,
            out_of_memory: false,
            reason: Some("its supervisor ended unexpectedly".into()),
            stdout: stream(stdout),
            stderr: stream(stderr),
        }
    }
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Began(Began),
    Ended { sequence: u64, end: End },
}

impl Event {
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an event has string keys only")
    }
}

/// Puts the records of a log together, in order of start. A writer numbers its commands from 1 and leaves
/// none out; other numbers are not a journal.
pub fn assemble(records: &[Vec<u8>]) -> Result<Vec<Entry>, serde_json::Error> {
    let mut entries: Vec<Entry> = Vec::new();
    for record in records {
        match serde_json::from_slice(record)? {
            Event::Began(began) if began.sequence == entries.len() as u64 + 1 => {
                entries.push(Entry { began, end: None });
            }
            Event::Began(began) => {
                let problem = format!("command {} follows command {}", began.sequence, entries.len());
                return Err(serde::de::Error::custom(problem));
            }
            Event::Ended { sequence, end } => {
                // Only the first end counts; one of a command that never began is nobody's.
                let at = entries.binary_search_by_key(&sequence, |entry| entry.began.sequence);
                if let Some(entry) = at.ok().map(|at| &mut entries[at]) {
                    entry.end.get_or_insert(end);
                }
            }
        }
    }
    Ok(entries)
}
