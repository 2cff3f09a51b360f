//! Trees as values: written to a directory, and compared into changes; and a guest that has them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use pyro_tree::apply::{Change, Contents};
use pyro_tree::entry::{Entry, Kind};
use sha2::{Digest, Sha256};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    File(Vec<u8>, u32),
    Directory(u32),
    Link(Vec<u8>),
}

pub type Tree = BTreeMap<Vec<u8>, Node>;

pub fn file(content: &str) -> Node {
    Node::File(content.as_bytes().to_vec(), 0o644)
}

pub fn directory() -> Node {
    Node::Directory(0o755)
}

pub fn link(target: &str) -> Node {
    Node::Link(target.as_bytes().to_vec())
}

pub fn tree(nodes: &[(&str, Node)]) -> Tree {
    nodes.iter().map(|(path, node)| (path.as_bytes().to_vec(), node.clone())).collect()
}

pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn entry(path: &[u8], node: &Node) -> Entry {
    let (kind, mode, bytes): (_, _, &[u8]) = match node {
        Node::File(content, mode) => (Kind::File, *mode, content),
        Node::Directory(mode) => (Kind::Directory, *mode, b""),
        Node::Link(target) => (Kind::Symlink, 0o777, target),
    };
    let digest = if kind == Kind::Directory { String::new() } else { digest(bytes) };
    Entry { path: path.to_vec(), kind, mode, size: bytes.len() as u64, digest, mtime_ns: 0 }
}

pub fn change(path: &[u8], before: Option<&Node>, after: Option<&Node>) -> Change {
    let target = after.and_then(|node| if let Node::Link(target) = node { Some(target.clone()) } else { None });
    let of = |node: Option<&Node>| node.map(|node| entry(path, node));
    Change { path: path.to_vec(), before: of(before), after: of(after), target }
}

pub fn changes(before: &Tree, after: &Tree) -> Vec<Change> {
    let mut paths: Vec<_> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    let differs = |path: &&&Vec<u8>| before.get(**path) != after.get(**path);
    paths.iter().filter(differs).map(|path| change(path, before.get(*path), after.get(*path))).collect()
}

pub fn at(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path))
}

pub fn write(root: &Path, tree: &Tree) {
    for (path, node) in tree {
        let place = at(root, path);
        match node {
            Node::File(content, mode) => {
                fs::write(&place, content).unwrap();
                fs::set_permissions(&place, fs::Permissions::from_mode(*mode)).unwrap();
            }
            Node::Directory(mode) => {
                fs::create_dir(&place).unwrap();
                fs::set_permissions(&place, fs::Permissions::from_mode(*mode)).unwrap();
            }
            Node::Link(target) => symlink(OsStr::from_bytes(target), &place).unwrap(),
        }
    }
}

/// The guest, and what it was given.
pub struct Guest {
    pub base: Tree,
    pub now: Tree,
    pub opened: Vec<Vec<u8>>,
}

fn content_of(node: Option<&Node>) -> io::Result<Box<dyn Read + '_>> {
    match node {
        Some(Node::File(bytes, _) | Node::Link(bytes)) => Ok(Box::new(&bytes[..])),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

impl Contents for Guest {
    fn open(&mut self, path: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        self.opened.push(path.to_vec());
        content_of(self.now.get(path))
    }

    fn base(&mut self, path: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        content_of(self.base.get(path))
    }
}
