//! Changes as two trees of Git objects: what was seeded, and what the guest has. Only changed paths are in them.
//!
//! `git hash-object` makes the blobs, and `git mktree` the trees from the deepest directories up, all of one depth in
//! one process. (`git fast-import` would be one process, and refuses paths such as `.git/config` since Git 2.49.)

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use super::error::DiffError;
use super::program::Repository;
use crate::apply::{Change, Contents};
use crate::entry::{Entry, Kind};
use crate::undo::{hexadecimal, leaf, parent};

/// Git knows it without having it.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Before,
    After,
}

struct Blob<'a> {
    side: Side,
    path: &'a [u8],
    mode: &'static str,
}

/// Makes both trees and returns their names.
pub(super) fn trees(
    changes: &[Change],
    contents: &mut dyn Contents,
    repository: &Repository,
) -> Result<(String, String), DiffError> {
    let mut blobs = Vec::new();
    let mut list = Vec::new();
    for change in changes {
        let components = || change.path.split(|byte| *byte == b'/');
        if components().any(|name| matches!(name, b"" | b"." | b"..") || name.contains(&0)) {
            return Err(DiffError::Path { path: change.path.clone() });
        }
        for (side, entry) in [(Side::Before, &change.before), (Side::After, &change.after)] {
            let Some((entry, mode)) = entry.as_ref().and_then(|entry| Some((entry, mode_of(entry)?))) else { continue };
            let name = format!("blobs/{}", blobs.len());
            let file = File::create_new(repository.scratch.join(&name)).map_err(DiffError::Scratch)?;
            write(change, side, entry, contents, file)?;
            list.extend(format!("{name}\n").into_bytes());
            blobs.push(Blob { side, path: &change.path, mode });
        }
    }
    let names = lines(repository.run("hash-object", ["-w", "--no-filters", "--stdin-paths"], &list)?, blobs.len())?;
    let mut builder = Builder::new();
    for (blob, name) in blobs.iter().zip(names) {
        builder.add(blob, name)?;
    }
    builder.make(repository)
}

fn mode_of(entry: &Entry) -> Option<&'static str> {
    match entry.kind {
        Kind::Directory => None,
        Kind::Symlink => Some("120000 blob"),
        Kind::File if entry.mode & 0o100 != 0 => Some("100755 blob"),
        Kind::File => Some("100644 blob"),
    }
}

fn write(
    change: &Change,
    side: Side,
    entry: &Entry,
    contents: &mut dyn Contents,
    mut file: File,
) -> Result<(), DiffError> {
    let failed = |source| DiffError::Content { path: change.path.clone(), source };
    let reader: io::Result<Box<dyn Read + '_>> = match (side, entry.kind, &change.target) {
        (Side::Before, ..) => contents.base(&change.path),
        (Side::After, Kind::Symlink, Some(target)) => Ok(Box::new(&target[..])),
        (Side::After, ..) => contents.open(&change.path),
    };
    let mut reader = reader.map_err(failed)?.take(entry.size.saturating_add(1));
    let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        match reader.read(&mut buffer).map_err(failed)? {
            0 => break,
            read => {
                hasher.update(&buffer[..read]);
                size += read as u64;
                file.write_all(&buffer[..read]).map_err(DiffError::Scratch)?;
            }
        }
    }
    let honest = size == entry.size && hexadecimal(hasher.finalize().as_slice()) == entry.digest;
    if honest { Ok(()) } else { Err(DiffError::Lie { path: change.path.clone() }) }
}

/// The lines that Git answered; as many as were asked for.
fn lines(answer: Vec<u8>, expected: usize) -> Result<Vec<String>, DiffError> {
    let text = String::from_utf8_lossy(&answer);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let said = || format!("{} objects were made instead of {expected}", lines.len());
    if lines.len() == expected { Ok(lines) } else { Err(DiffError::Git { command: "hash-object", said: said() }) }
}

type Directory = BTreeMap<Vec<u8>, String>;

/// The directories of both trees, by side and path. An entry is its mode, type and object.
struct Builder {
    directories: BTreeMap<(Side, Vec<u8>), Directory>,
}

impl Builder {
    fn new() -> Self {
        Self { directories: BTreeMap::new() }
    }

    fn add(&mut self, blob: &Blob<'_>, name: String) -> Result<(), DiffError> {
        let wrong = || DiffError::Path { path: blob.path.to_owned() };
        let directory = self.directories.entry((blob.side, parent(blob.path).to_owned())).or_default();
        if directory.insert(leaf(blob.path).to_owned(), format!("{} {name}", blob.mode)).is_some() {
            return Err(wrong());
        }
        let mut above = parent(blob.path);
        while !above.is_empty() {
            self.directories.entry((blob.side, parent(above).to_owned())).or_default();
            above = parent(above);
        }
        Ok(())
    }

    fn make(mut self, repository: &Repository) -> Result<(String, String), DiffError> {
        let depth = |path: &[u8]| if path.is_empty() { 0 } else { path.split(|byte| *byte == b'/').count() };
        let deepest = self.directories.keys().map(|(_, path)| depth(path)).max().unwrap_or(0);
        let (mut before, mut after) = (EMPTY_TREE.to_owned(), EMPTY_TREE.to_owned());
        for level in (0..=deepest).rev() {
            let here: Vec<_> = self.directories.keys().filter(|(_, path)| depth(path) == level).cloned().collect();
            let described: Vec<Vec<u8>> = here.iter().map(|key| describe(&self.directories[key])).collect();
            // An empty record is between two trees.
            let answer = repository.run("mktree", ["-z", "--batch"], &described.join(&0))?;
            for ((side, path), name) in here.iter().zip(lines(answer, here.len())?) {
                match (path.is_empty(), side) {
                    (true, Side::Before) => before = name,
                    (true, Side::After) => after = name,
                    (false, side) => self.add_directory(*side, path, &name)?,
                }
            }
        }
        Ok((before, after))
    }

    fn add_directory(&mut self, side: Side, path: &[u8], name: &str) -> Result<(), DiffError> {
        let above = self.directories.entry((side, parent(path).to_owned())).or_default();
        let taken = above.insert(leaf(path).to_owned(), format!("040000 tree {name}"));
        if taken.is_some() { Err(DiffError::Path { path: path.to_owned() }) } else { Ok(()) }
    }
}

fn describe(directory: &Directory) -> Vec<u8> {
    directory.iter().flat_map(|(name, object)| [object.as_bytes(), b"\t", name, b"\0"].concat()).collect()
}
