//! The members of an archive, one after the other, from bytes that nobody vouches for.
//!
//! ```text
//! next ─▶ Member ─▶ chunk, chunk, … None ─▶ next ─▶ … ─▶ None (the end was there, and nothing but zeros behind it)
//! ```
//!
//! Content that is not taken is read and forgotten by `next`. After an error nothing more is to be had. Memory is
//! bounded by an extended header (1 MiB), a map of a sparse file (4 MiB) and one buffer.

use std::io::{self, BufReader, Read};

use super::header::{self, BLOCK, Block, Header};
use super::member::{Member, Segment, Type, nanoseconds};
use super::pax::{self, Pax};
use super::sparse::{self, Map};
use crate::name;
use crate::reason::{Reason, Refusal, StreamError};

const BUFFER: usize = 256 * 1024;
/// Headers that may stand before one member.
const MOST_EXTENSIONS: usize = 8;
/// What may follow the end: the rest of a record of tar's.
const LONGEST_TAIL: u64 = 1 << 20;
const MODES: u32 = 0o7777;
/// Type bits of a mode, which some programs write.
const TYPES: u32 = 0o170_000;

/// A piece of a file.
#[derive(Debug, PartialEq)]
pub(crate) enum Chunk<'a> {
    Data(&'a [u8]),
    Hole(u64),
}

pub(crate) struct Members<R: Read> {
    input: BufReader<R>,
    buffer: Vec<u8>,
    content: Content,
    /// The name of the member that is read, for refusals.
    name: Vec<u8>,
    /// Bytes that extended headers and maps may still have.
    budget: u64,
}

/// Where the reader is in a file.
#[derive(Debug, Default)]
struct Content {
    at: u64,
    size: u64,
    segments: std::collections::VecDeque<Segment>,
    padding: u64,
}

/// What stood before a member.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    count: usize,
}

impl<R: Read> Members<R> {
    /// `budget`: bytes that all extended headers and maps together may have.
    pub fn new(input: R, budget: u64) -> Self {
        let input = BufReader::with_capacity(BUFFER, input);
        Self { input, buffer: vec![0; BUFFER], content: Content::default(), name: Vec::new(), budget }
    }

    /// The next member; `None` when the archive has ended as it should.
    pub fn next(&mut self) -> Result<Option<Member>, StreamError> {
        while self.chunk()?.is_some() {}
        self.name.clear();
        let mut before = Extensions::default();
        loop {
            let block = self.block()?;
            if block == [0; BLOCK] {
                return self.end(&before).map(|()| None);
            }
            let header = header::decode(&block).map_err(|reason| self.refusal(reason))?;
            if !self.extension(&header, &mut before)? {
                return self.member(&block, header, before).map(Some);
            }
            before.count += 1;
            if before.count > MOST_EXTENSIONS {
                return Err(self.refusal(Reason::ExtendedHeader));
            }
        }
    }

    /// The next piece of the member's content.
    pub fn chunk(&mut self) -> Result<Option<Chunk<'_>>, StreamError> {
        let content = &mut self.content;
        let next = content.segments.front().map_or(content.size, |segment| segment.offset);
        if content.at < next {
            let hole = next - content.at;
            content.at = next;
            return Ok(Some(Chunk::Hole(hole)));
        }
        let Some(segment) = content.segments.front_mut() else {
            let padding = std::mem::take(&mut content.padding) as usize;
            self.exactly(padding)?;
            return Ok(None);
        };
        let length = segment.length.min(BUFFER as u64);
        segment.offset += length;
        segment.length -= length;
        content.at += length;
        if segment.length == 0 {
            content.segments.pop_front();
        }
        self.exactly(length as usize)?;
        Ok(Some(Chunk::Data(&self.buffer[..length as usize])))
    }

    /// Takes a header that is about the next member. `false`: it is the member.
    fn extension(&mut self, header: &Header, before: &mut Extensions) -> Result<bool, StreamError> {
        let slot = match header.kind {
            b'x' => {
                let content = self.extended(header.size, pax::LONGEST, Reason::PaxTooLong)?;
                let pax = pax::decode(&content).map_err(|reason| self.refusal(reason))?;
                if before.pax.replace(pax).is_some() {
                    return Err(self.refusal(Reason::ExtendedHeader));
                }
                return Ok(true);
            }
            b'g' => return self.global(header).map(|()| true),
            b'L' => &mut before.name,
            b'K' => &mut before.target,
            _ => return Ok(false),
        };
        let mut name = self.extended(header.size, 2 * name::LONGEST as u64, Reason::NameTooLong)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        let reason = match () {
            () if name.contains(&0) => Reason::NameNul,
            () if slot.is_some() => Reason::NameTwice,
            () => {
                *slot = Some(name);
                return Ok(true);
            }
        };
        Err(self.refusal(reason))
    }

    fn global(&mut self, header: &Header) -> Result<(), StreamError> {
        let content = self.extended(header.size, pax::LONGEST, Reason::PaxTooLong)?;
        match pax::is_harmless_for_all(&content) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.refusal(Reason::PaxGlobal)),
            Err(reason) => Err(self.refusal(reason)),
        }
    }

    fn extended(&mut self, size: u64, longest: u64, reason: Reason) -> Result<Vec<u8>, StreamError> {
        if size > longest {
            return Err(self.refusal(reason));
        }
        self.spend(size)?;
        let mut content = vec![0; size as usize];
        self.input.read_exact(&mut content).map_err(|error| self.failure(error))?;
        self.exactly(padding(size) as usize)?;
        Ok(content)
    }

    fn member(&mut self, block: &Block, header: Header, before: Extensions) -> Result<Member, StreamError> {
        let Extensions { pax, name: long_name, target: long_target, .. } = before;
        let pax = pax.unwrap_or_default();
        let named = [&long_name, &pax.path].into_iter().flatten().count();
        let sparse_name = pax.sparse.as_ref().and_then(|sparse| sparse.name.clone());
        let raw = sparse_name.or(pax.path.clone()).or(long_name).unwrap_or(header.name.clone());
        self.name.clone_from(&raw);
        if named > 1 || (long_target.is_some() && pax.target.is_some()) {
            return Err(self.refusal(Reason::NameTwice));
        }
        let target = pax.target.clone().or(long_target).unwrap_or(header.target.clone());
        let kind = kind(header.kind).map_err(|reason| self.refusal(reason))?;
        let facts = facts(&header, &pax, kind, &raw).map_err(|reason| self.refusal(reason))?;
        let mut member = Member { target, had_attributes: pax.had_attributes, kind, ..facts };
        let stored = member.size;
        if header.kind == b'S' {
            self.old_sparse(block, &mut member)?;
        } else if let Some(form) = &pax.sparse {
            self.new_sparse(form, &mut member)?;
        }
        if kind == Type::File {
            self.begin(&member, padding(stored));
        }
        Ok(member)
    }

    fn begin(&mut self, member: &Member, padding: u64) {
        let whole = || Some(Segment { offset: 0, length: member.size }).filter(|whole| whole.length > 0);
        let segments = match &member.segments {
            Some(segments) => segments.iter().copied().collect(),
            None => whole().into_iter().collect(),
        };
        self.content = Content { at: 0, size: member.size, segments, padding };
    }

    fn old_sparse(&mut self, block: &Block, member: &mut Member) -> Result<(), StreamError> {
        let mut map = Map::default();
        let (mut more, size) = sparse::old_head(block, &mut map).map_err(|reason| self.refusal(reason))?;
        while more {
            self.spend(BLOCK as u64)?;
            let block = self.block()?;
            more = sparse::old_more(&block, &mut map).map_err(|reason| self.refusal(reason))?;
        }
        self.mapped(member, map, size, member.size)
    }

    fn new_sparse(&mut self, form: &pax::Sparse, member: &mut Member) -> Result<(), StreamError> {
        let (Some(1), Some(0), Some(size), Type::File) = (form.major, form.minor, form.real_size, member.kind) else {
            return Err(self.refusal(Reason::SparseForm));
        };
        let (mut lines, mut left) = (sparse::Lines::default(), member.size);
        loop {
            left = left.checked_sub(BLOCK as u64).ok_or_else(|| self.refusal(Reason::SparseMap))?;
            self.spend(BLOCK as u64)?;
            let block = self.block()?;
            if lines.take(&block).map_err(|reason| self.refusal(reason))? {
                return self.mapped(member, lines.map, size, left);
            }
        }
    }

    fn mapped(&mut self, member: &mut Member, map: Map, size: u64, stored: u64) -> Result<(), StreamError> {
        member.segments = Some(map.of(size, stored).map_err(|reason| self.refusal(reason))?);
        member.size = size;
        Ok(())
    }

    /// A block of zeros was read: one more, and then nothing else.
    fn end(&mut self, before: &Extensions) -> Result<(), StreamError> {
        if before.count > 0 {
            return Err(self.refusal(Reason::ExtendedHeader));
        }
        if self.block()? != [0; BLOCK] {
            return Err(self.refusal(Reason::TrailingGarbage));
        }
        let mut tail = 0;
        loop {
            let read = match self.input.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failure(error)),
                Ok(0) => return Ok(()),
                Ok(read) => read,
            };
            tail += read as u64;
            if tail > LONGEST_TAIL || self.buffer[..read].iter().any(|byte| *byte != 0) {
                return Err(self.refusal(Reason::TrailingGarbage));
            }
        }
    }

    fn spend(&mut self, bytes: u64) -> Result<(), StreamError> {
        self.budget = self.budget.checked_sub(bytes).ok_or_else(|| self.refusal(Reason::NamesTooLong))?;
        Ok(())
    }

    fn block(&mut self) -> Result<Block, StreamError> {
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block).map_err(|error| self.failure(error))?;
        Ok(block)
    }

    fn exactly(&mut self, length: usize) -> Result<(), StreamError> {
        self.input.read_exact(&mut self.buffer[..length]).map_err(|error| self.failure(error))
    }

    fn failure(&self, error: io::Error) -> StreamError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.refusal(Reason::Truncated),
            _ => StreamError::Read(error),
        }
    }

    fn refusal(&self, reason: Reason) -> StreamError {
        Refusal { name: self.name.clone(), reason }.into()
    }
}

fn kind(flag: u8) -> Result<Type, Reason> {
    match flag {
        b'0' | 0 | b'S' => Ok(Type::File),
        b'1' => Ok(Type::HardLink),
        b'2' => Ok(Type::Symlink),
        b'3' | b'4' => Err(Reason::Device),
        b'5' => Ok(Type::Directory),
        b'6' => Err(Reason::Fifo),
        _ => Err(Reason::TypeUnknown),
    }
}

/// What header and extended header say together.
fn facts(header: &Header, pax: &Pax, kind: Type, raw: &[u8]) -> Result<Member, Reason> {
    let path = name::clean(raw)?;
    if kind != Type::Directory && raw.ends_with(b"/") {
        return Err(Reason::NameTrailingSlash);
    }
    if kind != Type::Directory && path.is_empty() {
        return Err(Reason::NameEmpty);
    }
    let size = match pax.size {
        Some(size) if header.size != 0 && header.size != size => return Err(Reason::SizeConflict),
        Some(size) => size,
        None => header.size,
    };
    if kind != Type::File && size != 0 {
        return Err(Reason::SizeOfNonFile);
    }
    if i64::try_from(size).is_err() {
        return Err(Reason::Size);
    }
    if header.mode & !(MODES | TYPES) != 0 {
        return Err(Reason::Mode);
    }
    let mtime_ns = match pax.mtime_ns {
        Some(mtime_ns) => mtime_ns,
        None => nanoseconds(header.mtime, 0).ok_or(Reason::Time)?,
    };
    let (target, segments, had_attributes) = (Vec::new(), None, false);
    Ok(Member { path, kind, target, mode: header.mode & MODES, mtime_ns, size, segments, had_attributes })
}

/// Bytes up to the next whole block.
pub(crate) fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}
