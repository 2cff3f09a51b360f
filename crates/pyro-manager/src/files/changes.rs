//! What changed in a workspace since it was seeded: asked of the guest, with the contents of what changed.
//!
//! ```text
//! Changes (names, kinds, digests) ─▶ the changed files, old and new, packed and received in a private directory
//!                                 ─▶ a diff by the host's Git, or taken over into a tree of the host
//! ```
//!
//! It costs by what was changed. Nothing of it is trusted: contents are verified by digest when they are used.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pyro_guest::files::{
    Change as Told, Changes, Entry as Seen, Kind as Kinds, Operation, Pack, Reply, SEED, WORKSPACE,
};
use pyro_tree::apply::{Change, Contents};
use pyro_tree::entry::{Entry, Kind};
use pyro_tree::receive::{Links, Policy};
use tokio::sync::mpsc;

use super::answers::FileReplies;
use super::call::{FileCall, FileIo};
use super::input::FileInput;
use super::trees::{receive_from, received};
use crate::error::{Error, host};
use crate::pyro::Pyro;

/// Bytes of paths in one request; a message to the guest has at most 64 KiB.
const MAX_PATHS: usize = 40 * 1024;
/// Changes at most. More are a tree that is better exported.
const MAX_CHANGES: u64 = 200_000;

/// Changes, and their contents in a private directory that is removed with this.
pub(super) struct ChangeSet {
    pub changes: Vec<Change>,
    pub contents: Fetched,
}

/// Contents that were fetched. Links' targets are in memory.
pub(super) struct Fetched {
    scratch: tempfile::TempDir,
    new: HashMap<Vec<u8>, PathBuf>,
    old: HashMap<Vec<u8>, PathBuf>,
    new_links: HashMap<Vec<u8>, Vec<u8>>,
    old_links: HashMap<Vec<u8>, Vec<u8>>,
}

impl Fetched {
    /// A private directory, for work on the contents.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    fn read<'a>(
        files: &HashMap<Vec<u8>, PathBuf>,
        links: &'a HashMap<Vec<u8>, Vec<u8>>,
        path: &[u8],
    ) -> io::Result<Box<dyn Read + 'a>> {
        match (files.get(path), links.get(path)) {
            (Some(file), _) => Ok(Box::new(File::open(file)?)),
            (None, Some(target)) => Ok(Box::new(Cursor::new(target.as_slice()))),
            (None, None) => Err(io::Error::new(io::ErrorKind::NotFound, "the guest did not send its content")),
        }
    }
}

impl Contents for Fetched {
    fn open(&mut self, path: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        Self::read(&self.new, &self.new_links, path)
    }

    fn base(&mut self, path: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        Self::read(&self.old, &self.old_links, path)
    }
}

impl Pyro {
    /// What changed in the workspace of a task since its seed, below these paths; none for all of it.
    /// What is in a `.git` directory is left out, as Git's own diff does, unless one of the paths names it.
    pub(super) async fn told_changes(&self, task_id: &str, paths: &[String], io: &FileIo) -> Result<Vec<Told>, Error> {
        let below = paths.iter().map(|path| below_workspace(path)).collect::<Result<_, _>>()?;
        let operation = Operation::Changes(Changes { paths: below, max_entries: MAX_CHANGES });
        let call = FileCall { task_id: task_id.into(), root: b"/".to_vec(), operation };
        let mut replies = FileReplies::default();
        let done = self.task_file(call, FileInput::None, &mut replies, io).await?;
        if done.truncated {
            let problem = format!("more than {MAX_CHANGES} files changed; name paths, or export the workspace");
            return Err(Error::InvalidArgument { problem });
        }
        let told = replies.found.into_iter().filter_map(|reply| match reply {
            Reply::Change(change) => Some(change),
            Reply::Entry(_) | Reply::Match(_) => None,
        });
        let asked_for = paths.iter().any(|path| is_git(path.as_bytes()));
        Ok(told.filter(|change| asked_for || !is_git(&change.path)).collect())
    }

    /// The same with contents.
    pub(super) async fn change_set(&self, task_id: &str, told: Vec<Told>, io: &FileIo) -> Result<ChangeSet, Error> {
        let parent = self.config().scratch.clone();
        let scratch = tempfile::Builder::new().prefix("pyro-changes-").tempdir_in(parent);
        let scratch = scratch.map_err(host("make a private directory for the changes"))?;
        let file = |entry: &&Option<Seen>| entry.as_ref().is_some_and(|entry| entry.kind() == Kinds::File);
        let new: Vec<Vec<u8>> = told.iter().filter(|told| file(&&told.after)).map(|told| told.path.clone()).collect();
        let old: Vec<Vec<u8>> = told.iter().filter(|told| file(&&told.before)).map(|told| told.path.clone()).collect();
        let links = |of: fn(&Told) -> &Option<Seen>| {
            let linked = told.iter().filter_map(|told| Some((told.path.clone(), of(told).as_ref()?)));
            let linked = linked.filter(|(_, entry)| entry.kind() == Kinds::Symlink);
            linked.map(|(path, entry)| (path, entry.link_target.clone())).collect::<HashMap<_, _>>()
        };
        let contents = Fetched {
            new: self.fetch(task_id, WORKSPACE, new, &scratch.path().join("new"), io).await?,
            old: self.fetch(task_id, SEED, old, &scratch.path().join("old"), io).await?,
            new_links: links(|told| &told.after),
            old_links: links(|told| &told.before),
            scratch,
        };
        Ok(ChangeSet { changes: told.into_iter().filter_map(change).collect(), contents })
    }

    /// Fetches regular files below a root of the guest. Says where each is.
    async fn fetch(
        &self,
        task_id: &str,
        root: &str,
        paths: Vec<Vec<u8>>,
        into: &Path,
        io: &FileIo,
    ) -> Result<HashMap<Vec<u8>, PathBuf>, Error> {
        std::fs::create_dir(into).map_err(host("make a private directory for the changes"))?;
        let mut places = HashMap::new();
        for (number, paths) in in_groups(paths).into_iter().enumerate() {
            let directory = into.join(number.to_string());
            places.extend(paths.iter().map(|path| (path.clone(), directory.join(std::ffi::OsStr::from_bytes(path)))));
            let (mut sender, receiver) = mpsc::channel::<Bytes>(8);
            let policy = Policy { links: Links::Skip, ..Policy::default() };
            let receiving = receive_from(receiver, directory, policy);
            let call = FileCall {
                task_id: task_id.into(),
                root: root.as_bytes().to_vec(),
                operation: Operation::Pack(Pack { paths }),
            };
            let packed = self.task_file(call, FileInput::None, &mut sender, io).await;
            drop(sender);
            received(packed, receiving.await)?;
        }
        Ok(places)
    }
}

/// Whether a path leads into a `.git` directory, or names one.
fn is_git(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|component| component == b".git")
}

/// Groups of paths, each small enough for one request.
fn in_groups(paths: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let (mut groups, mut bytes) = (Vec::<Vec<Vec<u8>>>::new(), 0);
    for path in paths {
        let cost = path.len() + 8;
        match groups.last_mut() {
            Some(group) if bytes + cost <= MAX_PATHS => {
                bytes += cost;
                group.push(path);
            }
            _ => {
                bytes = cost;
                groups.push(vec![path]);
            }
        }
    }
    groups
}

/// A path of the caller's, relative to the workspace.
fn below_workspace(path: &str) -> Result<Vec<u8>, Error> {
    let below = match path.strip_prefix(WORKSPACE) {
        Some("") => "",
        Some(below) if below.starts_with('/') => below.trim_start_matches('/'),
        _ if path.starts_with('/') => {
            return Err(Error::InvalidArgument { problem: format!("{path} is not below {WORKSPACE}") });
        }
        _ => path,
    };
    Ok(below.trim_end_matches('/').as_bytes().to_vec())
}

/// A change as the host's trees know it; `None` where neither side is a file, a directory or a link.
pub(super) fn change(told: Told) -> Option<Change> {
    let target =
        told.after.as_ref().filter(|after| after.kind() == Kinds::Symlink).map(|after| after.link_target.clone());
    let (before, after) = (entry(&told.path, told.before), entry(&told.path, told.after));
    (before.is_some() || after.is_some()).then_some(Change { path: told.path, before, after, target })
}

fn entry(path: &[u8], seen: Option<Seen>) -> Option<Entry> {
    let seen = seen?;
    let (kind, digest) = match seen.kind() {
        Kinds::File => (Kind::File, seen.digest.clone()),
        Kinds::Directory => (Kind::Directory, String::new()),
        Kinds::Symlink => (Kind::Symlink, pyro_hostfs::digest::hex_of_bytes(&seen.link_target)),
        Kinds::Other | Kinds::Unknown => return None,
    };
    let size = if kind == Kind::Directory { 0 } else { seen.size };
    Some(Entry { path: path.to_vec(), kind, mode: seen.mode & 0o7777, size, digest, mtime_ns: seen.mtime_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stay_small_and_nothing_is_left_out() {
        let paths: Vec<Vec<u8>> = (0..5000).map(|number| format!("{number:0>200}").into_bytes()).collect();
        let groups = in_groups(paths.clone());
        assert!(groups.iter().all(|group| group.iter().map(|path| path.len() + 8).sum::<usize>() <= MAX_PATHS));
        assert_eq!(groups.concat(), paths);
        assert_eq!(in_groups(Vec::new()), Vec::<Vec<Vec<u8>>>::new());
    }

    #[test]
    fn paths_are_below_the_workspace() {
        assert_eq!(below_workspace("src/").unwrap(), b"src");
        assert_eq!(below_workspace("/workspace/src").unwrap(), b"src");
        assert_eq!(below_workspace("/workspace").unwrap(), b"");
        assert!(below_workspace("/etc").is_err() && below_workspace("/workspaces").is_err());
    }
}
