//! Whether a name stands for what it stood for.

use std::fs::File;
use std::io::{self, Read};

use pyro_protocol::files::{Change, Entry};
use rustix::fs::FileType;

use super::digest;
use super::failure::{At, Result};
use super::list::entry_of;
use super::read::check_regular;
use super::walk::Item;

/// Bytes that are compared at once.
const PIECE: u64 = 128 << 10;

/// A name in two trees; in one of them at least.
pub struct Pair {
    pub path: Vec<u8>,
    pub before: Option<Item>,
    pub after: Option<Item>,
}

impl Pair {
    pub fn has_directory(&self) -> bool {
        [&self.before, &self.after].into_iter().flatten().any(Item::is_directory)
    }

    /// The change, if it is one, and how many bytes were read to know.
    pub fn difference(&self) -> Result<(Option<Change>, u64)> {
        let mut bytes = 0;
        let has_same_content = match (&self.before, &self.after) {
            (Some(before), Some(after)) => self.is_same_content(before, after, &mut bytes)?,
            _ => false,
        };
        let mode = |item: &Option<Item>| item.as_ref().map(|item| item.stat.st_mode);
        if has_same_content && mode(&self.before) == mode(&self.after) {
            return Ok((None, bytes));
        }
        let before = self.before.as_ref().map(|item| self.told(item, None, &mut bytes)).transpose()?;
        let known = before.as_ref().filter(|_| has_same_content);
        let after = self.after.as_ref().map(|item| self.told(item, known, &mut bytes)).transpose()?;
        Ok((Some(Change { path: self.path.clone(), before, after }), bytes))
    }

    fn is_same_content(&self, before: &Item, after: &Item, bytes: &mut u64) -> Result<bool> {
        if before.kind() != after.kind() {
            return Ok(false);
        }
        match before.kind() {
            FileType::RegularFile if before.stat.st_size != after.stat.st_size => Ok(false),
            FileType::RegularFile => has_same_bytes(self.open(before)?, self.open(after)?, bytes).at(&self.path),
            FileType::Symlink => Ok(entry_of(before).link_target == entry_of(after).link_target),
            FileType::CharacterDevice | FileType::BlockDevice => Ok(before.stat.st_rdev == after.stat.st_rdev),
            _ => Ok(true),
        }
    }

    /// What is known of one. One of the same content may be known already.
    fn told(&self, item: &Item, known: Option<&Entry>, bytes: &mut u64) -> Result<Entry> {
        let mut entry = Entry { path: Vec::new(), ..entry_of(item) };
        if item.kind() == FileType::RegularFile {
            (entry.digest, entry.size) = match known {
                Some(known) => (known.digest.clone(), known.size),
                None => {
                    let (digest, size) = digest::of(self.open(item)?).at(&self.path)?;
                    *bytes += size;
                    (digest, size)
                }
            };
        }
        Ok(entry)
    }

    fn open(&self, item: &Item) -> Result<File> {
        check_regular(item.open().at(&self.path)?, &self.path)
    }
}

fn has_same_bytes(mut one: impl Read, mut other: impl Read, bytes: &mut u64) -> io::Result<bool> {
    let (mut this, mut that) = (Vec::new(), Vec::new());
    loop {
        this.clear();
        that.clear();
        one.by_ref().take(PIECE).read_to_end(&mut this)?;
        other.by_ref().take(PIECE).read_to_end(&mut that)?;
        *bytes += (this.len() + that.len()) as u64;
        if this != that {
            return Ok(false);
        }
        if this.is_empty() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_up_to_the_end_of_both() {
        let same = |one: &[u8], other: &[u8]| has_same_bytes(one, other, &mut 0).unwrap();
        let long = vec![7; 2 * PIECE as usize];
        let mut differs = long.clone();
        *differs.last_mut().unwrap() = 8;
        assert!(same(b"", b"") && same(&long, &long));
        assert!(!same(&long, &differs) && !same(&long, &long[1..]) && !same(b"", b"x"));
    }
}
