//! What a tree was when it was sent or received: every entry with its digest. A manifest outlives the process: it is
//! a file of JSON lines, `{format, root}`, then one line for each entry, then `{entries, crc32}` over all before it.
//!
//! It is written whole or not at all. A newer format is refused and not called damaged.

mod line;

use std::io;
use std::path::{Path, PathBuf};

use pyro_hostfs::write;

use crate::entry::Entry;
use line::{Foot, Head};

/// The format that is written. One that is higher is refused.
pub const FORMAT: u32 = 1;

/// The entries of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The format it was read from, or `FORMAT`.
    pub format: u32,
    /// What the tree is, for people.
    pub root: String,
    /// Sorted by path, each path once.
    entries: Vec<Entry>,
}

/// Why a manifest cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A newer pyro wrote it.
    #[error("{} has format {format}; this pyro knows {FORMAT} and lower", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// It was changed, or is not a manifest.
    #[error("{} is damaged: {what}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file system.
    #[error("{} cannot be read or written", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Manifest {
    /// Sorts the entries. Of two with one path the later stays.
    #[must_use]
    pub fn new(root: String, mut entries: Vec<Entry>) -> Self {
        if !is_sorted(&entries) {
            entries.reverse();
            entries.sort_by(|one, other| one.path.cmp(&other.path));
            entries.dedup_by(|later, first| later.path == first.path);
        }
        Self { format: FORMAT, root, entries }
    }

    /// All entries, sorted by path.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry with this path.
    #[must_use]
    pub fn get(&self, path: &[u8]) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_slice().cmp(path)).ok()?;
        self.entries.get(at)
    }

    /// Writes it to a file, which is replaced.
    ///
    /// # Errors
    /// What the file system says. The old file is then still there.
    pub fn write(&self, path: &Path) -> Result<(), ManifestError> {
        write::atomically(path, &self.encode()).map_err(|source| ManifestError::File { path: path.to_owned(), source })
    }

    /// Reads it from a file.
    ///
    /// # Errors
    /// The file is newer, damaged, or cannot be read.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let content = std::fs::read(path).map_err(|source| ManifestError::File { path: path.to_owned(), source })?;
        Self::decode(&content).map_err(|problem| match problem {
            Problem::Newer(format) => ManifestError::Newer { path: path.to_owned(), format },
            Problem::Damaged(what) => ManifestError::Damaged { path: path.to_owned(), what },
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut content = Head { format: FORMAT, root: self.root.clone() }.encode();
        for entry in &self.entries {
            line::encode(entry, &mut content);
        }
        let foot = Foot { entries: self.entries.len() as u64, crc32: crc32fast::hash(&content) };
        content.extend(foot.encode());
        content
    }

    fn decode(content: &[u8]) -> Result<Self, Problem> {
        let first = content.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
        let head = Head::decode(first).ok_or(Problem::Damaged("its first line is not a manifest's"))?;
        if head.format > FORMAT {
            return Err(Problem::Newer(head.format));
        }
        let (body, foot) = last_line(content).ok_or(Problem::Damaged("its end is missing"))?;
        let foot = Foot::decode(foot).ok_or(Problem::Damaged("its end is missing"))?;
        if foot.crc32 != crc32fast::hash(body) {
            return Err(Problem::Damaged("its checksum does not hold"));
        }
        let lines = body.get(first.len()..).unwrap_or_default().split_inclusive(|byte| *byte == b'\n');
        let entries: Option<Vec<Entry>> = lines.map(line::decode).collect();
        let entries = entries.ok_or(Problem::Damaged("a line is not an entry"))?;
        if entries.len() as u64 != foot.entries || !is_sorted(&entries) {
            return Err(Problem::Damaged("its entries are not in order"));
        }
        Ok(Self { format: head.format, root: head.root, entries })
    }
}

#[derive(Debug, PartialEq)]
enum Problem {
    Newer(u32),
    Damaged(&'static str),
}

fn is_sorted(entries: &[Entry]) -> bool {
    entries.is_sorted_by(|one, other| one.path < other.path)
}

/// What is before the last line, and the last line.
fn last_line(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let whole = content.strip_suffix(b"\n")?;
    let start = whole.iter().rposition(|byte| *byte == b'\n')? + 1;
    Some(content.split_at(start))
}

#[cfg(test)]
mod tests;
