//! Reading a journal that somebody may be writing to.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::entry::Contents;
use super::{LOG, OUTPUT, log_contents};
use crate::Error;
use crate::error::{JournalProblem, host};

/// One of a command's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The word every face uses.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The file of a stream.
pub fn path(directory: &Path, sequence: u64, stream: Stream) -> PathBuf {
    directory.join(OUTPUT).join(format!("{sequence:06}.{}", stream.word()))
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

/// Every command, in order of start, and what of the journal is damaged.
pub fn read(directory: &Path) -> Result<Contents, Error> {
    let log = log_contents(directory)?;
    // The names of output files only matter where something is missing.
    if log.gaps.is_empty()
        && let Ok(contents) = Contents::assemble(&log, &BTreeSet::new())
    {
        return Ok(contents);
    }
    // Those first: a file of output is made before its command is written down.
    let outputs = output_numbers(directory)?;
    let broken = |source| JournalProblem::Record { path: directory.join(LOG), source };
    Ok(Contents::assemble(&log_contents(directory)?, &outputs).map_err(broken)?)
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

/// Up to `most` bytes of a stream from `offset` on.
pub fn read_output(
    directory: &Path,
    sequence: u64,
    stream: Stream,
    offset: u64,
    most: usize,
) -> Result<Vec<u8>, Error> {
    let read = || {
        let file = File::open(path(directory, sequence, stream))?;
        let left = file.metadata()?.len().saturating_sub(offset);
        let mut bytes = vec![0; most.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let mut read = 0;
        while read < bytes.len() {
            match file.read_at(&mut bytes[read..], offset + read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    };
    read().map_err(host("read the journal's output"))
}

/// The last `most` bytes of a stream.
pub fn read_tail(directory: &Path, sequence: u64, stream: Stream, most: usize) -> Result<Vec<u8>, Error> {
    let length = output_length(directory, sequence, stream)?;
    read_output(directory, sequence, stream, length.saturating_sub(most as u64), most)
}
