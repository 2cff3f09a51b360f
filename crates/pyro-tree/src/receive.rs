//! An archive that a hostile guest sends, received whole or not at all.
//!
//! ```text
//! stream ─▶ Members (strict) ─▶ Checker (policy) ─▶ .partial-… beside the destination ─rename─▶ destination
//!                   └─ refused ──────┴─ error ─▶ the partial is removed; the destination is as it was
//! ```
//!
//! A process that is killed leaves its `.partial-…`. Owner of everything is the receiving process. What is renamed is
//! not flushed to disk first, unless it is an archive. An archive is for its owner only (0600).

mod error;
mod partial;
mod tree;

use std::io::{self, Read};
use std::path::Path;

use crate::archive::codec::{Encoder, Form};
use crate::archive::read::Members;
use crate::archive::write::Writer;
use crate::check::{Checker, Origin};
pub use crate::check::{Limits, Links};
use crate::manifest::Manifest;
pub use crate::notice::{Notice, Problem};
pub use crate::reason::{Reason, Refusal};
use crate::sink::{Implied, ToArchive};
use crate::transfer::{Transferred, transfer};
pub use error::ReceiveError;
use partial::Partial;
use tree::Tree;

/// What may be received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Limits of numbers and sizes.
    pub limits: Limits,
    /// What becomes of symbolic links that lead outside.
    pub links: Links,
}

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Every entry that is there now.
    pub manifest: Manifest,
    /// What was changed or left out.
    pub notices: Vec<Notice>,
    /// Entries of the stream that were taken.
    pub entries: u64,
    /// Bytes of files, without holes.
    pub bytes: u64,
}

/// Receives a tar stream, to its end, into a new directory, or into an archive if the destination's name ends like
/// one (`.tar`, `.tar.gz`, `.tgz`, `.tar.zst`, `.tzst`). A destination that exists must be an empty directory.
///
/// # Errors
/// Nothing was received: the destination is as it was.
pub fn receive(stream: &mut impl Read, destination: &Path, policy: Policy) -> Result<Received, ReceiveError> {
    let (partial, form) = (Partial::beside(destination)?, Form::of(destination));
    let limits = policy.limits;
    let mut members = Members::new(stream, limits.max_name_bytes);
    let mut checker = Checker::new(limits, policy.links, Origin::Guest);
    let done = match form {
        None => into_directory(&mut members, &mut checker, partial)?,
        Some(form) => into_archive(&mut members, &mut checker, partial, form)?,
    };
    let Transferred { collected, notices, entries, bytes } = done;
    let manifest = Manifest::new(destination.display().to_string(), collected.entries());
    Ok(Received { manifest, notices, entries, bytes })
}

fn into_directory<R: Read>(
    members: &mut Members<R>,
    checker: &mut Checker,
    partial: Partial,
) -> Result<Transferred, ReceiveError> {
    let mut tree = Tree::new(partial.make_directory()?);
    let done = transfer(members, checker, &mut tree, &mut |_, _| {})?;
    tree.finish().map_err(|(path, source)| ReceiveError::Write { path, source })?;
    partial.commit()?;
    Ok(done)
}

fn into_archive<R: Read>(
    members: &mut Members<R>,
    checker: &mut Checker,
    partial: Partial,
    form: Form,
) -> Result<Transferred, ReceiveError> {
    let output = Encoder::new(form, io::BufWriter::with_capacity(1 << 18, partial.make_file()?));
    let mut sink = ToArchive { writer: Writer::new(output), implied: Implied::Left };
    let done = transfer(members, checker, &mut sink, &mut |_, _| {})?;
    let finished = sink.writer.finish().and_then(Encoder::finish);
    let flushed = finished.and_then(|buffer| buffer.into_inner().map_err(io::IntoInnerError::into_error));
    let synced = flushed.and_then(|file| file.sync_all());
    synced.map_err(|source| ReceiveError::Write { path: Vec::new(), source })?;
    partial.commit()?;
    Ok(done)
}
