//! Where a sparse file has data.

use std::fs::File;

use rustix::fs::{SeekFrom, Stat, seek};
use rustix::io::Errno;

use crate::archive::header::BLOCK;
use crate::archive::member::Segment;
use crate::archive::sparse::MOST_SEGMENTS;

/// The pieces that are not holes, on whole blocks. `None`: the file has no holes, or the file system does not tell, or
/// there are too many; the file is then sent with its zeros.
pub(super) fn map(file: &File, stat: &Stat) -> Option<Vec<Segment>> {
    let size = u64::try_from(stat.st_size).ok()?;
    let stored = u64::try_from(stat.st_blocks).ok()? * 512;
    if stored >= size {
        return None;
    }
    let mut segments: Vec<Segment> = Vec::new();
    let mut at = 0;
    while at < size && segments.len() < MOST_SEGMENTS {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) if start < size => start,
            Ok(_) | Err(Errno::NXIO) => return holes(segments, size),
            Err(_) => return None,
        };
        let end = seek(file, SeekFrom::Hole(start)).ok()?.min(size);
        if end <= start {
            return None;
        }
        push(&mut segments, start, end, size);
        at = end;
    }
    if at >= size { holes(segments, size) } else { None }
}

fn push(segments: &mut Vec<Segment>, start: u64, end: u64, size: u64) {
    let block = BLOCK as u64;
    let (start, end) = (start - start % block, end.next_multiple_of(block).min(size));
    match segments.last_mut() {
        Some(last) if last.offset + last.length >= start => last.length = end - last.offset,
        _ => segments.push(Segment { offset: start, length: end - start }),
    }
}

fn holes(segments: Vec<Segment>, size: u64) -> Option<Vec<Segment>> {
    let whole = [Segment { offset: 0, length: size }];
    if segments == whole { None } else { Some(segments) }
}
