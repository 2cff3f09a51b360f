//! A tree of the host's as a tar stream: a directory, a Git checkout, or an archive.
//!
//! ```text
//! open ─▶ Source (what is to be sent is listed; nothing is read yet) ─▶ write ─▶ stream + Manifest + notices
//! ```
//!
//! What cannot be read, or changes while it is read, is a notice: the stream stays well formed and the manifest says
//! what was really sent. `write` may be called again; it reads again. Symbolic links are sent as they are and never
//! followed. Extended attributes, access control lists and owners are not sent.
//!
//! The `.git` of a checkout comes along as plain files. A `.git` **file** at the top (a linked worktree, or a
//! submodule opened by itself) is refused: it names a Git directory elsewhere, and without it the copy would be
//! no checkout. A submodule's `.git` file below the top is sent as it is, because its Git directory is in the top's
//! `.git`; if it names another place, there is a notice.

mod archive;
mod error;
mod files;
mod git;
mod meter;
mod options;
mod send;
mod walk;

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::archive::codec::Form;
use crate::beneath::Root;
use crate::manifest::Manifest;
pub use crate::notice::{Notice, Problem};
pub use error::PackError;
use meter::Meter;
pub use meter::Progress;
pub use options::PackOptions;

/// Something that can be sent.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    what: What,
}

#[derive(Debug)]
enum What {
    Tree { root: Root, paths: BTreeSet<Vec<u8>>, notices: Vec<Notice> },
    Archive(Form),
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Every entry that was sent, with the digest of the bytes that were sent.
    pub manifest: Manifest,
    /// What was left out or changed meanwhile.
    pub notices: Vec<Notice>,
}

impl Source {
    /// Looks at a source and lists it. A directory with a `.git` is a Git checkout; an archive is known by its name.
    ///
    /// # Errors
    /// It is not there or cannot be read, it is nothing that can be sent, or `git` is missing or fails.
    pub fn open(path: &Path, options: &PackOptions) -> Result<Self, PackError> {
        let failed = |source| PackError::Source { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        let what = if metadata.is_dir() {
            let root = Root::open(path).map_err(failed)?;
            let walk::Found { paths, notices } = files::list(path, &root, options)?;
            What::Tree { root, paths, notices }
        } else {
            let form = Form::of(path).filter(|_| metadata.is_file());
            What::Archive(form.ok_or_else(|| PackError::Unknown(path.to_owned()))?)
        };
        Ok(Self { path: path.to_owned(), what })
    }

    /// Writes the source as a tar stream. `progress` hears how far it is each 8 MiB or 1,000 entries, and at the end.
    ///
    /// # Errors
    /// The output fails, or an archive is broken. What was written by then is not a whole archive.
    pub fn write(&self, output: &mut impl Write, progress: &mut dyn FnMut(Progress)) -> Result<Packed, PackError> {
        let mut output = BufWriter::with_capacity(1 << 18, output);
        let mut meter = Meter::new(progress);
        let (entries, notices) = match &self.what {
            What::Tree { root, paths, notices } => {
                let (entries, more) = send::send(root, paths, &mut output, &mut meter).map_err(PackError::Output)?;
                (entries, notices.iter().cloned().chain(more).collect())
            }
            What::Archive(form) => archive::resend(&self.path, *form, &mut output, &mut meter)?,
        };
        output.flush().map_err(PackError::Output)?;
        meter.end();
        Ok(Packed { manifest: Manifest::new(self.path.display().to_string(), entries), notices })
    }
}
