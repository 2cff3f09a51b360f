//! Reading a journal that another process may be writing to.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::command_record::Contents;
use super::files::{LOG, Stream, log_contents, output_length, output_numbers, path};
use crate::error::{Error, JournalProblem, host};

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

/// Up to `most` bytes of a stream from `offset` on.
pub fn read_output(directory: &Path, sequence: u64, stream: Stream, offset: u64, max: usize) -> Result<Vec<u8>, Error> {
    let read = || {
        let file = File::open(path(directory, sequence, stream))?;
        let left = file.metadata()?.len().saturating_sub(offset);
        let mut bytes = vec![0; max.min(usize::try_from(left).unwrap_or(usize::MAX))];
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
pub fn read_tail(directory: &Path, sequence: u64, stream: Stream, max: usize) -> Result<Vec<u8>, Error> {
    let length = output_length(directory, sequence, stream)?;
    read_output(directory, sequence, stream, length.saturating_sub(max as u64), max)
}
