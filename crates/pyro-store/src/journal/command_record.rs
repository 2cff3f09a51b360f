//! A command in the journal (the form on disk).

use std::collections::{BTreeMap, BTreeSet};

use pyro_hostfs::log::{Contents as LogContents, Gap};
use serde::{Deserialize, Serialize};

use crate::error::Error;

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
    /// A client ended it, or it ended with its task.
    Cancelled,
    /// The machine ended while the command ran. Its outcome is unknown.
    Lost,
    /// The guest did not run it at all.
    Refused,
}

/// What was written before a command was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartRecord {
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

/// The end state of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEnd {
    /// Bytes the command wrote.
    pub bytes: u64,
    /// Bytes that are in the journal: the first ones.
    pub kept: u64,
    /// CRC-32 of those bytes. None if the writer died.
    pub crc32: Option<u32>,
    /// Why the rest is not in the journal.
    pub cut: Option<String>,
}

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndRecord {
    /// Anything but `Running`.
    pub status: Status,
    /// Known for `Finished` and `TimedOut` only.
    pub exit_code: Option<i32>,
    /// Measured by the guest's clock. None if the guest did not report it.
    pub duration_ms: Option<u64>,
    /// Unix seconds.
    pub finished_at: f64,
    /// The guest's kernel killed one of its processes because memory ran out.
    pub out_of_memory: bool,
    /// The reason, if the status does not explain it.
    pub reason: Option<String>,
    /// Standard output.
    pub stdout: StreamEnd,
    /// Standard error.
    pub stderr: StreamEnd,
}

/// A command in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandRecord {
    /// How it began.
    pub began: StartRecord,
    /// How it ended, if it has.
    pub end: Option<EndRecord>,
}

impl CommandRecord {
    /// How far it has come.
    #[must_use]
    pub fn status(&self) -> Status {
        self.end.as_ref().map_or(Status::Running, |end| end.status)
    }

    /// Its exit code, where it has one.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        self.end.as_ref()?.exit_code
    }
}

impl Status {
    /// The word every front end shows.
    pub fn as_str(self) -> &'static str {
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

impl EndRecord {
    /// The outcome of a command whose supervisor died.
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
    Began(StartRecord),
    Ended { sequence: u64, end: EndRecord },
}

impl Event {
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an event has string keys only")
    }
}

/// The command text shown in place of a damaged one.
const UNKNOWN: &str = "(unknown: the journal is damaged here)";
const BEGINNING_DAMAGED: &str = "the journal is damaged at the start of this command: the command is unknown";
const ALL_DAMAGED: &str = "the journal is damaged here: the command and its outcome are unknown";
const END_DAMAGED: &str = "the journal is damaged after the start of this command: its outcome is unknown";
/// Bytes of a record in the log at least.
const MIN_RECORD: u64 = 8;

/// What a journal holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// Every command, in order of start.
    pub entries: Vec<CommandRecord>,
    /// The damaged parts of the file.
    pub gaps: Vec<Gap>,
    /// Commands whose end record may be in a damaged part.
    doubtful: BTreeSet<u64>,
    /// The highest number that is in use.
    pub highest: u64,
}

impl Contents {
    /// Puts the records of a log together, in order of start. `outputs` are the numbers for which there are
    /// files of output; they are made before a command is written down.
    ///
    /// A writer numbers its commands from 1. It skips only a number whose start record it could not write.
    /// Any other gap in the numbers means an invalid journal, unless damage explains it.
    pub fn assemble(log: &LogContents, outputs: &BTreeSet<u64>) -> Result<Self, serde_json::Error> {
        let LogContents { records, gaps } = log;
        let damaged: u64 = gaps.iter().map(|gap| gap.bytes).sum();
        let may_be_missing = damaged / MIN_RECORD + outputs.len() as u64;
        let mut entries: BTreeMap<u64, CommandRecord> = BTreeMap::new();
        let mut doubtful = BTreeSet::new();
        let (mut last, mut began_at) = (0, BTreeMap::new());
        for (at, record) in records.iter().enumerate() {
            match serde_json::from_slice(record)? {
                Event::Began(began) if began.sequence > last && began.sequence - last - 1 <= may_be_missing => {
                    last = began.sequence;
                    began_at.insert(last, at);
                    entries.insert(last, CommandRecord { began, end: None });
                }
                Event::Began(began) => {
                    let problem = format!("command {} follows command {last}", began.sequence);
                    return Err(serde::de::Error::custom(problem));
                }
                // Only the first end counts.
                Event::Ended { sequence, end } => match entries.get_mut(&sequence) {
                    Some(entry) => drop(entry.end.get_or_insert(end)),
                    // An end without a start is ignored, unless damage may have hidden the start.
                    None if sequence == 0 || damaged == 0 || sequence > last.saturating_add(may_be_missing) => {}
                    None => drop(entries.insert(sequence, CommandRecord::without_beginning(sequence, end))),
                },
            }
        }
        if damaged > 0 {
            for sequence in outputs.iter().filter(|sequence| **sequence > 0) {
                entries.entry(*sequence).or_insert_with(|| {
                    doubtful.insert(*sequence);
                    CommandRecord { began: StartRecord::unknown(*sequence, 0.0), end: None }
                });
            }
        }
        for (sequence, at) in began_at {
            if entries[&sequence].end.is_none() && gaps.iter().any(|gap| gap.records_before > at) {
                doubtful.insert(sequence);
            }
        }
        let highest = entries.keys().chain(outputs).max().copied().unwrap_or(0);
        Ok(Self { entries: entries.into_values().collect(), gaps: gaps.clone(), doubtful, highest })
    }

    /// Marks as lost every command that has no end record and no longer runs. Returns their numbers. `runs` says
    /// whether a command still runs; `kept` gives the number of bytes of each stream.
    pub fn end_lost(
        &mut self,
        now: f64,
        runs: impl Fn(u64) -> bool,
        kept: impl Fn(u64) -> Result<(u64, u64), Error>,
    ) -> Result<Vec<u64>, Error> {
        let mut lost = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.end.is_none()) {
            let sequence = entry.began.sequence;
            if runs(sequence) {
                continue;
            }
            let (stdout, stderr) = kept(sequence)?;
            let mut end = EndRecord::lost(now, stdout, stderr);
            if self.doubtful.contains(&sequence) {
                end.reason = Some(if entry.began.is_known() { END_DAMAGED } else { ALL_DAMAGED }.into());
            }
            entry.end = Some(end);
            lost.push(sequence);
        }
        Ok(lost)
    }

    /// Commands without an end record whose end may be in a damaged part.
    pub fn doubtful(&self) -> impl Iterator<Item = u64> {
        self.doubtful.clone().into_iter()
    }

    /// A sentence about the damage, if there is any.
    pub fn problem(&self) -> Option<String> {
        let bytes: u64 = self.gaps.iter().map(|gap| gap.bytes).sum();
        (bytes > 0).then(|| {
            format!(
                "its journal is damaged: {bytes} bytes cannot be read (damaged parts: {}); the commands before \
                 and after them are intact",
                self.gaps.len()
            )
        })
    }
}

impl CommandRecord {
    /// The end is as it was written; the beginning cannot be read.
    fn without_beginning(sequence: u64, mut end: EndRecord) -> Self {
        end.reason = Some(match end.reason.take() {
            Some(reason) if reason == ALL_DAMAGED => reason,
            Some(reason) => format!("{reason}; {BEGINNING_DAMAGED}"),
            None => BEGINNING_DAMAGED.into(),
        });
        Self { began: StartRecord::unknown(sequence, end.finished_at), end: Some(end) }
    }
}

impl StartRecord {
    fn unknown(sequence: u64, started_at: f64) -> Self {
        Self {
            sequence,
            command: UNKNOWN.into(),
            cwd: String::new(),
            attempt_id: None,
            request_digest: String::new(),
            started_at,
            execution_mode: "unknown".into(),
        }
    }

    /// Whether the start record could be read. Every written start record has a digest.
    fn is_known(&self) -> bool {
        !self.request_digest.is_empty()
    }
}
