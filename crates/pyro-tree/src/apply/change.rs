//! One change of a guest, and where its contents come from. Both live as long as the caller keeps them.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::entry::Entry;
use crate::undo::hexadecimal;

/// What a guest made of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path below the root.
    pub path: Vec<u8>,
    /// What was seeded; `None` where nothing was.
    pub before: Option<Entry>,
    /// What the guest has now; `None` where nothing is.
    pub after: Option<Entry>,
    /// The target, where `after` is a symbolic link. It is verified against `after`'s digest.
    pub target: Option<Vec<u8>>,
}

/// Gives contents. What it gives is verified while it is read.
pub trait Contents {
    /// The content that the guest has now: of a file, or a symbolic link's target.
    ///
    /// # Errors
    /// Whatever stands in the way.
    fn open(&mut self, path: &[u8]) -> io::Result<Box<dyn Read + '_>>;

    /// The content that was seeded. Only merges and diffs ask for it.
    ///
    /// # Errors
    /// Whatever stands in the way.
    fn base(&mut self, path: &[u8]) -> io::Result<Box<dyn Read + '_>>;
}

/// Whether these bytes are the content that an entry announces.
pub(super) fn is_content_of(bytes: &[u8], entry: &Entry) -> bool {
    bytes.len() as u64 == entry.size && hexadecimal(Sha256::digest(bytes).as_slice()) == entry.digest
}
