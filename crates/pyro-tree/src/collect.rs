//! Entries for a manifest, gathered while members pass by.

use std::collections::BTreeMap;

use crate::archive::member::{Member, Type};
use crate::digest;
use crate::entry::{Entry, Kind};
use crate::name;

/// Lives as long as one archive is read or written. A later entry replaces an earlier one of the same path.
#[derive(Debug, Default)]
pub(crate) struct Collected(BTreeMap<Vec<u8>, Entry>);

impl Collected {
    /// A member that passed its checks, and the digest of its content if it is a file. The root is no entry.
    pub fn add(&mut self, member: &Member, digest: Option<String>) {
        if member.path.is_empty() {
            return;
        }
        let path = member.path.clone();
        let entry = |kind, size, digest| Entry {
            path: path.clone(),
            kind,
            mode: member.mode,
            size,
            digest,
            mtime_ns: member.mtime_ns,
        };
        let entry = match member.kind {
            Type::File => entry(Kind::File, member.size, digest.unwrap_or_default()),
            Type::Directory => entry(Kind::Directory, 0, String::new()),
            Type::Symlink => entry(Kind::Symlink, member.target.len() as u64, digest::of(&member.target)),
            Type::HardLink => {
                let target = name::clean(&member.target).expect("a hard link was checked before it passed");
                let first = self.0.get(&target).expect("a hard link passes after the file that it names");
                Entry { path: path.clone(), ..first.clone() }
            }
        };
        self.0.insert(path, entry);
    }

    /// The entries, sorted by path.
    pub fn entries(self) -> Vec<Entry> {
        self.0.into_values().collect()
    }
}
