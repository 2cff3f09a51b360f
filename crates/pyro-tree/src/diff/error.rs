//! Why there is no text of changes.

use std::io;

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The host has no Git.
    #[error("git is not installed")]
    GitMissing,
    /// Git failed.
    #[error("`git {command}` failed: {said}")]
    Git {
        /// What it was to do.
        command: &'static str,
        /// What it said.
        said: String,
    },
    /// A path that no Git tree can have, or that is a file and a directory at once.
    #[error("`{}` cannot be a path in a tree", .path.escape_ascii())]
    Path {
        /// The path.
        path: Vec<u8>,
    },
    /// A content could not be had.
    #[error("the content of `{}` could not be read", .path.escape_ascii())]
    Content {
        /// The path.
        path: Vec<u8>,
        /// What was said.
        source: io::Error,
    },
    /// A content is not the one that was announced.
    #[error("the content of `{}` is not the one that was announced", .path.escape_ascii())]
    Lie {
        /// The path.
        path: Vec<u8>,
    },
    /// What the file system says of the scratch directory.
    #[error("the scratch directory cannot be used")]
    Scratch(#[source] io::Error),
}

impl DiffError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::GitMissing => Some("Install git (`apt install git`), or put its directory into PATH."),
            _ => None,
        }
    }
}
