//! What is at a path, and the step from one such state to another. Pure data: it lives as long as its owner likes.

use crate::entry::{Entry, Kind};

/// What is at a path, as far as applying and undoing compare it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, `0o7777` at most. 0 for a symbolic link.
    pub mode: u32,
    /// Bytes of a file's content, or of a link's target. 0 for a directory.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal of a file's content, or of a link's target. Empty for a directory.
    pub digest: String,
}

impl From<&Entry> for State {
    fn from(entry: &Entry) -> Self {
        let (mode, size) = match entry.kind {
            Kind::File => (entry.mode & 0o7777, entry.size),
            Kind::Directory => (entry.mode & 0o7777, 0),
            Kind::Symlink => (0, entry.size),
        };
        let digest = if entry.kind == Kind::Directory { String::new() } else { entry.digest.clone() };
        Self { kind: entry.kind, mode, size, digest }
    }
}

impl State {
    /// Whether kind and content are the same; the mode may differ.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        (self.kind, self.size, &self.digest) == (other.kind, other.size, &other.digest)
    }
}

/// One step: a path that is in one state and is brought into another. `None` is absence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Below the root, relative.
    pub path: Vec<u8>,
    /// What must be there.
    pub before: Option<State>,
    /// What is there afterwards.
    pub after: Option<State>,
}

impl Operation {
    /// The step back.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { path: self.path.clone(), before: self.after.clone(), after: self.before.clone() }
    }

    /// Whether what is there (`found`) is what this step knows as `expected`, which is one of its two ends.
    ///
    /// A directory is one whatever its mode, unless the step is about the mode.
    #[must_use]
    pub fn meets(&self, found: Option<&State>, expected: Option<&State>) -> bool {
        let (Some(found), Some(expected)) = (found, expected) else { return found.is_none() && expected.is_none() };
        let about_mode = self.before.is_some() && self.after.is_some();
        found.same_content(expected) && (found.mode == expected.mode || (found.kind == Kind::Directory && !about_mode))
    }
}
