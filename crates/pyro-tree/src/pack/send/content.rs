//! The bytes of one file, exactly as many as its header says.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use crate::archive::member::{Member, Segment};
use crate::archive::write::Writer;
use crate::digest::Hasher;
use crate::notice::Problem;
use crate::pack::meter::Meter;

const BUFFER: usize = 256 * 1024;

/// A buffer that is used for one file after the other.
pub(super) struct Content {
    buffer: Vec<u8>,
}

/// What was sent.
pub(super) struct Sent {
    pub digest: String,
    /// Why it is not the file's content.
    pub problem: Option<Problem>,
}

impl Default for Content {
    fn default() -> Self {
        Self { buffer: vec![0; BUFFER] }
    }
}

impl Content {
    pub fn send<W: Write>(
        &mut self,
        member: &Member,
        file: &File,
        writer: &mut Writer<W>,
        meter: &mut Meter<'_>,
    ) -> io::Result<Sent> {
        let whole = [Segment { offset: 0, length: member.size }];
        let (mut hasher, mut at, mut problem) = (Hasher::default(), 0, None);
        for segment in member.segments.as_deref().unwrap_or(&whole) {
            hasher.zeros(segment.offset - at);
            at = segment.offset;
            let end = segment.offset + segment.length;
            while at < end {
                let length = (end - at).min(BUFFER as u64) as usize;
                let piece = &mut self.buffer[..length];
                fill(file, piece, at, &mut problem);
                hasher.bytes(piece);
                writer.data(piece)?;
                meter.bytes(length as u64);
                at += length as u64;
            }
        }
        hasher.zeros(member.size - at);
        Ok(Sent { digest: hasher.hex(), problem })
    }
}

/// Fills the piece with the file's bytes, and with zeros from the first problem on.
fn fill(file: &File, piece: &mut [u8], at: u64, problem: &mut Option<Problem>) {
    let mut filled = 0;
    while filled < piece.len() && problem.is_none() {
        match file.read_at(&mut piece[filled..], at + filled as u64) {
            Ok(0) => *problem = Some(Problem::Shrank),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => *problem = Some(Problem::ReadFailed(error.to_string())),
        }
    }
    piece[filled..].fill(0);
}
