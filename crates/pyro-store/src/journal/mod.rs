//! The journal of a VM's or task's commands: each command, its outcome, and every byte of
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
//! The supervisor is the only writer. Any process may read at any time. `begin` is written before the
//! command is sent. Output is written before a client sees it. `end` is written after the output is on disk. Space
//! for the records of all running commands is reserved, so that a full disk cuts output and
//! nothing else.
//!
//! A reader skips a damaged part: it returns every command before and after it, and reports the damaged ones
//! as unknown. Nothing is cut off: the damaged file is copied before a writer continues.

mod command_record;
mod files;
mod output;
mod reading;
#[cfg(test)]
mod tests;

pub use command_record::{CommandRecord, Contents, EndRecord, StartRecord, Status, StreamEnd};
pub use files::{LOG, Stream, kept, output_length, path as output_path};
pub use output::OutputLog;
pub use reading::{read, read_output, read_tail};

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pyro_hostfs::log::{AppendLog, Gap};
use pyro_hostfs::{directory, log, write};

use crate::clock::now;
use crate::error::{Error, JournalProblem, host};
use command_record::Event;
use files::{OUTPUT, unreadable};

/// Maximum size of an `ended` record in bytes.
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
pub struct Started {
    /// Its number.
    pub sequence: u64,
    /// Takes its standard output.
    pub stdout: OutputLog,
    /// Takes its standard error.
    pub stderr: OutputLog,
}

impl Journal {
    /// Makes the journal of a new directory. Each stream of a command keeps up to `cap` bytes.
    pub fn create(directory: &Path, cap: u64) -> Result<Self, Error> {
        directory::private(&directory.join(OUTPUT)).map_err(host("make the journal's directory"))?;
        let log = AppendLog::create(&directory.join(LOG)).map_err(host("make the journal"))?;
        Ok(Self { log, directory: directory.to_owned(), next: 1, running: 0, cap })
    }

    /// Continues the journal of a directory whose writer died. Running commands become lost. Also returns every
    /// command in it, too.
    pub fn adopt(directory: &Path, cap: u64) -> Result<(Self, Vec<CommandRecord>), Error> {
        let path = directory.join(LOG);
        let outputs = files::output_numbers(directory)?;
        let before = log::read(&path).map_err(|source| unreadable(&path, source))?;
        // A journal that cannot be parsed is left unchanged.
        let broken = |source| JournalProblem::Record { path: path.clone(), source };
        let mut contents = Contents::assemble(&before, &outputs).map_err(broken)?;
        keep_aside(directory, &contents.gaps).map_err(host("keep the damaged journal aside"))?;
        let (log, _) = AppendLog::open(&path).map_err(|source| unreadable(&path, source))?;
        let lost = contents.end_lost(now(), |_| false, |sequence| kept(directory, sequence))?;
        let mut journal = Self { log, directory: directory.to_owned(), next: contents.highest + 1, running: 0, cap };
        for entry in contents.entries.iter().filter(|entry| lost.contains(&entry.began.sequence)) {
            journal.running += 1;
            let end = entry.end.as_ref().expect("it was just said to be lost");
            journal.end(entry.began.sequence, end)?;
        }
        Ok((journal, contents.entries))
    }

    /// Writes down that a command is about to be sent.
    ///
    /// # Errors
    /// When the record cannot be written. The command must not be sent then.
    pub fn begin(&mut self, mut began: StartRecord) -> Result<Started, Error> {
        let sequence = self.next;
        began.sequence = sequence;
        let record = Event::Began(began).bytes();
        self.log
            .reserve(record.len() as u64 + (self.running + 2) * ENDED_BYTES)
            .map_err(host("set room aside in the journal"))?;
        let file = |stream| {
            OutputLog::create(&files::path(&self.directory, sequence, stream), self.cap)
                .map_err(host("make a file for the command's output"))
        };
        let begun = file(Stream::Stdout)
            .and_then(|stdout| Ok((stdout, file(Stream::Stderr)?)))
            .and_then(|files| self.log.append(&record).map(|()| files).map_err(host("write the journal")));
        match begun {
            Ok((stdout, stderr)) => {
                self.next += 1;
                self.running += 1;
                Ok(Started { sequence, stdout, stderr })
            }
            Err(error) => {
                self.take_back(sequence);
                Err(error)
            }
        }
    }

    /// Removes the empty files of a command that could not be written down. A number whose files stay is not
    /// used again.
    fn take_back(&mut self, sequence: u64) {
        let is_gone = |stream| match fs::remove_file(files::path(&self.directory, sequence, stream)) {
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            Ok(()) => true,
        };
        if ![Stream::Stdout, Stream::Stderr].map(is_gone).iter().all(|gone| *gone) {
            self.next += 1;
        }
    }

    /// Records the outcome of a command. Its output is already on disk.
    pub fn end(&mut self, sequence: u64, end: &EndRecord) -> Result<(), Error> {
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
    if !directory.join(LOG).try_exists().map_err(host("look for the journal"))? {
        return Ok(()); // it died before it had one
    }
    let (journal, _) = Journal::adopt(directory, 0)?;
    journal.handle()?.sync_data().map_err(host("flush the journal"))
}

/// Copies a damaged journal before the next write to it, once for each kind of damage.
fn keep_aside(directory: &Path, gaps: &[Gap]) -> std::io::Result<()> {
    let aside = aside(directory, gaps);
    if gaps.is_empty() || aside.try_exists()? {
        return Ok(());
    }
    write::atomically(&aside, &fs::read(directory.join(LOG))?)
}

/// Whether a journal with this damage was copied before.
pub fn is_kept_aside(directory: &Path, gaps: &[Gap]) -> Result<bool, Error> {
    aside(directory, gaps).try_exists().map_err(host("look for the damaged journal's copy"))
}

/// Where the copy is. Damage at the same places has the same name.
fn aside(directory: &Path, gaps: &[Gap]) -> PathBuf {
    let places: String = gaps.iter().map(|gap| format!("{}+{} ", gap.offset, gap.bytes)).collect();
    directory.join(format!("journal.damaged-{:08x}.log", crc32fast::hash(places.as_bytes())))
}
