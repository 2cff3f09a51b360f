//! Reading a journal that somebody may be writing to.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::entry::{Entry, assemble};
use super::{LOG, OUTPUT, records};
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

/// Every command, in order of start.
pub fn entries(directory: &Path) -> Result<Vec<Entry>, Error> {
    let broken = |source| JournalProblem::Record { path: directory.join(LOG), source };
    Ok(assemble(&records(directory)?).map_err(broken)?)
}

/// One command; `None` where there is no such number.
pub fn entry(directory: &Path, sequence: u64) -> Result<Option<Entry>, Error> {
    Ok(entries(directory)?.into_iter().find(|entry| entry.began.sequence == sequence))
}

/// Bytes of a stream that are in the journal now.
pub fn output_length(directory: &Path, sequence: u64, stream: Stream) -> u64 {
    fs::metadata(path(directory, sequence, stream)).map_or(0, |metadata| metadata.len())
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
    let length = output_length(directory, sequence, stream);
    read_output(directory, sequence, stream, length.saturating_sub(most as u64), most)
}
