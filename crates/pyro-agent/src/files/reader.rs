//! The members of a tar archive, one after the other.
//!
//! The tar library reads the fields of a header. It does not read this: values of pax headers that
//! have a newline in them, where a sparse file has its data, and an archive that was cut off.
//!
//! Errors are `UnexpectedEof` for an archive that ends before its end mark, `InvalidData` for one
//! that makes no sense, and what the source says.

use std::io::{self, Error, ErrorKind, Read};

use tar::{EntryType, GnuExtSparseHeader, Header};

use super::archive::{Attribute, BLOCK};
use super::sparse::Extent;
use super::stamp::Stamp;

/// The longest pax header or name, in bytes.
const MOST: u64 = 1 << 20;

pub struct Reader<R> {
    source: R,
    /// Bytes of the content that were not read, and of what fills its last block.
    left: u64,
    filling: u64,
}

/// What an archive says of a file.
pub struct Member {
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub kind: EntryType,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Stamp,
    pub attributes: Vec<Attribute>,
    /// The length of the file.
    pub size: u64,
    /// Where the content goes.
    pub extents: Vec<Extent>,
    /// It is sparse in a way that is not known here.
    pub is_strange: bool,
}

/// What other members say of the next one.
#[derive(Default)]
struct Before {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub fn new(source: R) -> Self {
        Self { source, left: 0, filling: 0 }
    }

    /// The next member; none at the end mark.
    pub fn next(&mut self) -> io::Result<Option<Member>> {
        let mut before = Before::default();
        loop {
            self.skip()?;
            let mut header = Header::new_old();
            self.fill(header.as_mut_bytes())?;
            if header.as_bytes().iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            check(&header)?;
            match header.entry_type() {
                EntryType::XHeader => before.records = self.text(&header)?,
                EntryType::GNULongName => before.name = Some(self.name(&header)?),
                EntryType::GNULongLink => before.link = Some(self.name(&header)?),
                EntryType::XGlobalHeader => self.content(header.entry_size()?),
                _ => return self.member(&header, before).map(Some),
            }
        }
    }

    fn member(&mut self, header: &Header, before: Before) -> io::Result<Member> {
        let kind = header.entry_type();
        let mut member = Member {
            name: before.name.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: before.link.or_else(|| header.link_name_bytes().map(Into::into)).unwrap_or_default(),
            kind,
            mode: header.mode()? & 0o7777,
            uid: header.uid()? as u32,
            gid: header.gid()? as u32,
            mtime: Stamp { seconds: header.mtime()? as i64, nanoseconds: 0 },
            attributes: Vec::new(),
            size: header.entry_size()?,
            extents: Vec::new(),
            is_strange: false,
        };
        let mut rest = before.records.as_slice();
        while !rest.is_empty() {
            let (key, value, more) = record(rest).ok_or_else(|| nonsense("a pax header"))?;
            member.take(key, value).ok_or_else(|| nonsense("a value in a pax header"))?;
            rest = more;
        }
        let has_no_content = kind.is_dir() || kind.is_symlink() || kind.is_hard_link();
        let stored = if has_no_content || is_device(kind) { 0 } else { member.size };
        member.extents = vec![Extent { offset: 0, length: stored }];
        if kind.is_gnu_sparse() {
            (member.size, member.extents) = self.sparse(header, stored)?;
        }
        self.content(stored);
        Ok(member)
    }

    /// The size and the extents of a sparse file, some of which are in blocks behind the header.
    fn sparse(&mut self, header: &Header, stored: u64) -> io::Result<(u64, Vec<Extent>)> {
        let gnu = header.as_gnu().ok_or_else(|| nonsense("a sparse file"))?;
        let size = gnu.real_size()?;
        let mut slots: Vec<(u64, u64)> = Vec::new();
        let here = gnu.sparse.iter().filter(|slot| !slot.is_empty());
        here.map(|slot| Ok((slot.offset()?, slot.length()?)))
            .try_for_each(|slot: io::Result<_>| slot.map(|it| slots.push(it)))?;
        let mut has_more = gnu.is_extended();
        while has_more {
            let mut block = GnuExtSparseHeader::new();
            self.fill(block.as_mut_bytes())?;
            for slot in block.sparse().iter().filter(|slot| !slot.is_empty()) {
                slots.push((slot.offset()?, slot.length()?));
            }
            has_more = block.is_extended();
        }
        let (mut end, mut sum) = (0, 0_u64);
        for (offset, length) in &slots {
            let next = offset.checked_add(*length).filter(|next| *offset >= end && *next <= size);
            end = next.ok_or_else(|| nonsense("a sparse file"))?;
            sum += length;
        }
        if sum != stored {
            return Err(nonsense("a sparse file"));
        }
        Ok((size, slots.into_iter().map(|(offset, length)| Extent { offset, length }).collect()))
    }

    /// From here on there is so much content.
    fn content(&mut self, length: u64) {
        self.left = length;
        self.filling = (BLOCK - length % BLOCK) % BLOCK;
    }

    /// The whole content as a text.
    fn text(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let length = header.entry_size()?;
        if length > MOST {
            return Err(nonsense("a pax header or a name of absurd length"));
        }
        self.content(length);
        let mut text = vec![0; length as usize];
        self.fill(&mut text)?;
        self.left = 0;
        Ok(text)
    }

    fn name(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let mut name = self.text(header)?;
        name.pop_if(|last| *last == 0);
        Ok(name)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.source.read_exact(buffer).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => cut_off(),
            _ => error,
        })
    }

    fn skip(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.left).saturating_add(std::mem::take(&mut self.filling));
        let skipped = io::copy(&mut (&mut self.source).take(bytes), &mut io::sink())?;
        if skipped < bytes { Err(cut_off()) } else { Ok(()) }
    }
}

/// The content of the member.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.left.min(buffer.len() as u64) as usize;
        if most == 0 {
            return Ok(0);
        }
        let read = self.source.read(&mut buffer[..most])?;
        self.left -= read as u64;
        if read == 0 { Err(cut_off()) } else { Ok(read) }
    }
}

impl Member {
    /// A record of a pax header; none if it makes no sense.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let number = || std::str::from_utf8(value).ok()?.parse::<u64>().ok();
        match key {
            b"path" => self.name = value.to_vec(),
            b"linkpath" => self.link = value.to_vec(),
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()? as u32,
            b"gid" => self.gid = number()? as u32,
            b"mtime" => self.mtime = Stamp::from_decimal(value)?,
            b"GNU.sparse.major" | b"GNU.sparse.map" | b"GNU.sparse.size" => self.is_strange = true,
            _ => self.attributes.extend(Attribute::from_record(key, value)),
        }
        Some(())
    }
}

/// The first record, as key and value, and the rest: `LENGTH KEY=VALUE\n`.
fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

fn check(header: &Header) -> io::Result<()> {
    let bytes = header.as_bytes();
    let sum = bytes[..148].iter().chain(&bytes[156..]).map(|byte| u32::from(*byte)).sum::<u32>();
    // Its own field counts as eight spaces.
    let is_right = header.cksum().is_ok_and(|checksum| checksum == sum + 8 * u32::from(b' '));
    if is_right { Ok(()) } else { Err(nonsense("a header's checksum")) }
}

pub fn is_device(kind: EntryType) -> bool {
    kind.is_block_special() || kind.is_character_special() || kind.is_fifo()
}

fn nonsense(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{what} in the archive makes no sense"))
}

fn cut_off() -> Error {
    Error::new(ErrorKind::UnexpectedEof, "the input ended before the archive's end mark")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_may_have_anything_in_their_values() {
        let (key, value, rest) = record(b"13 key=a\n=\0b\n9 k=more\n").unwrap();
        assert_eq!((key, value, rest), (&b"key"[..], &b"a\n=\0b"[..], &b"9 k=more\n"[..]));
        for broken in [&b"9 k=mor\n"[..], b"x k=v\n", b"0 k=v\n", b"1 k=v\n", b"99999999999999999999 k=v\n", b"5 kv\n"]
        {
            assert_eq!(record(broken), None, "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_members_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 512..2048), kind: u8) {
            // A right checksum lets it get further.
            let mut header = Header::new_gnu();
            header.as_mut_bytes()[124..148].copy_from_slice(&bytes[124..148]);
            header.as_mut_bytes()[386..].copy_from_slice(&bytes[386..512]);
            header.set_entry_type(EntryType::new(kind));
            header.set_cksum();
            bytes[..512].copy_from_slice(header.as_bytes());
            let mut reader = Reader::new(bytes.as_slice());
            while let Ok(Some(member)) = reader.next() {
                let stored: u64 = member.extents.iter().map(|extent| extent.length).sum();
                prop_assert_eq!(stored, reader.left);
            }
        }
    }
}
