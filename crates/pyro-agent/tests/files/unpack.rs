//! Archives of others, kind ones and hostile ones.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use pyro_protocol::files::{Operation, Unpack, reason};
use tar::{EntryType, Header};
use tempfile::TempDir;

use crate::pack::{pack, snapshot, sparse};
use crate::worker::{Said, Worker};

fn unpack(root: &Path, archive: &[u8]) -> Said {
    unpack_in(root, "", archive)
}

fn unpack_in(root: &Path, path: &str, archive: &[u8]) -> Said {
    let mut worker = Worker::start(root, Operation::Unpack(Unpack { path: path.into(), keep_owners: false }));
    worker.send(archive);
    worker.finish()
}

/// An archive put together by hand, with names that no library writes.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    fn add(mut self, kind: EntryType, name: &str, link: &str, content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.add(EntryType::Regular, name, "", content.as_bytes())
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, name, target, b"")
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 1024]);
        self.bytes
    }
}

/// A target, and beside it what must not be changed.
struct World {
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("target")).unwrap();
        fs::create_dir(directory.path().join("outside")).unwrap();
        fs::write(directory.path().join("outside/file"), "old").unwrap();
        Self { directory }
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("target")
    }

    /// Unpacks, wants notices for these names, and the last entry, `last`, to be made all the same.
    fn refuses(&self, archive: Archive, noticed: &[&str]) {
        let said = unpack(&self.target(), &archive.file("last", "last").end());
        assert_eq!(said.noticed(), noticed);
        assert!(said.end.is_ok(), "{said:?}");
        assert_eq!(fs::read_to_string(self.target().join("last")).unwrap(), "last");
        self.is_untouched();
    }

    fn is_untouched(&self) {
        let outside = self.directory.path().join("outside");
        assert_eq!(fs::read_dir(self.directory.path()).unwrap().count(), 2);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "old");
        assert_eq!(fs::metadata(outside.join("file")).unwrap().nlink(), 1);
    }
}

#[test]
fn what_was_packed_is_unpacked() {
    let from = TempDir::new().unwrap();
    fs::create_dir_all(from.path().join("a/b")).unwrap();
    fs::write(from.path().join("a/b/file"), "content").unwrap();
    fs::hard_link(from.path().join("a/b/file"), from.path().join("a/same")).unwrap();
    symlink("../../nowhere", from.path().join("a/link")).unwrap();
    sparse(&from.path().join("sparse"), 30);
    fs::set_permissions(from.path().join("a/b"), fs::Permissions::from_mode(0o3550)).unwrap();
    let archive = pack(from.path(), &[""]);
    let to = TempDir::new().unwrap();
    let done = unpack_in(to.path(), ".", &archive.output).done();
    assert_eq!(done.entries, 6);
    assert_eq!(snapshot(to.path()), snapshot(from.path()));
    assert_eq!(fs::metadata(to.path().join("a/same")).unwrap().nlink(), 2);
    let (new, old) = (to.path().join("sparse"), from.path().join("sparse"));
    let blocks = |path: &Path| fs::metadata(path).unwrap().blocks();
    assert!(blocks(&new) <= blocks(&old) + 64, "{} blocks were {}", blocks(&new), blocks(&old));
    // A second time over what is there, the read-only directory among it.
    unpack(to.path(), &archive.output).done();
    assert_eq!(snapshot(to.path()), snapshot(from.path()));
}

#[test]
fn absolute_names_and_two_dots_are_refused() {
    let world = World::new();
    let outside = world.directory.path().join("outside/file");
    let outside = outside.to_str().unwrap();
    let archive = Archive::default()
        .file(outside, "new")
        .file("../outside/file", "new")
        .file("a/../../outside/file", "new")
        .add(EntryType::Directory, "../made/", "", b"")
        .link("../link", "x");
    world.refuses(archive, &[outside, "../outside/file", "a/../../outside/file", "../made/", "../link"]);
}

#[test]
fn nothing_is_written_through_a_link_that_the_archive_brought() {
    let world = World::new();
    let outside = world.directory.path().join("outside");
    let archive = Archive::default()
        .link("relative", "../outside")
        .file("relative/file", "new")
        .file("relative/other", "new")
        .link("absolute", outside.to_str().unwrap())
        .file("absolute/file", "new")
        .add(EntryType::Directory, "absolute/made", "", b"")
        .link("absolute/link", "x")
        .add(EntryType::Link, "absolute/hard", "relative", b"");
    let noticed =
        ["relative/file", "relative/other", "absolute/file", "absolute/made", "absolute/link", "absolute/hard"];
    world.refuses(archive, &noticed);
    assert!(world.target().join("relative").is_symlink());
}

#[test]
fn nothing_is_written_through_a_link_that_was_there() {
    let world = World::new();
    symlink("../outside", world.target().join("d")).unwrap();
    symlink("../outside/file", world.target().join("file")).unwrap();
    world.refuses(Archive::default().file("d/file", "new"), &["d/file"]);
    // A link in the place of a file is replaced, and not what it leads to.
    unpack(&world.target(), &Archive::default().file("file", "new").end()).done();
    assert!(!world.target().join("file").is_symlink());
    world.is_untouched();
}

#[test]
fn a_link_is_replaced_by_a_directory_only_if_it_leads_out() {
    let world = World::new();
    symlink("../outside", world.target().join("out")).unwrap();
    fs::create_dir(world.target().join("usr")).unwrap();
    symlink("usr", world.target().join("inside")).unwrap();
    let archive = Archive::default()
        .add(EntryType::Directory, "out", "", b"")
        .file("out/file", "new")
        .add(EntryType::Directory, "inside", "", b"")
        .file("inside/file", "new");
    world.refuses(archive, &[]);
    assert!(world.target().join("out").is_dir() && !world.target().join("out").is_symlink());
    assert_eq!(fs::read_to_string(world.target().join("usr/file")).unwrap(), "new");
}

#[test]
fn a_name_is_looked_up_anew_when_a_link_on_its_way_has_changed() {
    let world = World::new();
    let directory = |archive: Archive, name: &str| archive.add(EntryType::Directory, name, "", b"");
    let archive = directory(directory(Archive::default(), "b"), "c").link("a", "b").file("a/one", "1");
    let archive = archive.link("a", "c").file("a/two", "2").link("a", "../outside").file("a/file", "3");
    let archive = archive.link("other", "c").link("a", "b").file("a/three", "3");
    let archive = archive.add(EntryType::Link, "a", "other", b"").file("a/four", "4");
    world.refuses(archive, &["a/file"]);
    for (name, content) in [("b/one", "1"), ("c/two", "2"), ("b/three", "3"), ("c/four", "4")] {
        assert_eq!(fs::read_to_string(world.target().join(name)).unwrap(), content, "{name}");
    }
}

#[test]
fn hard_links_are_made_below_the_target_only() {
    let world = World::new();
    let outside = world.directory.path().join("outside/file");
    let archive = Archive::default()
        .add(EntryType::Link, "one", "../outside/file", b"")
        .add(EntryType::Link, "two", outside.to_str().unwrap(), b"")
        .link("d", "../outside")
        .add(EntryType::Link, "three", "d/file", b"")
        .add(EntryType::Link, "four", "none", b"")
        .add(EntryType::Link, "five", "", b"");
    world.refuses(archive, &["one", "two", "three", "four", "five"]);
}

#[test]
fn a_file_is_not_written_through_a_hard_link() {
    let world = World::new();
    let archive = Archive::default()
        .file("one", "first")
        .add(EntryType::Link, "two", "one", b"")
        .add(EntryType::Link, "two", "one", b"")
        .file("two", "second");
    world.refuses(archive, &[]);
    assert_eq!(fs::read_to_string(world.target().join("one")).unwrap(), "first");
    assert_eq!(fs::read_to_string(world.target().join("two")).unwrap(), "second");
    assert_eq!(fs::read_dir(world.target()).unwrap().count(), 3);
}

#[test]
fn devices_and_pipes_are_left_out() {
    let world = World::new();
    let archive = Archive::default()
        .add(EntryType::Char, "null", "", b"")
        .add(EntryType::Block, "disk", "", b"")
        .add(EntryType::Fifo, "pipe", "", b"")
        .add(EntryType::new(b'Z'), "strange", "", b"content");
    world.refuses(archive, &["null", "disk", "pipe", "strange"]);
    assert_eq!(fs::read_dir(world.target()).unwrap().count(), 1);
}

#[test]
fn of_entries_with_one_name_the_last_stays() {
    let world = World::new();
    let archive = Archive::default()
        .file("name", "one")
        .file("name", "two")
        .link("name", "three")
        .add(EntryType::Directory, "name", "", b"")
        .file("name/below", "four")
        .file("name", "five");
    // A directory is not replaced.
    world.refuses(archive, &["name"]);
    assert_eq!(fs::read_to_string(world.target().join("name/below")).unwrap(), "four");
}

#[test]
fn the_target_itself_cannot_be_replaced() {
    let world = World::new();
    let before = fs::metadata(world.target()).unwrap().mode();
    let archive = Archive::default()
        .add(EntryType::Directory, "./", "", b"")
        .file("./.", "new")
        .link(".", "../outside")
        .add(EntryType::Regular, "", "", b"");
    world.refuses(archive, &["./.", ".", ""]);
    assert_eq!(fs::metadata(world.target()).unwrap().mode(), before);
}

#[test]
fn an_archive_that_ends_anywhere_before_its_end_mark_is_incomplete() {
    let archive = Archive::default().file("one", &"1".repeat(3000)).file("two", "2").end();
    let whole_without_mark = archive.len() - 1024;
    for length in [0, 1, 511, 512, 1000, 3583, 3584, 3585, 4096, whole_without_mark - 1, whole_without_mark] {
        let root = TempDir::new().unwrap();
        let said = unpack(root.path(), &archive[..length]);
        assert_eq!(said.reason(), reason::INCOMPLETE, "{length} bytes");
        // Each file is there whole or not at all.
        for (name, content) in [("one", 3000), ("two", 1)] {
            let read = fs::read(root.path().join(name));
            assert!(read.is_err() || read.unwrap().len() == content, "{name} of {length} bytes");
        }
        let others = fs::read_dir(root.path()).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name != "one" && name != "two"
        });
        assert_eq!(others.count(), 0, "{length} bytes");
    }
}

#[test]
fn an_archive_that_is_none_is_a_bad_request() {
    let root = TempDir::new().unwrap();
    let mut broken = Archive::default().file("one", "1").file("two", "2").end();
    broken[1024 + 200] ^= 1; // in the second header, which its checksum covers
    let said = unpack(root.path(), &broken);
    assert_eq!(said.reason(), reason::BAD_REQUEST);
    assert!(root.path().join("one").exists() && !root.path().join("two").exists());
    assert_eq!(unpack(root.path(), &[0x55; 2048]).reason(), reason::BAD_REQUEST);
}

#[test]
fn a_file_that_is_replaced_is_never_there_in_part() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("file"), "old").unwrap();
    let archive = Archive::default().file("file", &"new".repeat(1 << 20)).end();
    let mut worker = Worker::start(root.path(), Operation::Unpack(Unpack::default()));
    worker.send(&archive[..2 << 20]);
    assert_eq!(fs::read_to_string(root.path().join("file")).unwrap(), "old");
    worker.kill();
    assert_eq!(fs::read_to_string(root.path().join("file")).unwrap(), "old");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn directories_that_the_archive_does_not_name_are_made() {
    let root = TempDir::new().unwrap();
    unpack(root.path(), &Archive::default().file("a/b/c", "x").end()).done();
    assert_eq!(fs::metadata(root.path().join("a/b")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(unpack_in(root.path(), "none", &Archive::default().end()).reason(), reason::NOT_FOUND);
    assert_eq!(unpack_in(root.path(), "a/b/c", &Archive::default().end()).reason(), reason::NOT_A_DIRECTORY);
}

#[test]
fn owners_are_those_of_the_archive_when_asked() {
    let from = TempDir::new().unwrap();
    let to = TempDir::new().unwrap();
    fs::write(from.path().join("file"), "x").unwrap();
    symlink("file", from.path().join("link")).unwrap();
    let given = std::os::unix::fs::chown(from.path().join("file"), Some(1234), Some(70000))
        .and_then(|()| std::os::unix::fs::lchown(from.path().join("link"), Some(1234), Some(70000)));
    if given.is_err() {
        eprintln!("skipped: only root gives files away");
        return;
    }
    let archive = pack(from.path(), &[""]).output;
    for (keep_owners, uid, gid) in [(true, 1234, 70000), (false, 0, 0)] {
        let mut worker = Worker::start(to.path(), Operation::Unpack(Unpack { path: Vec::new(), keep_owners }));
        worker.send(&archive);
        worker.finish().done();
        for name in ["file", "link"] {
            let metadata = fs::symlink_metadata(to.path().join(name)).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (uid, gid), "{name}");
        }
    }
}

#[test]
fn archives_of_others_are_unpacked() {
    let from = TempDir::new().unwrap();
    let long = "l".repeat(180);
    fs::create_dir_all(from.path().join(&long)).unwrap();
    fs::write(from.path().join(&long).join("file"), "x").unwrap();
    symlink(format!("{long}/{long}"), from.path().join("link")).unwrap();
    sparse(&from.path().join("sparse"), 30);
    for format in ["gnu", "pax"] {
        let mut tar = Command::new("tar");
        tar.arg("-cC")
            .arg(from.path())
            .arg(format!("--format={format}"))
            .args((format == "gnu").then_some("-S"))
            .arg(".");
        let Ok(output) = tar.output() else {
            eprintln!("skipped: this host has no tar");
            return;
        };
        let to = TempDir::new().unwrap();
        unpack(to.path(), &output.stdout).done();
        let content = |root: &Path| -> Vec<_> {
            snapshot(root).into_iter().map(|(name, seen)| (name, seen.mode, seen.mtime.0, seen.content)).collect()
        };
        assert_eq!(content(to.path()), content(from.path()), "{format}");
    }
}

#[test]
fn a_full_disk_ends_it_and_says_how_far_it_came() {
    let root = TempDir::new().unwrap();
    // A small file system of its own, which goes with the process that sees it.
    let script = format!("mount -t tmpfs -o size=1m tmpfs {0} && cd {0} && exec \"$@\"", root.path().display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_pyro-agent"), "--file-worker"]);
    if !Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh", "true"])
        .output()
        .is_ok_and(|it| it.status.success())
    {
        eprintln!("skipped: this user cannot mount");
        return;
    }
    let archive = Archive::default().file("one", "1").file("two", &"2".repeat(2 << 20)).file("three", "3").end();
    let mut worker = Worker::start_as(command, root.path(), Operation::Unpack(Unpack::default()));
    worker.send(&archive);
    let failed = worker.finish().end.unwrap_err();
    assert_eq!((failed.reason.as_str(), failed.path.as_slice()), (reason::NO_SPACE, &b"two"[..]));
    assert_eq!(failed.entries, 1);
}
