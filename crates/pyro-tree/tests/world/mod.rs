//! What the tests share: trees as values, and raw tar blocks.
#![expect(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pyro_tree::manifest::Manifest;
use pyro_tree::pack::{PackOptions, Packed, Source};
use pyro_tree::receive::{Policy, Received, receive};

/// What a tree is: for each path its type and mode, time, content or target, and the first path of the same file.
pub type Tree = BTreeMap<Vec<u8>, (u32, i128, Vec<u8>, Vec<u8>)>;

/// Reads a tree. The root itself is not in it.
pub fn tree(root: &Path) -> Tree {
    let (mut tree, mut inodes) = (Tree::new(), BTreeMap::new());
    let mut paths = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                waiting.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let content = match () {
            () if metadata.is_file() => fs::read(&path).unwrap(),
            () if metadata.is_symlink() => fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec(),
            () => Vec::new(),
        };
        let first = inodes.entry(metadata.ino()).or_insert_with(|| name.clone()).clone();
        let mtime = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        tree.insert(name, (metadata.mode(), mtime, content, first));
    }
    tree
}

pub fn options() -> PackOptions {
    PackOptions { search_path: vec!["/usr/bin".into(), "/bin".into()], ..PackOptions::default() }
}

pub fn pack(source: &Path, options: &PackOptions) -> (Vec<u8>, Packed) {
    let mut bytes = Vec::new();
    let packed = Source::open(source, options).unwrap().write(&mut bytes, &mut |_| {}).unwrap();
    (bytes, packed)
}

pub fn keep_links() -> Policy {
    Policy { links: pyro_tree::receive::Links::Keep, ..Policy::default() }
}

pub fn take(bytes: &[u8], destination: &Path) -> Received {
    receive(&mut &bytes[..], destination, keep_links()).unwrap()
}

pub fn names(manifest: &Manifest) -> Vec<String> {
    manifest.entries().iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect()
}

/// Writes a file and the directories above it.
pub fn put(root: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// One member as bytes, as wrong as wanted.
#[derive(Clone)]
pub struct Raw {
    pub name: Vec<u8>,
    pub kind: u8,
    pub target: Vec<u8>,
    pub content: Vec<u8>,
    pub size: Vec<u8>,
    pub mode: Vec<u8>,
    pub mtime: Vec<u8>,
    pub magic: [u8; 8],
    /// Written over the block at these places, before the checksum.
    pub patches: Vec<(usize, Vec<u8>)>,
    pub checksum_off_by: u32,
}

pub fn raw(kind: u8, name: impl AsRef<[u8]>) -> Raw {
    Raw {
        name: name.as_ref().to_vec(),
        kind,
        target: Vec::new(),
        content: Vec::new(),
        size: Vec::new(),
        mode: b"0000644".to_vec(),
        mtime: b"00000000007".to_vec(),
        magic: *b"ustar  \0",
        patches: Vec::new(),
        checksum_off_by: 0,
    }
}

pub fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Raw {
    Raw { content: content.as_ref().to_vec(), ..raw(b'0', name) }
}

pub fn directory(name: impl AsRef<[u8]>) -> Raw {
    Raw { mode: b"0000755".to_vec(), ..raw(b'5', name) }
}

pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Raw {
    Raw { target: target.as_ref().to_vec(), ..raw(b'2', name) }
}

pub fn hard_link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Raw {
    Raw { target: target.as_ref().to_vec(), ..raw(b'1', name) }
}

/// A pax header for the next member.
pub fn pax(records: &[(&str, &[u8])]) -> Raw {
    Raw { content: records.iter().flat_map(|(key, value)| record(key, value)).collect(), ..raw(b'x', "PaxHeader") }
}

/// A long name for the next member.
pub fn long(kind: u8, name: impl AsRef<[u8]>) -> Raw {
    Raw { content: [name.as_ref(), b"\0"].concat(), ..raw(kind, "././@LongLink") }
}

pub fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|length| *length == rest + length.to_string().len()).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

impl Raw {
    pub fn bytes(&self) -> Vec<u8> {
        let mut block = vec![0; 512];
        let size = format!("{:011o}", self.content.len()).into_bytes();
        let fields: [(usize, &[u8]); 7] = [
            (0, &self.name),
            (100, &self.mode),
            (124, if self.size.is_empty() { &size } else { &self.size }),
            (136, &self.mtime),
            (148, b"        "),
            (157, &self.target),
            (257, &self.magic),
        ];
        let patches = self.patches.iter().map(|(at, bytes)| (*at, bytes.as_slice()));
        for (at, bytes) in fields.into_iter().chain(patches) {
            block[at..at + bytes.len()].copy_from_slice(bytes);
        }
        block[156] = self.kind;
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{:06o}\0 ", sum + self.checksum_off_by).as_bytes());
        block.extend(&self.content);
        block.resize(block.len().next_multiple_of(512), 0);
        block
    }
}

/// Members without the end of an archive.
pub fn open_ended(members: &[Raw]) -> Vec<u8> {
    members.iter().flat_map(Raw::bytes).collect()
}

pub fn archive(members: &[Raw]) -> Vec<u8> {
    [open_ended(members), vec![0; 1024]].concat()
}

/// All bytes of a reader.
pub fn all(mut reader: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}
