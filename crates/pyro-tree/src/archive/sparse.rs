//! Maps of sparse files, in GNU's two forms. Pure.

use super::header::{BLOCK, Block, number};
use super::member::Segment;
use crate::reason::Reason;

/// No map is longer: it must fit in memory.
pub(crate) const MOST_SEGMENTS: usize = 1 << 18;

/// A map that grows and stays in order.
#[derive(Debug, Default)]
pub(crate) struct Map {
    pub segments: Vec<Segment>,
    end: u64,
    count: usize,
}

impl Map {
    /// # Errors
    /// The piece is not behind the last one, or there are too many.
    pub fn push(&mut self, offset: u64, length: u64) -> Result<(), Reason> {
        self.count += 1;
        if offset < self.end || self.count > MOST_SEGMENTS {
            return Err(Reason::SparseMap);
        }
        self.end = offset.checked_add(length).ok_or(Reason::SparseMap)?;
        if length > 0 {
            self.segments.push(Segment { offset, length });
        }
        Ok(())
    }

    /// The map of a file of `size` bytes of which `stored` are in the archive.
    ///
    /// # Errors
    /// It is not the map of this file.
    pub fn of(self, size: u64, stored: u64) -> Result<Vec<Segment>, Reason> {
        let sum: u64 = self.segments.iter().map(|segment| segment.length).sum();
        if self.end > size || sum != stored { Err(Reason::SparseMap) } else { Ok(self.segments) }
    }
}

/// The head of GNU's old form: the first pieces, whether more blocks follow, and the size with holes.
pub(crate) fn old_head(block: &Block, map: &mut Map) -> Result<(bool, u64), Reason> {
    pieces(&block[386..482], map)?;
    let size = number(&block[483..495]).and_then(|size| u64::try_from(size).ok()).ok_or(Reason::Size)?;
    Ok((block[482] != 0, size))
}

/// A further block of GNU's old form, and whether more follow.
pub(crate) fn old_more(block: &Block, map: &mut Map) -> Result<bool, Reason> {
    pieces(&block[..504], map)?;
    Ok(block[504] != 0)
}

fn pieces(fields: &[u8], map: &mut Map) -> Result<(), Reason> {
    for piece in fields.chunks_exact(24) {
        if piece[0] == 0 || piece[12] == 0 {
            continue;
        }
        let value = |field| number(field).and_then(|value| u64::try_from(value).ok()).ok_or(Reason::SparseMap);
        map.push(value(&piece[..12])?, value(&piece[12..])?)?;
    }
    Ok(())
}

/// GNU's form 1.0: decimal lines at the beginning of the data, filled up to whole blocks.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    expected: Option<u64>,
    offset: Option<u64>,
    pub map: Map,
}

impl Lines {
    /// Takes a block; says whether the map is whole.
    pub fn take(&mut self, block: &Block) -> Result<bool, Reason> {
        for byte in block {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() > 20 {
                    return Err(Reason::SparseMap);
                }
                continue;
            }
            let value = super::pax::decimal(&self.line).ok_or(Reason::SparseMap)?;
            self.line.clear();
            if self.value(value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn value(&mut self, value: u64) -> Result<bool, Reason> {
        match (self.expected, self.offset.take()) {
            (None, _) => self.expected = Some(value),
            (Some(_), None) if !self.is_whole() => self.offset = Some(value),
            (Some(_), None) => return Err(Reason::SparseMap),
            (Some(_), Some(offset)) => self.map.push(offset, value)?,
        }
        Ok(self.offset.is_none() && self.is_whole())
    }

    fn is_whole(&self) -> bool {
        self.expected == Some(self.map.count as u64)
    }
}

/// The blocks of GNU's old form behind the header, for the pieces that do not fit into it.
pub(crate) const OLD_IN_HEAD: usize = 4;
/// Pieces in a further block.
pub(crate) const OLD_IN_BLOCK: usize = 21;
const _: () = assert!(OLD_IN_BLOCK * 24 == 504 && BLOCK == 512);
