//! A tree that is packed and received is the same tree, and both manifests say so.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod world;

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use pyro_tree::entry::Kind;
use pyro_tree::manifest::Manifest;
use pyro_tree::pack::{Problem, Progress, Source};
use world::{names, options, pack, put, set_mode, take, tree};

#[derive(Clone, Debug)]
enum Node {
    File(Vec<u8>, u32),
    Directory(u32),
    Symlink(Vec<u8>),
    HardLink,
}

fn component() -> impl Strategy<Value = Vec<u8>> {
    let strange = proptest::collection::vec(any::<u8>().prop_filter("no name", |byte| !matches!(byte, 0 | b'/')), 1..5);
    let usual = prop_oneof![Just("a"), Just("b"), Just("a.b"), Just("-x"), Just("a b\n")]
        .prop_map(|name| name.as_bytes().to_vec());
    let long = (100usize..255).prop_map(|length| vec![b'n'; length]);
    prop_oneof![4 => usual, 2 => strange, 1 => long].prop_filter("no name", |name| name != b"." && name != b"..")
}

fn node() -> impl Strategy<Value = Node> {
    let mode = prop_oneof![Just(0o644u32), Just(0o755), Just(0o600), Just(0o444), Just(0o777)];
    let target = proptest::collection::vec(1u8.., 1..150);
    prop_oneof![
        3 => (proptest::collection::vec(any::<u8>(), 0..2000), mode).prop_map(|(content, mode)| Node::File(content, mode)),
        2 => prop_oneof![Just(0o755u32), Just(0o700), Just(0o775)].prop_map(Node::Directory),
        1 => target.prop_map(Node::Symlink),
        1 => Just(Node::HardLink),
    ]
}

/// Makes what can be made. A name that is taken, or below a file, is left out.
fn build(root: &Path, nodes: &[(Vec<Vec<u8>>, Node, i64)]) {
    let (mut first, mut directories) = (None, Vec::new());
    for (components, node, mtime_ns) in nodes {
        let path = components.iter().fold(root.to_owned(), |path, name| path.join(OsString::from_vec(name.clone())));
        let parent = path.parent().unwrap();
        if fs::create_dir_all(parent).is_err() || fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match (node, &first) {
            (Node::File(content, mode), _) => {
                fs::write(&path, content).unwrap();
                set_mode(&path, *mode);
                let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(*mtime_ns as u64);
                fs::File::open(&path).unwrap().set_modified(time).unwrap();
                first.get_or_insert(path);
            }
            (Node::Directory(mode), _) => {
                fs::create_dir(&path).unwrap();
                directories.push((path, *mode, *mtime_ns));
            }
            (Node::Symlink(target), _) => {
                std::os::unix::fs::symlink(OsString::from_vec(target.clone()), &path).unwrap()
            }
            (Node::HardLink, Some(first)) => fs::hard_link(first, &path).unwrap(),
            (Node::HardLink, None) => {}
        }
    }
    for (path, mode, mtime_ns) in directories.into_iter().rev() {
        set_mode(&path, mode);
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(mtime_ns as u64);
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_tree_arrives_as_it_was(
        nodes in proptest::collection::vec(
            (proptest::collection::vec(component(), 1..4), node(), 0..4_000_000_000_000_000_000i64), 0..14)
    ) {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        fs::create_dir(&from).unwrap();
        build(&from, &nodes);
        let (bytes, packed) = pack(&from, &options());
        prop_assert_eq!(&packed.notices, &[]);
        let received = take(&bytes, &to);
        prop_assert_eq!(tree(&to), tree(&from));
        prop_assert_eq!(received.manifest.entries(), packed.manifest.entries());
        prop_assert_eq!(packed.manifest.entries().len(), tree(&from).len());
        let (again, _) = pack(&to, &options());
        prop_assert!(again == bytes, "the same tree is the same stream");
    }

    #[test]
    fn any_change_of_a_stream_is_received_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let home = tempfile::tempdir().unwrap();
        put(home.path(), "from/a/b", "content");
        std::os::unix::fs::symlink("a", home.path().join("from/l")).unwrap();
        let (mut bytes, _) = pack(&home.path().join("from"), &options());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let before = tree(home.path());
        if pyro_tree::receive::receive(&mut &bytes[..], &home.path().join("to"), world::keep_links()).is_err() {
            prop_assert_eq!(tree(home.path()), before);
        }
    }
}

#[test]
fn times_before_1970_and_special_modes_are_sent() {
    let home = tempfile::tempdir().unwrap();
    let from = home.path().join("from");
    let path = put(&from, "old", "x");
    set_mode(&path, 0o4755);
    let time = SystemTime::UNIX_EPOCH - Duration::from_nanos(1_500_000_000);
    fs::File::open(&path).unwrap().set_modified(time).unwrap();
    let (bytes, packed) = pack(&from, &options());
    let entry = packed.manifest.get(b"old").unwrap();
    assert_eq!((entry.mtime_ns, entry.mode, entry.kind), (-1_500_000_000, 0o4755, Kind::File));
    let received = take(&bytes, &home.path().join("to"));
    assert_eq!(received.manifest.get(b"old").unwrap().mtime_ns, -1_500_000_000);
    assert_eq!(received.notices[0].problem, Problem::ModeBits);
    assert_eq!(fs::metadata(home.path().join("to/old")).unwrap().mtime_nsec(), 500_000_000);
}

#[test]
fn twenty_thousand_files_arrive_and_progress_is_told_now_and_then() {
    let home = tempfile::tempdir().unwrap();
    let from = home.path().join("from");
    for directory in 0..200 {
        let directory = from.join(format!("d{directory}"));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..100 {
            fs::write(directory.join(file.to_string()), file.to_string()).unwrap();
        }
    }
    let (mut bytes, mut told) = (Vec::new(), Vec::new());
    let source = Source::open(&from, &options()).unwrap();
    let packed = source.write(&mut bytes, &mut |progress| told.push(progress)).unwrap();
    assert_eq!(told.len(), 21, "each 1,000 of 20,200 entries, and the end");
    assert_eq!(*told.last().unwrap(), Progress { entries: 20_200, bytes: 190 * 200 });
    let received = take(&bytes, &home.path().join("to"));
    assert_eq!((received.manifest.entries().len(), received.manifest.entries()), (20_200, packed.manifest.entries()));
    let path = home.path().join("manifest");
    packed.manifest.write(&path).unwrap();
    assert_eq!(Manifest::read(&path).unwrap(), packed.manifest);
}

#[test]
fn a_sparse_gigabyte_stays_sparse() {
    use std::os::unix::fs::FileExt;
    let home = tempfile::tempdir().unwrap();
    let from = home.path().join("from");
    let path = put(&from, "disk", "");
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    for piece in 0..60u64 {
        file.write_all_at(&[b'x'; 5000], (piece * 16 + 1) << 20).unwrap();
    }
    if fs::metadata(&path).unwrap().blocks() > 1 << 16 {
        println!("skipped: this file system has no sparse files");
        return;
    }
    let (bytes, packed) = pack(&from, &options());
    assert!(bytes.len() < 1 << 20, "{} bytes", bytes.len());
    for name in ["to", "to.tar", "to.tar.zst"] {
        let received = take(&bytes, &home.path().join(name));
        assert_eq!(received.manifest.entries(), packed.manifest.entries());
        assert_eq!(received.bytes, 60 * 8192);
    }
    let metadata = fs::metadata(home.path().join("to/disk")).unwrap();
    assert_eq!(metadata.len(), 1 << 30);
    assert!(metadata.blocks() <= 2 * 60 * 16, "{} blocks", metadata.blocks());
    let (again, _) = pack(&home.path().join("to"), &options());
    assert!(again == bytes, "the same bytes and the same holes");
    assert!(fs::metadata(home.path().join("to.tar.zst")).unwrap().len() < 1 << 17);
}

#[test]
fn sockets_and_pipes_are_notices() {
    let home = tempfile::tempdir().unwrap();
    let from = home.path().join("from");
    put(&from, "file", "x");
    let _socket = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, from.join("pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let (bytes, packed) = pack(&from, &options());
    let problems: Vec<_> = packed.notices.iter().map(|notice| notice.to_string()).collect();
    assert_eq!(problems, ["\"pipe\": fifo", "\"socket\": socket"]);
    assert_eq!(names(&packed.manifest), ["file"]);
    assert_eq!(take(&bytes, &home.path().join("to")).manifest.entries(), packed.manifest.entries());
}

#[test]
fn what_may_not_be_read_is_a_notice() {
    if rustix::process::geteuid().is_root() {
        println!("skipped: root may read everything");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let from = home.path().join("from");
    set_mode(&put(&from, "locked", "x"), 0);
    put(&from, "open", "x");
    put(&from, "directory/file", "x");
    set_mode(&from.join("directory"), 0o311);
    let (_, packed) = pack(&from, &options());
    assert_eq!(
        packed.notices.iter().map(|notice| notice.problem.word()).collect::<Vec<_>>(),
        ["unreadable", "unreadable"]
    );
    assert_eq!(names(&packed.manifest), ["directory", "open"]);
    set_mode(&from.join("directory"), 0o755);
}
