//! Why a source cannot be sent.

use std::io;
use std::path::PathBuf;

use crate::reason::StreamError;

/// Why a source cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It is not there, or cannot be read.
    #[error("{} cannot be read", .path.display())]
    Source {
        /// The source.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is neither a directory nor a file with an archive's name.
    #[error("{} is neither a directory nor an archive (.tar, .tar.gz, .tgz, .tar.zst)", .0.display())]
    Unknown(PathBuf),
    /// It is a Git checkout, and there is no `git` on the search path.
    #[error("{} is a Git checkout, and git was not found", .0.display())]
    GitMissing(PathBuf),
    /// `git` could not say which files there are.
    #[error("git cannot list {}: {message}", .path.display())]
    Git {
        /// The checkout.
        path: PathBuf,
        /// What git said.
        message: String,
    },
    /// Its `.git` is a file that names a Git directory elsewhere.
    #[error("{} has its Git directory elsewhere", .0.display())]
    GitElsewhere(PathBuf),
    /// The archive is broken, or an entry of it is refused.
    #[error("{} cannot be sent", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        source: StreamError,
    },
    /// The output failed.
    #[error("the tree could not be written")]
    Output(#[source] io::Error),
}

impl PackError {
    /// What its reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::GitMissing(_) => Some("install git, or send all files, ignored ones too"),
            Self::Git { .. } => Some("run `git status` there, or send all files, ignored ones too"),
            Self::GitElsewhere(_) => Some("send it without its Git directory, or send the main checkout"),
            Self::Unknown(_) => Some("give a directory or a tar archive"),
            Self::Archive { .. } => Some("make the archive again, or send the directory it was made of"),
            Self::Source { .. } | Self::Output(_) => None,
        }
    }
}
