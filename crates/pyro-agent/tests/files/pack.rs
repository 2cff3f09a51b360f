//! Archives of trees, read with another reader than the worker's.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use pyro_protocol::files::{Operation, Pack, Unpack, reason};
use tempfile::TempDir;

use crate::worker::{Said, Worker, ask, at, lossy};

pub fn pack(root: &Path, paths: &[&str]) -> Said {
    ask(root, Operation::Pack(Pack { paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect() }))
}

/// Names in an archive with their types and contents.
fn members(archive: &[u8]) -> Vec<(String, tar::EntryType, Vec<u8>)> {
    let mut members = Vec::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        members.push((lossy(&entry.path_bytes()), entry.header().entry_type(), content));
    }
    members
}

fn names(archive: &[u8]) -> Vec<String> {
    members(archive).into_iter().map(|(name, ..)| name).collect()
}

#[test]
fn trees_are_packed_in_order() {
    let root = TempDir::new().unwrap();
    fs::create_dir_all(root.path().join("b/empty")).unwrap();
    fs::write(root.path().join("b/file"), "content").unwrap();
    fs::write(root.path().join("a"), "").unwrap();
    symlink("/out/there", root.path().join("b/link")).unwrap();
    let said = pack(root.path(), &[""]);
    let members = members(&said.output);
    use tar::EntryType as Type;
    let expected = [
        ("a", Type::Regular, ""),
        ("b/", Type::Directory, ""),
        ("b/empty/", Type::Directory, ""),
        ("b/file", Type::Regular, "content"),
        ("b/link", Type::Symlink, ""),
    ];
    assert_eq!(members, expected.map(|(name, kind, content)| (name.into(), kind, content.into())));
    assert_eq!(said.output.len() % 512, 0);
    assert!(said.output.ends_with(&[0; 1024]));
    assert!(pack(root.path(), &[""]).output == said.output, "twice the same");
    assert_eq!(said.done().entries, 5);
}

#[test]
fn only_what_was_asked_for_is_packed() {
    let root = TempDir::new().unwrap();
    fs::create_dir_all(root.path().join("x/y")).unwrap();
    fs::write(root.path().join("x/y/file"), "").unwrap();
    fs::write(root.path().join("other"), "").unwrap();
    assert_eq!(names(&pack(root.path(), &["x/y/"]).output), ["x/y/", "x/y/file"]);
    assert_eq!(names(&pack(root.path(), &["./x//y/file", "other", "other"]).output), ["other", "x/y/file"]);
    assert_eq!(names(&pack(root.path(), &[]).output), [""; 0]);
    let none = pack(root.path(), &["other", "none"]);
    assert_eq!((none.output.len(), none.reason().as_str()), (0, reason::NOT_FOUND));
    assert_eq!(pack(root.path(), &["x/../other"]).reason(), reason::BAD_REQUEST);
    assert_eq!(pack(root.path(), &[".."]).reason(), reason::BAD_REQUEST);
}

#[test]
fn what_is_no_file_is_left_out_with_a_notice() {
    let root = TempDir::new().unwrap();
    let _socket = UnixListener::bind(root.path().join("socket")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join("pipe"), 0o600.into()).unwrap();
    fs::write(root.path().join("zebra"), "").unwrap();
    let said = pack(root.path(), &[""]);
    assert_eq!(names(&said.output), ["zebra"]);
    assert_eq!(said.noticed(), ["pipe", "socket"]);
    assert_eq!(said.end.map(|done| done.entries), Ok(1));
}

#[test]
fn other_readers_of_archives_understand_all_of_it() {
    let root = TempDir::new().unwrap();
    let long = "l".repeat(200);
    fs::create_dir_all(root.path().join(&long).join(&long)).unwrap();
    let file = root.path().join(&long).join(&long).join("file");
    fs::write(&file, "deep").unwrap();
    fs::hard_link(&file, root.path().join("zz hard")).unwrap();
    symlink(format!("{long}/{long}/file"), root.path().join("symlink")).unwrap();
    fs::write(at(root.path(), b"raw\xff"), "raw").unwrap();
    fs::write(at(root.path(), &[&b"\xfe"[..], &[b'r'; 150]].concat()), "long and raw").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o4711)).unwrap();
    let time = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_789);
    File::open(&file).unwrap().set_modified(time(1_000_000_000)).unwrap();
    let before = SystemTime::UNIX_EPOCH - Duration::from_millis(1_500);
    File::open(at(root.path(), b"raw\xff")).unwrap().set_modified(before).unwrap();
    sparse(&root.path().join("sparse"), 60);
    let archive = pack(root.path(), &[""]).output;
    let target = TempDir::new().unwrap();
    let tar = Command::new("tar").arg("-xpC").arg(target.path()).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut tar) = tar else {
        eprintln!("skipped: this host has no tar");
        return;
    };
    std::io::Write::write_all(&mut tar.stdin.take().unwrap(), &archive).unwrap();
    let output = tar.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", lossy(&output.stderr));
    assert_eq!(snapshot(target.path()), snapshot(root.path()));
    let metadata = fs::metadata(target.path().join("sparse")).unwrap();
    assert!(metadata.blocks() * 512 < metadata.len() / 2, "it is sparse");
}

/// A file with so many stretches of data, a hole behind each.
pub fn sparse(path: &Path, stretches: u64) {
    let file = File::create(path).unwrap();
    for number in 0..stretches {
        file.write_all_at(format!("stretch {number}").as_bytes(), number * 100_000).unwrap();
    }
    file.set_len(stretches * 100_000).unwrap();
}

/// What a name in a snapshot stands for.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// With the type.
    pub mode: u32,
    pub mtime: (i64, i64),
    /// Of a file, or the target of a link.
    pub content: Vec<u8>,
    /// The first name of the same file.
    pub first: Vec<u8>,
}

/// All that is in a directory, by name.
pub fn snapshot(root: &Path) -> BTreeMap<Vec<u8>, Seen> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut all = BTreeMap::new();
    let mut names: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    let mut paths = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                directories.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let content = match () {
            () if metadata.is_symlink() => fs::read_link(&path).unwrap().into_os_string().into_vec(),
            () if metadata.is_dir() => Vec::new(),
            () => fs::read(&path).unwrap(),
        };
        let first = names.entry(metadata.ino()).or_insert_with(|| name.clone()).clone();
        let mtime = (metadata.mtime(), metadata.mtime_nsec());
        all.insert(name, Seen { mode: metadata.mode(), mtime, content, first });
    }
    all
}

#[test]
fn a_sparse_file_takes_no_room_for_its_holes() {
    let root = TempDir::new().unwrap();
    sparse(&root.path().join("sparse"), 60);
    if fs::metadata(root.path().join("sparse")).unwrap().blocks() > 60 * 16 {
        eprintln!("skipped: the file system of temporary files has no holes");
        return;
    }
    let archive = pack(root.path(), &["sparse"]).output;
    assert!(archive.len() < 600_000, "{}", archive.len());
    assert!(members(&archive)[0].2 == fs::read(root.path().join("sparse")).unwrap());
    File::create(root.path().join("hole")).unwrap().set_len(1 << 40).unwrap();
    assert!(pack(root.path(), &["hole"]).output.len() < 4096);
}

#[test]
fn extended_attributes_are_in_the_archive() {
    let root = TempDir::new().unwrap();
    let file = File::create(root.path().join("file")).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::fsetxattr(&file, "user.note", b"a\0b", flags).is_err() {
        eprintln!("skipped: the file system of temporary files has no extended attributes");
        return;
    }
    let archive = pack(root.path(), &["file"]).output;
    let mut archive = tar::Archive::new(archive.as_slice());
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    let mut records = entry.pax_extensions().unwrap().unwrap().map(Result::unwrap);
    assert!(records.any(|it| it.key_bytes() == b"SCHILY.xattr.user.note" && it.value_bytes() == b"a\0b"));
    // Values with newlines, which this reader does not know, and the way back.
    rustix::fs::fsetxattr(&file, "user.note", b"a\n\0b\n", flags).unwrap();
    let to = TempDir::new().unwrap();
    let mut worker = Worker::start(to.path(), Operation::Unpack(Unpack::default()));
    worker.send(&pack(root.path(), &["file"]).output);
    worker.finish().done();
    let mut value = [0; 10];
    let length = rustix::fs::getxattr(to.path().join("file"), "user.note", &mut value).unwrap();
    assert_eq!(&value[..length], b"a\n\0b\n");
}

#[test]
fn an_archive_stays_well_formed_when_a_file_shrinks_or_grows_meanwhile() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("a");
    fs::write(root.path().join("b"), "behind it").unwrap();
    for new_length in [10, 40 << 20] {
        fs::write(&path, vec![1; 8 << 20]).unwrap();
        let said = crate::worker::paused(root.path(), Operation::Pack(Pack { paths: vec![Vec::new()] }), || {
            File::options().write(true).open(&path).unwrap().set_len(new_length).unwrap();
        });
        let members = members(&said.output);
        assert_eq!(members.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((members[0].2.len(), members[1].2.as_slice()), (8 << 20, &b"behind it"[..]));
        assert_eq!(said.noticed(), ["a"]);
        assert!(said.end.is_ok());
    }
}
