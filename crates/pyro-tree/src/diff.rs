//! The text of a guest's changes, as `git diff` gives it: made by the host's own Git.
//!
//! A bare repository is made in a private directory, used once, and removed with it. Git sees nothing but what is in
//! it: no configuration of the system or the user, no hooks, no attributes (neither the user's nor those of a
//! `.gitattributes` among the changes), no network, no search path. Contents go in as objects and are never checked
//! out, so whatever is in them is text and nothing else.
//!
//! Where the user's own repository has attributes (`*.svg binary`), his `git diff` may show less than this.

mod error;
mod objects;
mod options;
mod program;

use std::path::{Path, PathBuf};

use crate::apply::{Change, Contents};

pub use error::DiffError;
pub use options::{Binary, Color, Form, Options};

/// Where Git is, and where it may work.
#[derive(Clone, Copy, Debug)]
pub struct Git<'a> {
    /// The directories in which `git` is looked for.
    pub search_path: &'a [PathBuf],
    /// A private directory in which the repository is made.
    pub scratch: &'a Path,
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
