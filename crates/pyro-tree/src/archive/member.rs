//! One member of an archive. Values only.

/// The time of a member that an archive may have: what ext4 holds and 64 bits of nanoseconds count.
pub(crate) const EARLIEST_SECOND: i64 = i32::MIN as i64;
const BILLION: i64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    File,
    Directory,
    Symlink,
    /// Another name of a file that came before.
    HardLink,
}

/// A piece of a sparse file that is not a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub offset: u64,
    pub length: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// A clean name. Empty for the root.
    pub path: Vec<u8>,
    pub kind: Type,
    /// The target of a link, as it is.
    pub target: Vec<u8>,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
    pub mtime_ns: i64,
    /// Bytes of a file, holes included. 0 for everything else.
    pub size: u64,
    /// Of a sparse file: what is not a hole, in order.
    pub segments: Option<Vec<Segment>>,
    /// It had extended attributes or access control lists. They are not here.
    pub had_attributes: bool,
}

impl Member {
    /// Bytes in the archive.
    pub fn stored(&self) -> u64 {
        match &self.segments {
            Some(segments) => segments.iter().map(|segment| segment.length).sum(),
            None => self.size,
        }
    }
}

/// Nanoseconds since 1970; `None` outside of what is allowed.
pub(crate) fn nanoseconds(seconds: i64, nanoseconds: i64) -> Option<i64> {
    let whole = Some(seconds).filter(|seconds| *seconds >= EARLIEST_SECOND)?;
    whole.checked_mul(BILLION)?.checked_add(nanoseconds)
}

/// Nanoseconds since 1970; what is outside of what is allowed is the nearest that is.
pub(crate) fn within(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.clamp(EARLIEST_SECOND, i64::MAX / BILLION - 1) * BILLION + nanoseconds
}

/// Whole seconds, rounded down, and the nanoseconds above them.
pub(crate) fn seconds(mtime_ns: i64) -> (i64, i64) {
    (mtime_ns.div_euclid(BILLION), mtime_ns.rem_euclid(BILLION))
}
