//! Why a plan was not carried out. In every case but [`ApplyError::Failed`] with paths `left` the tree is as it was.

use std::io;
use std::path::PathBuf;

use crate::merge::NotMerged;
use crate::undo::{Number, Reversal, Trouble, UndoError};

/// Why a plan was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The plan has conflicts or refusals. [`crate::apply::Plan::without_problems`] leaves them out.
    #[error("{conflicts} changes conflict with the host's tree and {refused} are refused")]
    NotClean {
        /// How many conflict.
        conflicts: usize,
        /// How many are refused.
        refused: usize,
    },
    /// An earlier application was interrupted and must be taken back first.
    #[error("application {} was interrupted and is not taken back yet", .0.0)]
    Unfinished(Number),
    /// The host's file changed after the plan was made.
    #[error("`{}` was changed on the host meanwhile", .path.escape_ascii())]
    Changed {
        /// The path.
        path: Vec<u8>,
    },
    /// The guest's content could not be had.
    #[error("the content of `{}` could not be read", .path.escape_ascii())]
    Content {
        /// The path.
        path: Vec<u8>,
        /// What was said.
        source: io::Error,
    },
    /// The guest's content is not the one that was announced.
    #[error("the content of `{}` is not the one that was announced", .path.escape_ascii())]
    Lie {
        /// The path.
        path: Vec<u8>,
    },
    /// Both sides changed a file that cannot be merged.
    #[error("`{}` was changed on both sides and cannot be merged", .path.escape_ascii())]
    NotMerged {
        /// The path.
        path: Vec<u8>,
        /// Why.
        source: NotMerged,
    },
    /// What the file system said of the root or of the undo directory, before the first change.
    #[error("{path}")]
    File {
        /// Where.
        path: PathBuf,
        /// What.
        source: io::Error,
    },
    /// The undo directory could not be read.
    #[error("the undo directory could not be read")]
    Undo(#[from] UndoError),
    /// A step failed. Those before it were taken back, but for the paths in `left`.
    #[error("`{}` could not be changed", .path.escape_ascii())]
    Failed {
        /// The application.
        number: Number,
        /// The path of the step.
        path: Vec<u8>,
        /// Why.
        source: Trouble,
        /// What was taken back, and what was not.
        taken_back: Reversal,
    },
}

impl ApplyError {
    pub(super) fn content(path: &[u8]) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Content { path: path.to_owned(), source }
    }

    pub(super) fn file(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::File { path: path.to_owned(), source }
    }
}
