//! What the worker is asked about a seeded workspace. Tags are never used twice; fields may be
//! added.
//!
//! ```text
//! BeginSeed ─▶ Unpack (root: SEED) ─▶ MountWorkspace ─▶ commands in the workspace ─▶ Changes
//!                                       ▲ again whenever the machine was booted
//! ```
//!
//! The seed is the lower layer of an overlay. The upper layer has what was changed, so telling it
//! costs by what was changed. The root of these requests is that of the machine, `/`.

use prost::Message;

/// An empty seed at [`super::SEED`], in place of one that was never mounted.
///
/// `exists` where the workspace has a seed, `not_empty` where it has anything else.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct BeginSeed {}

/// The seed becomes what is at [`super::WORKSPACE`], for the whole machine. Nothing is done where it is mounted.
///
/// The first time it is written to the disk before; from then on it must not be changed. `not_found` where no seed was
/// begun, `failed` where the kernel has no overlay file system or the disk's cannot be the upper layer of one.
///
/// A file of the seed with several names becomes a file of its own when it is changed by one of them.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct MountWorkspace {}

/// How the workspace differs from its seed, sorted by the bytes of the paths. Without a seed all of it is new.
///
/// A name differs when it stands for another kind of thing, has other permission bits, another content or another
/// target. Owner, time and extended attributes do not count. With a directory that is gone all goes that was in it.
/// Done counts the names that were looked at and the bytes that were read. What cannot be read gets a notice. `failed`
/// where there is a seed that is not mounted.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Changes {
    /// Trees, relative to the workspace; none for all of it. None may have a component `..`. They need not exist.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub paths: Vec<Vec<u8>>,
    /// Changes at most, then Done says `truncated`; 0 means no bound.
    #[prost(uint64, tag = "2")]
    pub max_entries: u64,
}
