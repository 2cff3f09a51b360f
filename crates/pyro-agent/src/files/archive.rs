//! The headers of a tar archive: a pure function of what is known of a file.
//!
//! ustar, with a pax header in front where it cannot say everything: long names, names of links,
//! sizes, times between seconds, extended attributes. Sparse files have the old GNU header, which
//! every reader knows, also behind a pax header.

use rustix::fs::Stat;
use tar::{EntryType, GnuExtSparseHeader, Header};

use super::sparse::Extent;
use super::stamp::Stamp;

/// The end mark.
pub const END: [u8; 1024] = [0; 1024];
/// What everything in an archive is a multiple of, in bytes.
pub const BLOCK: u64 = 512;
/// The longest name in a plain header, in bytes.
const NAME: usize = 100;
/// The biggest number in the twelve bytes of a plain header.
const BIGGEST: u64 = 0o777_7777_7777;
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// What goes into the headers of one file.
pub struct Member<'a> {
    pub name: &'a [u8],
    pub kind: EntryType,
    pub stat: &'a Stat,
    pub link: &'a [u8],
    pub content: Content<'a>,
    pub attributes: &'a [Attribute],
}

/// What follows the headers.
#[derive(Clone, Copy)]
pub enum Content<'a> {
    Nothing,
    Bytes(u64),
    /// Of a sparse file of this size.
    Extents(u64, &'a [Extent]),
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

impl Attribute {
    /// From a record of a pax header.
    pub fn from_record(key: &[u8], value: &[u8]) -> Option<Self> {
        let name = key.strip_prefix(ATTRIBUTE.as_bytes())?;
        Some(Self { name: name.to_vec(), value: value.to_vec() })
    }
}

/// All of a file but its content.
pub fn headers(member: &Member<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let records = records(member);
    if !records.is_empty() {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        fill(&mut header.as_old_mut().name, &[b"PaxHeaders/", member.name].concat());
        header.set_mode(0o644);
        numbers(&mut header, 0, 0, 0);
        header.set_size(records.len() as u64);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&records);
        bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
    }
    let mut header = if let Content::Extents(..) = member.content { Header::new_gnu() } else { Header::new_ustar() };
    header.set_entry_type(member.kind);
    fill(&mut header.as_old_mut().name, member.name);
    fill(&mut header.as_old_mut().linkname, member.link);
    header.set_mode(member.stat.st_mode & 0o7777);
    numbers(&mut header, member.stat.st_uid, member.stat.st_gid, member.stat.st_mtime);
    let more = content(&mut header, member.content);
    header.set_cksum();
    bytes.extend_from_slice(header.as_bytes());
    more.iter().for_each(|more| bytes.extend_from_slice(more.as_bytes()));
    bytes
}

fn numbers(header: &mut Header, uid: u32, gid: u32, mtime: i64) {
    header.set_uid(uid.into());
    header.set_gid(gid.into());
    header.set_mtime(u64::try_from(mtime).unwrap_or_default().min(BIGGEST));
}

/// Sets what is said of the content, and returns the blocks with the rest of the extents.
fn content(header: &mut Header, content: Content<'_>) -> Vec<GnuExtSparseHeader> {
    let (real_size, extents) = match content {
        Content::Nothing => {
            header.set_size(0);
            return Vec::new();
        }
        Content::Bytes(size) => {
            header.set_size(size);
            return Vec::new();
        }
        Content::Extents(real_size, extents) => (real_size, extents),
    };
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(extents.iter().map(|extent| extent.length).sum());
    let Some(gnu) = header.as_gnu_mut() else { return Vec::new() };
    gnu.set_real_size(real_size);
    let (here, beyond) = extents.split_at(extents.len().min(gnu.sparse.len()));
    for (extent, slot) in here.iter().zip(&mut gnu.sparse) {
        slot.set_offset(extent.offset);
        slot.set_length(extent.length);
    }
    gnu.set_is_extended(!beyond.is_empty());
    let mut blocks = Vec::new();
    let mut rest = beyond;
    while !rest.is_empty() {
        let mut block = GnuExtSparseHeader::new();
        let (now, later) = rest.split_at(rest.len().min(block.sparse().len()));
        for (extent, slot) in now.iter().zip(block.sparse_mut()) {
            slot.set_offset(extent.offset);
            slot.set_length(extent.length);
        }
        block.set_is_extended(!later.is_empty());
        blocks.push(block);
        rest = later;
    }
    blocks
}

/// The pax records: what the plain header cannot say.
fn records(member: &Member<'_>) -> Vec<u8> {
    let mut records = Vec::new();
    if member.name.len() > NAME {
        record(&mut records, b"path", member.name);
    }
    if member.link.len() > NAME {
        record(&mut records, b"linkpath", member.link);
    }
    if let Content::Bytes(size) = member.content
        && size > BIGGEST
    {
        record(&mut records, b"size", size.to_string().as_bytes());
    }
    let stamp = Stamp { seconds: member.stat.st_mtime, nanoseconds: member.stat.st_mtime_nsec as u32 };
    if stamp.nanoseconds > 0 || !(0..=BIGGEST as i64).contains(&stamp.seconds) {
        record(&mut records, b"mtime", stamp.to_decimal().as_bytes());
    }
    for attribute in member.attributes {
        record(&mut records, &[ATTRIBUTE.as_bytes(), &attribute.name].concat(), &attribute.value);
    }
    // Names are bytes, whatever pax thinks of them.
    let is_text = |name: &[u8]| name.len() <= NAME || std::str::from_utf8(name).is_ok();
    if !is_text(member.name) || !is_text(member.link) {
        let mut all = Vec::new();
        record(&mut all, b"hdrcharset", b"BINARY");
        all.append(&mut records);
        return all;
    }
    records
}

/// `LENGTH KEY=VALUE\n`, where the length is that of the whole.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let digits = |number: usize| number.to_string().len();
    let mut length = rest + digits(rest);
    if digits(length) > digits(rest) {
        length += 1;
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.extend_from_slice(&[b" ", key, b"=", value, b"\n"].concat());
}

/// As much as there is room for.
fn fill(field: &mut [u8], value: &[u8]) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value[..length]);
}

#[cfg(test)]
mod tests {
    use super::record;

    #[test]
    fn a_record_counts_its_own_length() {
        // Where the length gets one digit more by counting itself.
        for length in 0..1100 {
            let mut bytes = Vec::new();
            record(&mut bytes, b"k", &vec![b'v'; length]);
            let (number, _) = std::str::from_utf8(&bytes).unwrap().split_once(' ').unwrap();
            assert_eq!(number.parse(), Ok(bytes.len()));
        }
    }
}
