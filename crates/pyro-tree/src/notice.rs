//! What did not go as asked and did not stop the rest. Values only.

use std::fmt;

/// Something about one entry that the caller must be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The entry's path below the root.
    pub path: Vec<u8>,
    /// What it is about.
    pub problem: Problem,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It could not be read, and was left out. The text is the system's.
    Unreadable(String),
    /// Its content could not be read to the end; zeros were sent for the rest. The text is the system's.
    ReadFailed(String),
    /// It was listed and is gone. It was left out.
    Vanished,
    /// It, or a directory above it, became something else. It was left out.
    Replaced,
    /// It became shorter while it was read; zeros were sent for the rest.
    Shrank,
    /// It became longer while it was read; the first part was sent.
    Grew,
    /// It was written to while it was read. The bytes that were sent may never have been there at the same time.
    Changed,
    /// A socket. It was left out.
    Socket,
    /// A device. It was left out.
    Device,
    /// A named pipe. It was left out.
    Fifo,
    /// The `.git` file of a submodule names a Git directory outside of what is sent.
    GitDirectoryOutside,
    /// The setuid, setgid or sticky bits were taken off.
    ModeBits,
    /// Extended attributes or access control lists were dropped.
    Attributes,
    /// The target leads outside. The link was left out.
    LinkOutside,
}

impl Problem {
    /// The stable word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::ReadFailed(_) => "read_failed",
            Self::Vanished => "vanished",
            Self::Replaced => "replaced",
            Self::Shrank => "shrank",
            Self::Grew => "grew",
            Self::Changed => "changed",
            Self::Socket => "socket",
            Self::Device => "device",
            Self::Fifo => "fifo",
            Self::GitDirectoryOutside => "git_directory_outside",
            Self::ModeBits => "mode_bits",
            Self::Attributes => "attributes",
            Self::LinkOutside => "link_outside",
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", String::from_utf8_lossy(&self.path), self.problem.word())?;
        match &self.problem {
            Problem::Unreadable(text) | Problem::ReadFailed(text) => write!(formatter, " ({text})"),
            _ => Ok(()),
        }
    }
}
