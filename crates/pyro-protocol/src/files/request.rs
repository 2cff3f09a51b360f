//! What the worker is asked. Tags are never used twice; fields may be added.

use prost::Message;

use super::{BeginSeed, Changes, MountWorkspace};

/// One operation below one directory.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FileRequest {
    /// Absolute path in the guest. It is followed if it is a symbolic link.
    #[prost(bytes = "vec", tag = "1")]
    pub root: Vec<u8>,
    /// Exactly one of these; none means an operation this build does not know.
    #[prost(oneof = "Operation", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16")]
    pub operation: Option<Operation>,
}

/// What is done.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Operation {
    /// An [`super::Entry`] for each name in a directory.
    #[prost(message, tag = "2")]
    List(List),
    /// One [`super::Entry`].
    #[prost(message, tag = "3")]
    Stat(Stat),
    /// A file's bytes.
    #[prost(message, tag = "4")]
    Read(Read),
    /// A file's new content.
    #[prost(message, tag = "5")]
    Write(Write),
    /// A new directory.
    #[prost(message, tag = "6")]
    MakeDirectory(MakeDirectory),
    /// Takes a name away.
    #[prost(message, tag = "7")]
    Remove(Remove),
    /// Gives something another name.
    #[prost(message, tag = "8")]
    Move(Move),
    /// An [`super::Entry`] for each name that fits.
    #[prost(message, tag = "9")]
    Find(Find),
    /// A [`super::Match`] for each line that fits.
    #[prost(message, tag = "10")]
    Grep(Grep),
    /// An [`super::Entry`] with its digest for each regular file.
    #[prost(message, tag = "11")]
    Digest(Digest),
    /// A tar archive of some trees.
    #[prost(message, tag = "12")]
    Pack(Pack),
    /// The trees of a tar archive.
    #[prost(message, tag = "13")]
    Unpack(Unpack),
    /// An empty seed.
    #[prost(message, tag = "14")]
    BeginSeed(BeginSeed),
    /// The seed as the workspace.
    #[prost(message, tag = "15")]
    MountWorkspace(MountWorkspace),
    /// A [`super::Change`] for each name that is not what it was in the seed.
    #[prost(message, tag = "16")]
    Changes(Changes),
}

/// The names in a directory, sorted by their bytes; a directory comes before what is in it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct List {
    /// A directory; empty for the root.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// Also what is in the directories below. Symbolic links are not followed.
    #[prost(bool, tag = "2")]
    pub recursive: bool,
    /// Entries at most, then Done says `truncated`; 0 means no bound.
    #[prost(uint64, tag = "3")]
    pub max_entries: u64,
}

/// What a name stands for. A symbolic link is not followed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Stat {
    /// Anything.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
}

/// The bytes of a regular file. A symbolic link is followed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Read {
    /// A regular file.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// The first byte; behind the end of the file there is nothing to read.
    #[prost(uint64, tag = "2")]
    pub offset: u64,
    /// Bytes at most; 0 means all up to the end.
    #[prost(uint64, tag = "3")]
    pub length: u64,
}

/// The content of a regular file, which follows the request in pieces. A symbolic link is followed.
///
/// Without `offset` the file is replaced as a whole, or not at all. Others who have it open keep
/// the old one. Mode and owner stay those of the old one; a new file has mode 0644.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Write {
    /// A regular file, which need not exist.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// Permission bits (07777); absent means as described above.
    #[prost(uint32, optional, tag = "2")]
    pub mode: Option<u32>,
    /// SHA-256 in hex of the whole content that is to be replaced, or [`super::ABSENT`]; empty asks nothing.
    /// Looked at when all data is there, immediately before the change.
    #[prost(string, tag = "3")]
    pub if_digest: String,
    /// Make missing directories above it, with mode 0755.
    #[prost(bool, tag = "4")]
    pub create_parents: bool,
    /// Write over the file's bytes from here on, as they come in; the rest of the file stays. Input that ends too
    /// early leaves what was written before. `if_digest` is looked at first.
    #[prost(uint64, optional, tag = "5")]
    pub offset: Option<u64>,
}

/// A new directory.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MakeDirectory {
    /// The new name.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// Permission bits (07777); absent means 0755.
    #[prost(uint32, optional, tag = "2")]
    pub mode: Option<u32>,
    /// Make missing directories above it, and be content with one that exists.
    #[prost(bool, tag = "3")]
    pub parents: bool,
}

/// Takes a name away. Symbolic links are not followed. What cannot be removed is named in a notice, and the rest is
/// removed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Remove {
    /// Anything but the root.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// Also directories with what is in them. Without it a directory must be empty.
    #[prost(bool, tag = "2")]
    pub recursive: bool,
}

/// Gives something another name on the same file system. Symbolic links are moved as they are.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Move {
    /// The old name.
    #[prost(bytes = "vec", tag = "1")]
    pub from: Vec<u8>,
    /// The new name.
    #[prost(bytes = "vec", tag = "2")]
    pub to: Vec<u8>,
    /// Replace what has the new name, as rename(2) does. Without it that is `exists`.
    #[prost(bool, tag = "3")]
    pub replace: bool,
}

/// Names below a directory.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Find {
    /// A directory; empty for the root.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// A pattern with `*`, `?`, `[…]`, `{a,b}` and `**`. With a `/` it is held against the path below `path`, without
    /// one against the name; empty fits everything.
    #[prost(bytes = "vec", tag = "2")]
    pub glob: Vec<u8>,
    /// Only this kind; [`super::Kind::Unknown`] means all.
    #[prost(enumeration = "super::Kind", tag = "3")]
    pub kind: i32,
    /// Entries at most, then Done says `truncated`; 0 means no bound.
    #[prost(uint64, tag = "4")]
    pub max_entries: u64,
}

/// Lines of a file, or of all regular files below a directory. Only the first 64 KiB of a line are looked at. Below a
/// directory, files with a zero byte in their first 8 KiB are passed over.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Grep {
    /// A file or a directory; empty for the root.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// A regular expression in the syntax of the `regex` crate without Unicode classes; bytes of a line that are not
    /// UTF-8 are seen as U+FFFD. With `fixed` the bytes themselves.
    #[prost(bytes = "vec", tag = "2")]
    pub pattern: Vec<u8>,
    /// The pattern stands for itself.
    #[prost(bool, tag = "3")]
    pub fixed: bool,
    /// Upper and lower case are the same (with `fixed` only those of ASCII).
    #[prost(bool, tag = "4")]
    pub ignore_case: bool,
    /// Only files whose name fits, as in [`Find`].
    #[prost(bytes = "vec", tag = "5")]
    pub glob: Vec<u8>,
    /// Matches at most, then Done says `truncated`; 0 means no bound.
    #[prost(uint64, tag = "6")]
    pub max_matches: u64,
}

/// SHA-256 of a regular file (a symbolic link is followed), or of all regular files below a directory.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Digest {
    /// A file or a directory; empty for the root.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
}

/// A tar archive on stdout. Names in it are relative to the root; the root itself is not in it.
///
/// The format is ustar with pax headers where that does not suffice. Sparse files are stored the old GNU way, extended
/// attributes as `SCHILY.xattr.*`. The order is that of [`List`]. Sockets, devices and named pipes are left out
/// with a notice. A file that changes while it is read gets a notice, and its entry has the length that was announced.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Pack {
    /// Trees; an empty path stands for all that is below the root. None may have a component `..`.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub paths: Vec<Vec<u8>>,
}

/// A tar archive on stdin.
///
/// A regular file appears whole or not at all. What exists is replaced, directories stay. Entries that would leave
/// `path`, and devices, sockets and named pipes, are left out with a notice.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Unpack {
    /// A directory, which becomes the root of the archive's names and hard links.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// Give everything the owner and group that the archive names. Otherwise all belongs to the worker's user.
    #[prost(bool, tag = "2")]
    pub keep_owners: bool,
}
