//! What the worker says. Tags are never used twice; fields may be added.

use prost::Message;

/// A result, on stdout.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FileReply {
    /// Exactly one of these; none means a message this build does not know.
    #[prost(oneof = "Reply", tags = "1, 2, 3")]
    pub reply: Option<Reply>,
}

/// The results.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Reply {
    /// A name.
    #[prost(message, tag = "1")]
    Entry(Entry),
    /// A line.
    #[prost(message, tag = "2")]
    Match(Match),
    /// A difference from the seed.
    #[prost(message, tag = "3")]
    Change(Change),
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    /// Of a later build; in a request: any.
    Unknown = 0,
    /// A regular file.
    File = 1,
    /// A directory.
    Directory = 2,
    /// A symbolic link.
    Symlink = 3,
    /// A socket, a device or a named pipe.
    Other = 4,
}

/// A name and what is known of it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Entry {
    /// Relative to the root of the request.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// What it stands for.
    #[prost(enumeration = "Kind", tag = "2")]
    pub kind: i32,
    /// Bytes of a regular file or of a symbolic link's target.
    #[prost(uint64, tag = "3")]
    pub size: u64,
    /// Permission bits (07777).
    #[prost(uint32, tag = "4")]
    pub mode: u32,
    /// Last change of the content, nanoseconds since 1970-01-01 UTC, bounded to what 64 bits hold.
    #[prost(sint64, tag = "5")]
    pub mtime_ns: i64,
    /// Owner.
    #[prost(uint32, tag = "6")]
    pub uid: u32,
    /// Group.
    #[prost(uint32, tag = "7")]
    pub gid: u32,
    /// Where a symbolic link leads, as it is written.
    #[prost(bytes = "vec", tag = "8")]
    pub link_target: Vec<u8>,
    /// SHA-256 in hex; only from a Digest and in a [`Change`].
    #[prost(string, tag = "9")]
    pub digest: String,
}

/// A line that fits.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Match {
    /// Relative to the root of the request.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// The first line is 1.
    #[prost(uint64, tag = "2")]
    pub line_number: u64,
    /// The line without its end, at most [`super::MAX_LINE`] bytes of it.
    #[prost(bytes = "vec", tag = "3")]
    pub line: Vec<u8>,
    /// The line is longer.
    #[prost(bool, tag = "4")]
    pub truncated: bool,
}

/// A name that is not what it was.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Change {
    /// Relative to the workspace.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// What it was in the seed, without its path, and of a regular file with its digest; absent if it is new.
    #[prost(message, optional, tag = "2")]
    pub before: Option<Entry>,
    /// What it is, likewise; absent if it is gone.
    #[prost(message, optional, tag = "3")]
    pub after: Option<Entry>,
}

/// How it goes, on stderr.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FileEvent {
    /// Exactly one of these; none means a message this build does not know.
    #[prost(oneof = "Event", tags = "1, 2, 3, 4")]
    pub event: Option<Event>,
}

/// The news.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Event {
    /// Something was left out; the rest goes on.
    #[prost(message, tag = "1")]
    Notice(Notice),
    /// How far it is.
    #[prost(message, tag = "2")]
    Progress(Progress),
    /// The end, a good one.
    #[prost(message, tag = "3")]
    Done(Done),
    /// The end, a bad one.
    #[prost(message, tag = "4")]
    Failed(Failed),
}

/// What was left out, or is not as it should be.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Notice {
    /// Relative to the root of the request, or a name in an archive; at most 8 KiB of it.
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    /// For people.
    #[prost(string, tag = "2")]
    pub problem: String,
}

/// At most every 1000 entries or 8 MiB.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Progress {
    /// Entries so far.
    #[prost(uint64, tag = "1")]
    pub entries: u64,
    /// Bytes of file content so far.
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
}

/// All of it was done, but for what notices say.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Done {
    /// Entries that were looked at, changed, packed or unpacked.
    #[prost(uint64, tag = "1")]
    pub entries: u64,
    /// Bytes of file content that were read or written.
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    /// Of a Write: SHA-256 in hex of the data that came.
    #[prost(string, tag = "3")]
    pub digest: String,
    /// The bound of entries or matches was reached, and there was more.
    #[prost(bool, tag = "4")]
    pub truncated: bool,
}

/// It was not done, or not all of it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Failed {
    /// A word of [`super::reason`].
    #[prost(string, tag = "1")]
    pub reason: String,
    /// What it failed at, relative to the root of the request; at most 8 KiB of it.
    #[prost(bytes = "vec", tag = "2")]
    pub path: Vec<u8>,
    /// For people.
    #[prost(string, tag = "3")]
    pub message: String,
    /// Entries that were done before.
    #[prost(uint64, tag = "4")]
    pub entries: u64,
    /// Bytes of file content that were read or written before.
    #[prost(uint64, tag = "5")]
    pub bytes: u64,
}
