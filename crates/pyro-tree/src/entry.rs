//! One entry of a tree.

use serde::{Deserialize, Serialize};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

/// An entry as it was sent to a guest, or is in one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The path below the tree's root: relative, without `.` and `..`. Bytes: it need not be UTF-8.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
    /// Bytes of a regular file, or of a symbolic link's target.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal of a regular file's content, or of a symbolic link's target. Empty for a
    /// directory.
    pub digest: String,
    /// Time of change, nanoseconds since 1970-01-01 UTC.
    pub mtime_ns: i64,
}
