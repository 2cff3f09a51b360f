//! What is taken of a source. Values only.

use std::path::PathBuf;

/// What is taken of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackOptions {
    /// Of a Git checkout: files that Git ignores too.
    pub all: bool,
    /// Of a directory: nothing that is named `.git`.
    pub no_git: bool,
    /// Directories where `git` is looked for.
    pub search_path: Vec<PathBuf>,
}
