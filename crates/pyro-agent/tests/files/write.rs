//! New content: whole or not at all.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use pyro_protocol::files::{ABSENT, Operation, Write, reason};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::worker::{Said, Worker, ask_with};

fn write(path: &str) -> Write {
    Write { path: path.into(), ..Write::default() }
}

fn put(root: &Path, request: Write, data: &[u8]) -> Said {
    ask_with(root, Operation::Write(request), data)
}

fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Names in a directory: nothing else may be left behind.
fn names(root: &Path) -> Vec<String> {
    let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_new_file_has_its_content_and_the_usual_mode() {
    let root = TempDir::new().unwrap();
    let data = vec![7; 300_000];
    let done = put(root.path(), write("new"), &data).done();
    assert_eq!((done.bytes, done.entries, done.digest), (300_000, 1, sha256(&data)));
    assert!(fs::read(root.path().join("new")).unwrap() == data);
    assert_eq!(mode(&root.path().join("new")), 0o644);
    assert_eq!(names(root.path()), ["new"]);
    assert_eq!(put(root.path(), write("empty"), b"").done().bytes, 0);
    assert_eq!(fs::read(root.path().join("empty")).unwrap(), b"");
}

#[test]
fn a_file_that_is_replaced_keeps_its_mode_and_owner_unless_asked() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("tool");
    fs::write(&path, "old").unwrap();
    let gives_away = std::os::unix::fs::chown(&path, Some(12), Some(34)).is_ok();
    fs::set_permissions(&path, Permissions::from_mode(0o4750)).unwrap();
    put(root.path(), write("tool"), b"new").done();
    assert_eq!(mode(&path), 0o4750);
    if gives_away {
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (12, 34));
    }
    put(root.path(), Write { mode: Some(0o600), ..write("tool") }, b"newer").done();
    assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, b"newer".to_vec()));
}

#[test]
fn who_has_the_old_file_open_keeps_it() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    fs::write(&path, "old").unwrap();
    let open = fs::File::open(&path).unwrap();
    put(root.path(), write("file"), b"new").done();
    assert_eq!(std::io::read_to_string(open).unwrap(), "old");
}

#[test]
fn input_that_ends_anywhere_before_its_end_mark_changes_nothing() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("file"), "old").unwrap();
    for data in [&b""[..], b"\x04\0", b"\x04\0\0\0ne", b"\x03\0\0\0new"] {
        for path in ["file", "new"] {
            let mut worker = Worker::start(root.path(), Operation::Write(write(path)));
            worker.send(data);
            assert_eq!(worker.finish().reason(), reason::INCOMPLETE, "{data:?}");
        }
        assert_eq!(fs::read(root.path().join("file")).unwrap(), b"old", "{data:?}");
        assert_eq!(names(root.path()), ["file"], "{data:?}");
    }
}

#[test]
fn a_worker_that_is_killed_leaves_nothing_behind() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("file"), "old").unwrap();
    let mut worker = Worker::start(root.path(), Operation::Write(write("file")));
    // More than pipes hold: the worker has begun to write it when this returns.
    (0..3).for_each(|_| worker.send_piece(&vec![1; 1 << 20]));
    worker.kill();
    assert_eq!(fs::read(root.path().join("file")).unwrap(), b"old");
    assert_eq!(names(root.path()), ["file"]);
}

#[test]
fn a_piece_of_absurd_length_is_a_bad_request() {
    let root = TempDir::new().unwrap();
    let mut worker = Worker::start(root.path(), Operation::Write(write("file")));
    worker.send(&[0xff; 4]);
    assert_eq!(worker.finish().reason(), reason::BAD_REQUEST);
    assert_eq!(names(root.path()), [""; 0]);
}

#[test]
fn a_file_that_is_not_as_expected_stays() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    fs::write(&path, "old").unwrap();
    let expect = |digest: String| Write { if_digest: digest, ..write("file") };
    assert_eq!(put(root.path(), expect(sha256(b"other")), b"new").reason(), reason::CHANGED);
    assert_eq!(put(root.path(), expect(ABSENT.into()), b"new").reason(), reason::CHANGED);
    assert_eq!(put(root.path(), expect("0123".into()), b"new").reason(), reason::BAD_REQUEST);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    put(root.path(), expect(sha256(b"old").to_uppercase()), b"new").done();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    fs::remove_file(&path).unwrap();
    assert_eq!(put(root.path(), expect(sha256(b"new")), b"x").reason(), reason::CHANGED);
    assert_eq!(names(root.path()), [""; 0]);
    put(root.path(), expect(ABSENT.into()), b"x").done();
    assert_eq!(fs::read(&path).unwrap(), b"x");
}

#[test]
fn what_is_expected_is_looked_at_when_all_data_is_there() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    fs::write(&path, "old").unwrap();
    let request = Write { if_digest: sha256(b"old"), ..write("file") };
    let mut worker = Worker::start(root.path(), Operation::Write(request));
    worker.send_piece(b"mine");
    fs::write(&path, "another's").unwrap();
    worker.send_piece(b"");
    assert_eq!(worker.finish().reason(), reason::CHANGED);
    assert_eq!(fs::read(&path).unwrap(), b"another's");
}

#[test]
fn what_must_not_exist_is_never_replaced_even_if_it_comes_meanwhile() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    let request = Write { if_digest: ABSENT.into(), ..write("file") };
    let mut worker = Worker::start(root.path(), Operation::Write(request));
    worker.send_piece(b"mine");
    fs::write(&path, "another's").unwrap();
    worker.send_piece(b"");
    assert_eq!(worker.finish().reason(), reason::CHANGED);
    assert_eq!(fs::read(&path).unwrap(), b"another's");
    assert_eq!(names(root.path()), ["file"]);
}

#[test]
fn a_file_is_written_over_in_place() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    fs::write(&path, "0123456789").unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    let request = |offset| Write { offset: Some(offset), ..write("file") };
    let done = put(root.path(), request(3), b"abc").done();
    assert_eq!(done.digest, sha256(b"abc"));
    assert_eq!(fs::read(&path).unwrap(), b"012abc6789");
    put(root.path(), request(12), b"end").done();
    assert_eq!(fs::read(&path).unwrap(), b"012abc6789\0\0end");
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    put(root.path(), Write { offset: Some(2), ..write("new") }, b"x").done();
    assert_eq!(fs::read(root.path().join("new")).unwrap(), b"\0\0x");
    let changed = Write { if_digest: sha256(b"no"), ..request(0) };
    assert_eq!(put(root.path(), changed, b"x").reason(), reason::CHANGED);
    assert_eq!(fs::read(&path).unwrap(), b"012abc6789\0\0end");
}

#[test]
fn missing_directories_are_made_when_asked() {
    let root = TempDir::new().unwrap();
    assert_eq!(put(root.path(), write("a/b/c"), b"x").reason(), reason::NOT_FOUND);
    assert_eq!(names(root.path()), [""; 0]);
    put(root.path(), Write { create_parents: true, ..write("a/b/c") }, b"x").done();
    assert_eq!(fs::read(root.path().join("a/b/c")).unwrap(), b"x");
    assert_eq!(mode(&root.path().join("a/b")), 0o755);
    let through_a_file = Write { create_parents: true, ..write("a/b/c/d") };
    assert_eq!(put(root.path(), through_a_file, b"x").reason(), reason::NOT_A_DIRECTORY);
}

#[test]
fn a_link_stays_and_its_target_is_replaced() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("d")).unwrap();
    symlink("d/two", root.path().join("one")).unwrap();
    symlink("../target", root.path().join("d/two")).unwrap();
    put(root.path(), write("one"), b"new").done();
    assert_eq!(fs::read(root.path().join("target")).unwrap(), b"new");
    assert!(root.path().join("one").is_symlink());
    symlink("ring", root.path().join("ring")).unwrap();
    assert_eq!(put(root.path(), write("ring"), b"new").reason(), reason::FAILED);
}

#[test]
fn what_is_no_regular_file_is_not_replaced() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("directory")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join("pipe"), 0o600.into()).unwrap();
    assert_eq!(put(root.path(), write("directory"), b"x").reason(), reason::IS_A_DIRECTORY);
    assert_eq!(put(root.path(), write("pipe"), b"x").reason(), reason::FAILED);
    assert_eq!(put(root.path(), Write { offset: Some(0), ..write("pipe") }, b"x").reason(), reason::FAILED);
    for path in ["", ".", "..", "directory/."] {
        assert_eq!(put(root.path(), write(path), b"x").reason(), reason::BAD_REQUEST, "{path:?}");
    }
}

#[test]
fn a_big_write_says_how_far_it_is() {
    let root = TempDir::new().unwrap();
    let said = put(root.path(), write("big"), &vec![1; 20 << 20]);
    assert_eq!(said.progress.len(), 2);
    assert_eq!(said.done().bytes, 20 << 20);
}
