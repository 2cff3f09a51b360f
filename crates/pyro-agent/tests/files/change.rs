//! Making, removing and renaming.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use pyro_protocol::files::{MakeDirectory, Move, Operation, Remove, reason};
use tempfile::TempDir;

use crate::worker::{Said, ask};

fn make(root: &Path, path: &str, mode: Option<u32>, parents: bool) -> Said {
    ask(root, Operation::MakeDirectory(MakeDirectory { path: path.into(), mode, parents }))
}

fn remove(root: &Path, path: &str, recursive: bool) -> Said {
    ask(root, Operation::Remove(Remove { path: path.into(), recursive }))
}

fn rename(root: &Path, from: &str, to: &str, replace: bool) -> Said {
    ask(root, Operation::Move(Move { from: from.into(), to: to.into(), replace }))
}

#[test]
fn directories_are_made() {
    let root = TempDir::new().unwrap();
    let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o7777;
    make(root.path(), "a", None, false).done();
    assert_eq!(mode("a"), 0o755);
    assert_eq!(make(root.path(), "a", None, false).reason(), reason::EXISTS);
    make(root.path(), "a/", None, true).done();
    assert_eq!(make(root.path(), "b/c", None, false).reason(), reason::NOT_FOUND);
    make(root.path(), "b/c", Some(0o1777), true).done();
    assert_eq!((mode("b"), mode("b/c")), (0o755, 0o1777));
    fs::write(root.path().join("file"), "").unwrap();
    assert_eq!(make(root.path(), "file", None, true).reason(), reason::NOT_A_DIRECTORY);
    assert_eq!(make(root.path(), "file/x", None, true).reason(), reason::NOT_A_DIRECTORY);
}

#[test]
fn names_are_taken_away() {
    let root = TempDir::new().unwrap();
    fs::create_dir_all(root.path().join("a/b")).unwrap();
    fs::write(root.path().join("a/file"), "").unwrap();
    assert_eq!(remove(root.path(), "a", false).reason(), reason::NOT_EMPTY);
    assert_eq!(remove(root.path(), "none", true).reason(), reason::NOT_FOUND);
    remove(root.path(), "a/b", false).done();
    remove(root.path(), "a/file", false).done();
    remove(root.path(), "a", false).done();
    assert!(!root.path().join("a").exists());
    for path in ["", "/", ".", ".."] {
        let reason = remove(root.path(), path, true).reason();
        assert!(reason == reason::BAD_REQUEST || reason == reason::OUTSIDE_ROOT, "{path:?}: {reason}");
    }
}

#[test]
fn a_tree_is_removed_and_links_are_not_followed() {
    let root = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("kept"), "").unwrap();
    fs::create_dir_all(root.path().join("a/b/c")).unwrap();
    fs::create_dir(root.path().join("other")).unwrap();
    fs::write(root.path().join("other/kept"), "").unwrap();
    fs::write(root.path().join("a/b/file"), "").unwrap();
    symlink(outside.path(), root.path().join("a/b/out")).unwrap();
    symlink("../other", root.path().join("a/beside")).unwrap();
    assert_eq!(remove(root.path(), "a", true).done().entries, 6);
    assert!(!root.path().join("a").exists());
    assert!(outside.path().join("kept").exists() && root.path().join("other/kept").exists());
    symlink("other", root.path().join("link")).unwrap();
    remove(root.path(), "link", true).done();
    assert!(root.path().join("other/kept").exists());
}

#[test]
fn a_tree_deeper_than_any_path_is_removed_and_listed() {
    let root = TempDir::new().unwrap();
    let mut now = fs::File::open(root.path()).unwrap();
    let name = "d".repeat(100);
    for _ in 0..300 {
        rustix::fs::mkdirat(&now, &name, 0o700.into()).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY;
        now = rustix::fs::openat(&now, &name, flags, rustix::fs::Mode::empty()).unwrap().into();
    }
    let list = pyro_protocol::files::List { recursive: true, ..Default::default() };
    let said = ask(root.path(), Operation::List(list));
    assert_eq!(said.entries().len(), 300);
    assert_eq!(remove(root.path(), &name, true).done().entries, 300);
    assert!(!root.path().join(&name).exists());
}

#[test]
fn things_get_other_names() {
    let root = TempDir::new().unwrap();
    let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
    fs::create_dir(root.path().join("d")).unwrap();
    fs::write(root.path().join("a"), "a").unwrap();
    fs::write(root.path().join("b"), "b").unwrap();
    assert_eq!(rename(root.path(), "a", "b", false).reason(), reason::EXISTS);
    assert_eq!((read("a"), read("b")), ("a".into(), "b".into()));
    rename(root.path(), "a", "b", true).done();
    assert_eq!(read("b"), "a");
    rename(root.path(), "b", "d/c", false).done();
    assert_eq!(read("d/c"), "a");
    assert_eq!(rename(root.path(), "none", "x", false).reason(), reason::NOT_FOUND);
    assert_eq!(rename(root.path(), "d/c", "none/x", false).reason(), reason::NOT_FOUND);
    assert_eq!(rename(root.path(), "d", "d/inside", false).reason(), reason::BAD_REQUEST);
    symlink("/nowhere", root.path().join("link")).unwrap();
    rename(root.path(), "link", "moved", false).done();
    assert_eq!(fs::read_link(root.path().join("moved")).unwrap(), Path::new("/nowhere"));
}
