//! The text of a guest's changes, as `git diff` gives it: made by the host's own Git.
//!
//! A bare repository is made in a private directory, used once, and removed with it. Git sees nothing but what is in
//! it: no configuration of the system or the user, no hooks, no attributes (neither the user's nor those of a
//! `.gitattributes` among the changes), no network, no search path. Contents go in as objects and are never checked
//! out, so whatever is in them is text and nothing else.
//!
//! Where the user's own repository has attributes (`*.svg binary`), his `git diff` may show less than this.

mod objects;
mod program;

use std::io;
use std::path::{Path, PathBuf};

use crate::apply::{Change, Contents};

/// What is shown of each change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// A patch.
    #[default]
    Patch,
    /// The number of changed lines.
    Stat,
    /// The names.
    NameOnly,
    /// The names, and a letter for what was done.
    NameStatus,
}

/// What a patch has of binary files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binary {
    /// That they differ.
    #[default]
    Named,
    /// Their contents, so that the patch can be applied.
    Whole,
}

/// Whether the text is coloured for a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// It is not.
    #[default]
    Never,
    /// It is.
    Always,
}

/// How changes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What is shown.
    pub form: Form,
    /// What a patch has of binary files.
    pub binary: Binary,
    /// Whether it is coloured.
    pub color: Color,
    /// Digits of an object's name at least: Git's `core.abbrev`, 4 to 40.
    pub abbreviation: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self { form: Form::default(), binary: Binary::default(), color: Color::default(), abbreviation: 7 }
    }
}

/// Where Git is, and where it may work.
#[derive(Clone, Copy, Debug)]
pub struct Git<'a> {
    /// The directories in which `git` is looked for.
    pub search_path: &'a [PathBuf],
    /// A private directory in which the repository is made.
    pub scratch: &'a Path,
}

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

/// The text of the changes. Directories are not in it, as Git knows none.
///
/// # Errors
/// [`DiffError`].
pub fn diff(
    changes: &[Change],
    contents: &mut dyn Contents,
    options: &Options,
    git: &Git<'_>,
) -> Result<Vec<u8>, DiffError> {
    let program = pyro_hostfs::program::find(Path::new("git"), git.search_path).ok_or(DiffError::GitMissing)?;
    let scratch = tempfile::Builder::new().prefix("diff-").tempdir_in(git.scratch).map_err(DiffError::Scratch)?;
    let repository = program::Repository::make(program, scratch.path())?;
    let (before, after) = objects::trees(changes, contents, &repository)?;
    repository.diff(&before, &after, options)
}
