//! Members written as a tar stream that GNU tar, bsdtar, Python and the `tar` crate read.
//!
//! GNU headers; long names as GNU's long names; a time with nanoseconds as an extended header; sparse files in GNU's
//! old form. Owner is 0:0. `begin` a member, give exactly its stored bytes to `data`, `end` it; then `finish`.

use std::io::{self, Write};

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::header::BLOCK;
use super::member::{Member, Segment, Type, seconds};
use super::pax;
use super::read::padding;
use super::sparse::{OLD_IN_BLOCK, OLD_IN_HEAD};

/// Bytes of a name in a header.
const NAME: usize = 100;
/// What fits into the time of a header.
const TIMES: std::ops::Range<i64> = 0..1 << 33;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

pub(crate) struct Writer<W: Write> {
    output: W,
    stored: u64,
}

impl<W: Write> Writer<W> {
    pub fn new(output: W) -> Self {
        Self { output, stored: 0 }
    }

    pub fn begin(&mut self, member: &Member) -> io::Result<()> {
        let mut name = member.path.clone();
        if name.is_empty() {
            name.push(b'.');
        }
        if member.kind == Type::Directory {
            name.push(b'/');
        }
        self.time(member.mtime_ns)?;
        self.long(&member.target, EntryType::GNULongLink)?;
        self.long(&name, EntryType::GNULongName)?;
        let mut header = blank(kind(member), member.stored());
        put(&mut header, 0, &name);
        put(&mut header, 157, &member.target);
        header.set_mode(member.mode);
        header.set_mtime(u64::try_from(seconds(member.mtime_ns).0).ok().filter(|time| *time < 1 << 33).unwrap_or(0));
        let map = member.segments.as_ref().map(|segments| with_end(segments, member.size)).unwrap_or_default();
        self.head(&mut header, &map, member)?;
        self.stored = member.stored();
        Ok(())
    }

    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    pub fn end(&mut self) -> io::Result<()> {
        let padding = padding(std::mem::take(&mut self.stored)) as usize;
        self.output.write_all(&ZEROS[..padding])
    }

    /// The end of the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn time(&mut self, mtime_ns: i64) -> io::Result<()> {
        let (whole, above) = seconds(mtime_ns);
        if above == 0 && TIMES.contains(&whole) {
            return Ok(());
        }
        let record = pax::record("mtime", pax::time_value(mtime_ns).as_bytes());
        self.extension(EntryType::XHeader, b"PaxHeader", &record)
    }

    fn long(&mut self, name: &[u8], kind: EntryType) -> io::Result<()> {
        if name.len() <= NAME {
            return Ok(());
        }
        self.extension(kind, b"././@LongLink", &[name, b"\0"].concat())
    }

    fn extension(&mut self, kind: EntryType, name: &[u8], content: &[u8]) -> io::Result<()> {
        let mut header = blank(kind, content.len() as u64);
        put(&mut header, 0, name);
        header.set_mode(0o644);
        header.set_cksum();
        self.output.write_all(header.as_bytes())?;
        self.output.write_all(content)?;
        self.output.write_all(&ZEROS[..padding(content.len() as u64) as usize])
    }

    fn head(&mut self, header: &mut Header, map: &[Segment], member: &Member) -> io::Result<()> {
        let (first, rest) = map.split_at(map.len().min(OLD_IN_HEAD));
        if let Some(gnu) = header.as_gnu_mut().filter(|_| member.segments.is_some()) {
            fill(&mut gnu.sparse, first);
            gnu.set_is_extended(!rest.is_empty());
            gnu.set_real_size(member.size);
        }
        header.set_cksum();
        self.output.write_all(header.as_bytes())?;
        let mut blocks = rest.chunks(OLD_IN_BLOCK).peekable();
        while let Some(pieces) = blocks.next() {
            let mut block = GnuExtSparseHeader::new();
            fill(block.sparse_mut(), pieces);
            block.set_is_extended(blocks.peek().is_some());
            self.output.write_all(block.as_bytes())?;
        }
        Ok(())
    }
}

fn kind(member: &Member) -> EntryType {
    match member.kind {
        Type::File if member.segments.is_some() => EntryType::GNUSparse,
        Type::File => EntryType::Regular,
        Type::Directory => EntryType::Directory,
        Type::Symlink => EntryType::Symlink,
        Type::HardLink => EntryType::Link,
    }
}

fn blank(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn put(header: &mut Header, at: usize, name: &[u8]) {
    let length = name.len().min(NAME);
    header.as_mut_bytes()[at..at + length].copy_from_slice(&name[..length]);
}

fn fill(slots: &mut [GnuSparseHeader], segments: &[Segment]) {
    for (slot, segment) in slots.iter_mut().zip(segments) {
        slot.set_offset(segment.offset);
        slot.set_length(segment.length);
    }
}

/// A hole at the end is marked by an empty piece: readers take the size from it.
fn with_end(segments: &[Segment], size: u64) -> Vec<Segment> {
    let end = segments.last().map_or(0, |last| last.offset + last.length);
    let mark = Some(Segment { offset: size, length: 0 }).filter(|_| end < size || segments.is_empty());
    segments.iter().copied().chain(mark).collect()
}
