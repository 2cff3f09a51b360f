//! Where the members of an archive go: a tree, or another archive.

use std::io::{self, Write};

use crate::archive::member::{Member, Type};
use crate::archive::write::Writer;

/// Takes members that were checked, in their order. Of a file: `begin`, its pieces, `end`. Of everything else:
/// `begin` and `end`.
pub(crate) trait Sink {
    /// A directory that is only named as a parent.
    fn implied(&mut self, path: &[u8], mtime_ns: i64) -> io::Result<()>;
    fn begin(&mut self, member: &Member) -> io::Result<()>;
    fn data(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn hole(&mut self, length: u64) -> io::Result<()>;
    fn end(&mut self, member: &Member) -> io::Result<()>;
}

/// Whether directories that are only named as parents become members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Implied {
    Written,
    Left,
}

/// Mode of a directory that is only named as a parent.
pub(crate) const IMPLIED_MODE: u32 = 0o755;

pub(crate) struct ToArchive<W: Write> {
    pub writer: Writer<W>,
    pub implied: Implied,
}

impl<W: Write> Sink for ToArchive<W> {
    fn implied(&mut self, path: &[u8], mtime_ns: i64) -> io::Result<()> {
        if self.implied == Implied::Left {
            return Ok(());
        }
        self.writer.begin(&implied_directory(path, mtime_ns))?;
        self.writer.end()
    }

    fn begin(&mut self, member: &Member) -> io::Result<()> {
        self.writer.begin(member)
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.data(bytes)
    }

    fn hole(&mut self, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, _member: &Member) -> io::Result<()> {
        self.writer.end()
    }
}

/// The member for a directory that has none.
pub(crate) fn implied_directory(path: &[u8], mtime_ns: i64) -> Member {
    Member {
        path: path.to_vec(),
        kind: Type::Directory,
        target: Vec::new(),
        mode: IMPLIED_MODE,
        mtime_ns,
        size: 0,
        segments: None,
        had_attributes: false,
    }
}
