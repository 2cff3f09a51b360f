//! The contents of an application, laid ready in its undo directory: `old/N` and `new/N` for the operation N.
//!
//! They live there: `new` until the application is whole, `old` until the user removes it. Nothing of the tree is
//! changed here, so every error is one before the first change.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use super::change::{Change, Contents, is_content_of};
use super::error::ApplyError;
use crate::entry::Kind;
use crate::merge::{LARGEST, NotMerged, three_way};
use crate::undo::{Root, State, hexadecimal, leaf};

/// Copies what an operation replaces, if it still is what the plan saw.
pub(super) fn keep_old(root: &Root, path: &[u8], expected: &State, to: &Path) -> Result<(), ApplyError> {
    let changed = || ApplyError::Changed { path: path.to_owned() };
    let copied = copy_old(root, path, expected.kind, to).map_err(ApplyError::file(to))?;
    match copied {
        Some(found) if found == (expected.size, expected.digest.clone()) => Ok(()),
        _ => Err(changed()),
    }
}

/// Length and digest of what was copied; `None` where something else is there now.
fn copy_old(root: &Root, path: &[u8], kind: Kind, to: &Path) -> io::Result<Option<(u64, String)>> {
    use rustix::io::Errno;
    let gone = |error: &io::Error| {
        matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::INVAL))
    };
    let opened: io::Result<Box<dyn Read>> = root.parent_of(path).and_then(|parent| {
        if kind == Kind::Symlink {
            let target = rustix::fs::readlinkat(parent.as_fd(), leaf(path), Vec::new())?;
            return Ok(Box::new(io::Cursor::new(target.into_bytes())) as Box<dyn Read>);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Box::new(File::from(rustix::fs::openat(&parent, leaf(path), flags, Mode::empty())?)))
    });
    match opened {
        Ok(mut reader) => {
            let mut writer = Digesting::create(to)?;
            io::copy(&mut reader, &mut writer)?;
            writer.file.sync_all()?;
            Ok(Some(writer.finish()))
        }
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies the guest's content of a file and verifies it. It need not be durable: nothing continues from it.
pub(super) fn lay_new(contents: &mut dyn Contents, change: &Change, to: &Path) -> Result<(), ApplyError> {
    let Some(after) = &change.after else { return Ok(()) };
    if let (Kind::Symlink, Some(target)) = (after.kind, &change.target) {
        return fs::write(to, target).map_err(ApplyError::file(to));
    }
    let path = &change.path;
    let reader = contents.open(path).map_err(ApplyError::content(path))?;
    let mut writer = Digesting::create(to).map_err(ApplyError::file(to))?;
    // One byte more shows that there is more than announced, however much that is.
    io::copy(&mut reader.take(after.size.saturating_add(1)), &mut writer).map_err(ApplyError::content(path))?;
    let announced = (after.size, after.digest.clone());
    if writer.finish() == announced { Ok(()) } else { Err(ApplyError::Lie { path: path.clone() }) }
}

/// Merges the host's text, which is in `old`, with the guest's. The result is in `to`; its state and how many places
/// conflict is returned.
pub(super) fn lay_merged(
    contents: &mut dyn Contents,
    change: &Change,
    mode: u32,
    old: &Path,
    to: &Path,
) -> Result<(State, usize), ApplyError> {
    let path = &change.path;
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        return Err(ApplyError::Lie { path: path.clone() });
    };
    let not_merged = |source| ApplyError::NotMerged { path: path.clone(), source };
    let ours = fs::metadata(old).map_err(ApplyError::file(old))?.len();
    if [before.size, after.size, ours].iter().any(|size| *size > LARGEST) {
        return Err(not_merged(NotMerged::TooLarge));
    }
    let mut texts = [Vec::new(), Vec::new()];
    for (text, entry, is_base) in [(0, before, true), (1, after, false)] {
        let reader = if is_base { contents.base(path) } else { contents.open(path) };
        let reader = reader.map_err(ApplyError::content(path))?;
        reader.take(entry.size.saturating_add(1)).read_to_end(&mut texts[text]).map_err(ApplyError::content(path))?;
        if !is_content_of(&texts[text], entry) {
            return Err(ApplyError::Lie { path: path.clone() });
        }
    }
    let ours = fs::read(old).map_err(ApplyError::file(old))?;
    let merged = three_way(&texts[0], &ours, &texts[1]).map_err(not_merged)?;
    fs::write(to, &merged.bytes).map_err(ApplyError::file(to))?;
    let digest = hexadecimal(Sha256::digest(&merged.bytes).as_slice());
    Ok((State { kind: Kind::File, mode, size: merged.bytes.len() as u64, digest }, merged.conflicts))
}

/// A new file whose content is hashed while it is written.
struct Digesting {
    file: File,
    hasher: Sha256,
    size: u64,
}

impl Digesting {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: pyro_hostfs::write::private_file(path)?, hasher: Sha256::new(), size: 0 })
    }

    fn finish(self) -> (u64, String) {
        (self.size, hexadecimal(self.hasher.finalize().as_slice()))
    }
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
