//! Packing a tree and unpacking the archive gives the same tree.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use pyro_protocol::files::{Operation, Unpack};
use tempfile::TempDir;

use crate::pack::{pack, snapshot};
use crate::worker::{Worker, at};

#[derive(Clone, Debug)]
enum Node {
    File {
        content: Vec<(u32, Vec<u8>)>,
        mode: u32,
        mtime: (i32, u32),
    },
    Symlink {
        target: Vec<u8>,
    },
    /// Another name of a file that has one already, if there is any.
    HardLink {
        which: prop::sample::Index,
    },
    Directory {
        mode: u32,
        mtime: (i32, u32),
        entries: BTreeMap<Vec<u8>, Node>,
    },
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => b'a'..=b'c', 1 => 1_u8..=255].prop_map(|byte| if byte == b'/' { b'x' } else { byte });
    let length = prop_oneof![8 => 1..6_usize, 1 => 95..110_usize, 1 => 250..=255_usize];
    let name = length.prop_flat_map(move |length| prop::collection::vec(byte.clone(), length));
    name.prop_filter("a name", |name| !matches!(name.as_slice(), b"." | b".."))
}

fn mtime() -> impl Strategy<Value = (i32, u32)> {
    (any::<i32>(), prop_oneof![Just(0), 0..1_000_000_000_u32])
}

fn node() -> impl Strategy<Value = Node> {
    let piece = (0..300_000_u32, prop::collection::vec(any::<u8>(), 0..600));
    let file = (prop::collection::vec(piece, 0..4), 0..0o10000_u32, mtime());
    let file = file.prop_map(|(content, mode, mtime)| Node::File { content, mode, mtime });
    let target = prop_oneof![8 => 1..20_usize, 1 => 95..110_usize, 1 => 1000..4000_usize]
        .prop_flat_map(|length| prop::collection::vec(1_u8..=255, length));
    let leaf = prop_oneof![
        4 => file,
        1 => target.prop_map(|target| Node::Symlink { target }),
        1 => any::<prop::sample::Index>().prop_map(|which| Node::HardLink { which }),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        let entries = prop::collection::btree_map(name(), inner, 0..6);
        (0..0o10000_u32, mtime(), entries).prop_map(|(mode, mtime, entries)| Node::Directory {
            mode: mode | 0o700,
            mtime,
            entries,
        })
    })
}

fn set(path: &Path, mode: u32, (seconds, nanoseconds): (i32, u32)) {
    let file = File::open(path).unwrap();
    let whole = Duration::from_secs(u64::from(seconds.unsigned_abs()));
    let epoch = SystemTime::UNIX_EPOCH;
    let time = if seconds < 0 { epoch - whole } else { epoch + whole } + Duration::from_nanos(nanoseconds.into());
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn make(directory: &Path, entries: &BTreeMap<Vec<u8>, Node>, files: &mut Vec<std::path::PathBuf>) {
    for (name, node) in entries {
        let path = at(directory, name);
        match node {
            Node::File { content, mode, mtime } => {
                // Owners may always read and write here, so that the test needs no rights.
                let file = File::create(&path).unwrap();
                content.iter().for_each(|(offset, data)| file.write_all_at(data, (*offset).into()).unwrap());
                set(&path, mode | 0o600, *mtime);
                files.push(path);
            }
            Node::Symlink { target } => symlink(at(Path::new(""), target), &path).unwrap(),
            Node::HardLink { .. } if files.is_empty() => {}
            Node::HardLink { which } => fs::hard_link(which.get(files), &path).unwrap(),
            Node::Directory { mode, mtime, entries } => {
                fs::create_dir(&path).unwrap();
                make(&path, entries, files);
                set(&path, *mode, *mtime);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn unpack_of_pack_is_the_same_tree(entries in prop::collection::btree_map(name(), node(), 0..6)) {
        let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        make(from.path(), &entries, &mut Vec::new());
        let packed = pack(from.path(), &[""]);
        prop_assert!(packed.notices.is_empty(), "{:?}", packed.notices);
        let mut worker = Worker::start(to.path(), Operation::Unpack(Unpack::default()));
        worker.send(&packed.output);
        let unpacked = worker.finish().done();
        prop_assert_eq!(unpacked.entries, packed.done().entries);
        prop_assert_eq!(snapshot(to.path()), snapshot(from.path()));
    }
}
