//! A host's directory and a guest, and trees read from directories.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use pyro_tree::apply::{Application, Applied, ApplyError, Change, Plan, carry_out};
use pyro_tree::undo::{NoSteps, Steps};

pub use crate::trees::*;

pub fn read(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut open = vec![Vec::new()];
    while let Some(directory) = open.pop() {
        for item in fs::read_dir(at(root, &directory)).unwrap() {
            let item = item.unwrap();
            let mut path: Vec<u8> = directory.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(item.file_name().as_bytes());
            let metadata = item.metadata().unwrap();
            let mode = metadata.permissions().mode() & 0o7777;
            let node = if metadata.is_dir() {
                open.push(path.clone());
                Node::Directory(mode)
            } else if metadata.is_symlink() {
                Node::Link(fs::read_link(item.path()).unwrap().as_os_str().as_bytes().to_vec())
            } else {
                Node::File(fs::read(item.path()).unwrap(), mode)
            };
            found.insert(path, node);
        }
    }
    found
}

/// A tree on the host, a guest that was seeded with it, and a canary beside the tree.
pub struct World {
    pub base: tempfile::TempDir,
    pub guest: Guest,
}

impl World {
    pub fn new(base: Tree, now: Tree) -> Self {
        // In memory where that is possible: these tests flush thousands of files.
        let memory = tempfile::tempdir_in("/dev/shm");
        let directory = memory.or_else(|_| tempfile::tempdir()).unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        fs::create_dir(directory.path().join("outside")).unwrap();
        fs::write(directory.path().join("outside/canary"), "alive").unwrap();
        write(&directory.path().join("root"), &base);
        Self { base: directory, guest: Guest { base, now, opened: Vec::new() } }
    }

    pub fn root(&self) -> PathBuf {
        self.base.path().join("root")
    }

    pub fn undo(&self) -> PathBuf {
        self.base.path().join("undo")
    }

    pub fn changes(&self) -> Vec<Change> {
        changes(&self.guest.base, &self.guest.now)
    }

    pub fn plan(&self) -> Plan {
        pyro_tree::apply::plan(&self.root(), self.changes(), &Default::default()).unwrap()
    }

    pub fn carry_out(&mut self, plan: &Plan) -> Result<Applied, ApplyError> {
        self.carry_out_with(plan, &NoSteps)
    }

    pub fn carry_out_with(&mut self, plan: &Plan, steps: &dyn Steps) -> Result<Applied, ApplyError> {
        let undo = self.undo();
        carry_out(plan, &mut self.guest, &Application { undo_directory: &undo, now: UNIX_EPOCH, steps })
    }

    pub fn tree(&self) -> Tree {
        let canary = tree(&[("canary", file("alive"))]);
        assert_eq!(read(&self.base.path().join("outside")), canary, "what is outside");
        read(&self.root())
    }
}
