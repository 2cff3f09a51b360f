//! The files of a journal: their paths and their raw contents.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pyro_hostfs::log::{self, Contents as LogContents, LogError};

use crate::error::{Error, JournalProblem, host};

/// The log of started and ended commands.
pub const LOG: &str = "journal.log";
pub const OUTPUT: &str = "output";

/// One of a command's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The word every front end uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The file of a stream.
pub fn path(directory: &Path, sequence: u64, stream: Stream) -> PathBuf {
    directory.join(OUTPUT).join(format!("{sequence:06}.{}", stream.as_str()))
}

/// The numbers for which there are files of output.
pub fn output_numbers(directory: &Path) -> Result<BTreeSet<u64>, Error> {
    let names = match fs::read_dir(directory.join(OUTPUT)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        names => names.map_err(host("read the journal's directory"))?,
    };
    let mut numbers = BTreeSet::new();
    for name in names {
        let name = name.map_err(host("read the journal's directory"))?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.split_once('.')?.0.parse::<u64>().ok()));
    }
    // No file of a journal has such a number, and one more must be possible.
    numbers.remove(&u64::MAX);
    Ok(numbers)
}

/// Bytes of a stream that are in the journal now.
pub fn output_length(directory: &Path, sequence: u64, stream: Stream) -> Result<u64, Error> {
    match fs::metadata(path(directory, sequence, stream)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        metadata => Ok(metadata.map_err(host("read the journal's output"))?.len()),
    }
}

/// The same of both streams.
pub fn kept(directory: &Path, sequence: u64) -> Result<(u64, u64), Error> {
    let length = |stream| output_length(directory, sequence, stream);
    Ok((length(Stream::Stdout)?, length(Stream::Stderr)?))
}

pub fn unreadable(path: &Path, source: LogError) -> Error {
    JournalProblem::Log { path: path.to_owned(), source }.into()
}

/// What the log of a directory's journal holds.
pub fn log_contents(directory: &Path) -> Result<LogContents, Error> {
    let path = directory.join(LOG);
    match log::read(&path) {
        Err(LogError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(LogContents::default()),
        read => read.map_err(|source| unreadable(&path, source)),
    }
}
