//! What is said to the agent's file worker and by it, on the three pipes of its command.
//!
//! A file operation is a command whose program is the agent itself ([`crate::message::Exec`] with
//! `file_worker`). One worker carries out one operation and ends.
//!
//! ```text
//! stdin    FileRequest, framed; then for Write: pieces, for Unpack: a tar archive
//! stdout   for Read: the bytes, for Pack: a tar archive; otherwise FileReply messages, framed
//! stderr   FileEvent messages, framed; the last one is Done or Failed, exactly one of them
//! exit     0 with Done, 1 with Failed; anything else means that the worker was ended
//! ```
//!
//! *Framed* means: four bytes with the length, little endian, at most [`MAX_MESSAGE`], and the
//! encoded message. *Pieces* are four bytes with the length, little endian, at most [`MAX_PIECE`],
//! and so many bytes; a piece of length 0 says that nothing is missing. Input that ends before it
//! changes nothing: a client that dies never commits half. A tar archive has an end mark of its own.
//!
//! Names are bytes and need not be UTF-8. Paths are relative to the root of the request. A path
//! that would leave it, also by a symbolic link, is `outside_root`. Where the root is `/`, absolute
//! paths and links are those of the whole machine. Anywhere else they lead outside.

use prost::Message;

mod reply;
mod request;
mod seed;

pub use reply::{Change, Done, Entry, Event, Failed, FileEvent, FileReply, Kind, Match, Notice, Progress, Reply};
pub use request::{
    Digest, FileRequest, Find, Grep, List, MakeDirectory, Move, Operation, Pack, Read, Remove, Stat, Unpack, Write,
};
pub use seed::{BeginSeed, Changes, MountWorkspace};

/// The ability's name in the guest's Hello.
pub const CAPABILITY: &str = "files";
/// The longest message in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// The longest piece of data in bytes.
pub const MAX_PIECE: usize = 1024 * 1024;
/// The most bytes of a line in a [`Match`].
pub const MAX_LINE: usize = 4 * 1024;
/// Where commands work.
pub const WORKSPACE: &str = "/workspace";
/// What the workspace was when it was seeded; to be read, and to be filled by Unpack before it is mounted.
pub const SEED: &str = "/var/lib/pyro/workspace/seed";
/// `if_digest` of a file that must not exist.
pub const ABSENT: &str = "absent";

/// Why an operation failed: the stable words of [`Failed::reason`].
pub mod reason {
    /// Nothing has this name.
    pub const NOT_FOUND: &str = "not_found";
    /// A directory was needed.
    pub const NOT_A_DIRECTORY: &str = "not_a_directory";
    /// Something other than a directory was needed.
    pub const IS_A_DIRECTORY: &str = "is_a_directory";
    /// The name is taken.
    pub const EXISTS: &str = "exists";
    /// The directory is not empty.
    pub const NOT_EMPTY: &str = "not_empty";
    /// The path leads out of the root.
    pub const OUTSIDE_ROOT: &str = "outside_root";
    /// The file's digest is not the one that was named.
    pub const CHANGED: &str = "changed";
    /// The file system is full, or a quota is used up.
    pub const NO_SPACE: &str = "no_space";
    /// The kernel forbids it.
    pub const PERMISSION: &str = "permission";
    /// The input ended before its end mark. Of a Write nothing was committed.
    pub const INCOMPLETE: &str = "incomplete";
    /// The request or its data make no sense.
    pub const BAD_REQUEST: &str = "bad_request";
    /// Anything else; the message says what.
    pub const FAILED: &str = "failed";
}

/// A message behind its length.
///
/// # Panics
/// When it is longer than [`MAX_MESSAGE`]: names and lines are bounded far below it.
#[must_use]
pub fn frame<M: Message>(message: &M) -> Vec<u8> {
    let length = message.encoded_len();
    assert!(length <= MAX_MESSAGE, "a message is at most MAX_MESSAGE bytes");
    let mut bytes = Vec::with_capacity(4 + length);
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes
}

/// The length in front of a piece; 0 is the end mark.
///
/// # Panics
/// When the piece is longer than [`MAX_PIECE`].
#[must_use]
pub fn piece_header(length: usize) -> [u8; 4] {
    assert!(length <= MAX_PIECE, "a piece is at most MAX_PIECE bytes");
    (length as u32).to_le_bytes()
}

/// Takes whole messages of a growing buffer: the next one and how many bytes it took, `None` until
/// more bytes are there.
///
/// # Errors
/// When the length is beyond [`MAX_MESSAGE`] or the bytes are no such message.
pub fn next_message<M: Message + Default>(bytes: &[u8]) -> Result<Option<(M, usize)>, prost::DecodeError> {
    let Some((header, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*header) as usize;
    if length > MAX_MESSAGE {
        // prost has no public constructor for its error: a field with tag 0 is one it refuses.
        return M::decode(&[0_u8][..]).map(|_| None);
    }
    match rest.get(..length) {
        Some(body) => Ok(Some((M::decode(body)?, 4 + length))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
