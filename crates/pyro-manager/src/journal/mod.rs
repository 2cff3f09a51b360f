//! The journal of a VM's or task's commands: what was sent, what came of it, and every byte of
//! output up to a cap.
//!
//! ```text
//! DIRECTORY/journal.log             checksummed records: began, ended (see pyro_hostfs::log)
//! DIRECTORY/output/000001.stdout    the bytes themselves, as they came
//! DIRECTORY/output/000001.stderr
//!
//! begin ─▶ Running ─▶ end ─▶ Finished | TimedOut | Cancelled | Lost
//!             └──────── writer dies ────▶ recover ─▶ Lost
//! ```
//!
//! The supervisor is the only writer; anybody may read at any time. `begin` is written before the
//! command is sent, output before anybody is shown it, and `end` after the output is on disk. Room
//! for the records of all running commands is set aside, so that a full disk cuts output and
//! nothing else.

mod entry;
mod output;
mod reading;
#[cfg(test)]
mod tests;

pub use entry::{Began, End, Entry, Status, StreamEnd};
pub use output::OutputLog;
pub use reading::{Stream, entries, entry, output_length, path as output_path, read_output, read_tail};

use std::fs::File;
use std::path::{Path, PathBuf};

use pyro_hostfs::log::{AppendLog, LogError};
use pyro_hostfs::{directory, log};

use crate::Error;
use crate::clock::now;
use crate::error::{JournalProblem, host};
use entry::Event;

pub const LOG: &str = "journal.log";
const OUTPUT: &str = "output";
/// Bytes of an `ended` record at most: its few numbers and words.
const ENDED_BYTES: u64 = 2048;

/// The writing end.
#[derive(Debug)]
pub struct Journal {
    log: AppendLog,
    directory: PathBuf,
    next: u64,
    running: u64,
    cap: u64,
}

/// A command that was written down and may now be sent.
#[derive(Debug)]
pub struct Begun {
    pub sequence: u64,
    pub stdout: OutputLog,
    pub stderr: OutputLog,
}

impl Journal {
    /// Makes the journal of a new directory. Each stream of a command keeps up to `cap` bytes.
    pub fn create(directory: &Path, cap: u64) -> Result<Self, Error> {
        directory::private(&directory.join(OUTPUT)).map_err(host("make the journal's directory"))?;
        let log = AppendLog::create(&directory.join(LOG)).map_err(host("make the journal"))?;
        Ok(Self { log, directory: directory.to_owned(), next: 1, running: 0, cap })
    }

    /// Goes on with the journal of a directory whose writer died; what was running is lost.
    pub fn adopt(directory: &Path, cap: u64) -> Result<Self, Error> {
        let path = directory.join(LOG);
        let (log, records) = AppendLog::open(&path).map_err(|source| unreadable(&path, source))?;
        let entries = entry::assemble(&records).map_err(|source| JournalProblem::Record { path, source })?;
        let next = entries.last().map_or(1, |entry| entry.began.sequence + 1);
        let mut journal = Self { log, directory: directory.to_owned(), next, running: 0, cap };
        for entry in entries.iter().filter(|entry| entry.end.is_none()) {
            let kept = |stream| output_length(directory, entry.began.sequence, stream);
            let end = End::lost(now(), kept(Stream::Stdout), kept(Stream::Stderr));
            journal.running += 1;
            journal.end(entry.began.sequence, &end)?;
        }
        Ok(journal)
    }

    /// Writes down that a command is about to be sent.
    ///
    /// # Errors
    /// When that cannot be written: then it must not be sent.
    pub fn begin(&mut self, mut began: Began) -> Result<Begun, Error> {
        let sequence = self.next;
        began.sequence = sequence;
        let record = Event::Began(began).bytes();
        self.log
            .reserve(record.len() as u64 + (self.running + 2) * ENDED_BYTES)
            .map_err(host("set room aside in the journal"))?;
        let file = |stream| {
            OutputLog::create(&reading::path(&self.directory, sequence, stream), self.cap)
                .map_err(host("make a file for the command's output"))
        };
        let (stdout, stderr) = (file(Stream::Stdout)?, file(Stream::Stderr)?);
        self.log.append(&record).map_err(host("write the journal"))?;
        self.next += 1;
        self.running += 1;
        Ok(Begun { sequence, stdout, stderr })
    }

    /// Writes down what came of a command. Its output is on disk already.
    pub fn end(&mut self, sequence: u64, end: &End) -> Result<(), Error> {
        let record = Event::Ended { sequence, end: end.clone() }.bytes();
        self.log.append(&record).map_err(host("write the journal"))?;
        self.running = self.running.saturating_sub(1);
        Ok(())
    }

    /// A handle to flush the journal with, from any thread.
    pub fn handle(&self) -> Result<File, Error> {
        self.log.handle().map_err(host("open the journal again"))
    }
}

/// Marks as lost what was running when the writer died. The caller holds the directory's lock.
pub fn recover(directory: &Path) -> Result<(), Error> {
    if !directory.join(LOG).exists() {
        return Ok(()); // it died before it had one
    }
    let journal = Journal::adopt(directory, 0)?;
    journal.handle()?.sync_data().map_err(host("flush the journal"))
}

fn unreadable(path: &Path, source: LogError) -> Error {
    JournalProblem::Log { path: path.to_owned(), source }.into()
}

/// Every whole record of a directory's journal.
fn records(directory: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let path = directory.join(LOG);
    match log::read(&path) {
        Err(LogError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|source| unreadable(&path, source)),
    }
}
