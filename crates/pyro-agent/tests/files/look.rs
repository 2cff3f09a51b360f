//! List, stat, read, find, grep and digest.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use pyro_protocol::files::{Digest, Find, Grep, Kind, List, Operation, Read, Stat, reason};
use tempfile::TempDir;

use crate::worker::{Worker, ask, at};

fn tree() -> TempDir {
    let root = TempDir::new().unwrap();
    let directory = |name: &str| fs::create_dir_all(root.path().join(name)).unwrap();
    let file = |name: &str, content: &str| fs::write(root.path().join(name), content).unwrap();
    directory("b/deep");
    directory("empty");
    file("b/deep/x.rs", "fn x() {}\n// Näh\n");
    file("b/y.rs", "FN y\n");
    file("a.txt", "one\ntwo\nthree\n");
    symlink("b/y.rs", root.path().join("link")).unwrap();
    root
}

fn list(root: &Path, path: &str, recursive: bool, max_entries: u64) -> crate::worker::Said {
    ask(root, Operation::List(List { path: path.into(), recursive, max_entries }))
}

#[test]
fn a_directory_is_listed_in_order() {
    let root = tree();
    assert_eq!(list(root.path(), "", false, 0).paths(), ["a.txt", "b", "empty", "link"]);
    let all = ["a.txt", "b", "b/deep", "b/deep/x.rs", "b/y.rs", "empty", "link"];
    assert_eq!(list(root.path(), ".", true, 0).paths(), all.map(|path| format!("./{path}")));
    assert_eq!(list(root.path(), "b/", true, 0).paths(), ["b/deep", "b/deep/x.rs", "b/y.rs"]);
    assert_eq!(list(root.path(), "empty", true, 0).paths(), [""; 0]);
}

#[test]
fn a_bound_of_entries_is_kept_and_told() {
    let root = tree();
    let said = list(root.path(), "", true, 3);
    assert_eq!(said.paths(), ["a.txt", "b", "b/deep"]);
    assert!(said.done().truncated);
    assert!(!list(root.path(), "", true, 7).done().truncated, "there is no more");
}

#[test]
fn what_is_no_directory_is_not_listed() {
    let root = tree();
    assert_eq!(list(root.path(), "a.txt", false, 0).reason(), reason::NOT_A_DIRECTORY);
    assert_eq!(list(root.path(), "none", false, 0).reason(), reason::NOT_FOUND);
}

#[test]
fn an_entry_says_all_that_is_known_of_a_name() {
    let root = tree();
    let path = root.path().join("a.txt");
    fs::set_permissions(&path, Permissions::from_mode(0o4751)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    fs::File::open(&path).unwrap().set_modified(time).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    let said = ask(root.path(), Operation::Stat(Stat { path: b"a.txt".to_vec() }));
    let entry = &said.entries()[0];
    assert_eq!((entry.kind(), entry.size, entry.mode), (Kind::File, 14, 0o4751));
    assert_eq!(entry.mtime_ns, 1_234_567_890_123_456_789);
    assert_eq!((entry.uid, entry.gid), (metadata.uid(), metadata.gid()));
    assert_eq!((entry.link_target.as_slice(), entry.digest.as_str()), (&b""[..], ""));
}

#[test]
fn a_link_is_a_link_and_the_root_is_a_directory() {
    let root = tree();
    let said = ask(root.path(), Operation::Stat(Stat { path: b"link".to_vec() }));
    let link = &said.entries()[0];
    assert_eq!((link.kind(), link.link_target.as_slice(), link.size), (Kind::Symlink, &b"b/y.rs"[..], 6));
    for path in ["", ".", "b/.."] {
        let said = ask(root.path(), Operation::Stat(Stat { path: path.into() }));
        assert_eq!(said.entries()[0].kind(), Kind::Directory, "{path:?}");
    }
    let _socket = UnixListener::bind(root.path().join("socket")).unwrap();
    let said = ask(root.path(), Operation::Stat(Stat { path: b"socket".to_vec() }));
    assert_eq!(said.entries()[0].kind(), Kind::Other);
}

#[test]
fn a_file_is_read_whole_or_in_part() {
    let root = tree();
    let read =
        |path: &str, offset, length| ask(root.path(), Operation::Read(Read { path: path.into(), offset, length }));
    assert_eq!(read("a.txt", 0, 0).output, b"one\ntwo\nthree\n");
    assert_eq!(read("a.txt", 4, 3).output, b"two");
    assert_eq!(read("a.txt", 8, 100).output, b"three\n");
    assert_eq!(read("a.txt", 1000, 0).output, b"");
    assert_eq!(read("link", 0, 0).output, b"FN y\n");
    assert_eq!(read("a.txt", 4, 3).done().bytes, 3);
    assert_eq!(read("b", 0, 0).reason(), reason::IS_A_DIRECTORY);
    assert_eq!(read("a.txt/x", 0, 0).reason(), reason::NOT_A_DIRECTORY);
    assert_eq!(read("none", 0, 0).reason(), reason::NOT_FOUND);
}

#[test]
fn a_big_file_is_read_with_progress() {
    let root = TempDir::new().unwrap();
    let data: Vec<u8> = (0..20_000_000_u32).map(|number| (number.wrapping_mul(7919) >> 8) as u8).collect();
    fs::write(root.path().join("big"), &data).unwrap();
    let said = ask(root.path(), Operation::Read(Read { path: b"big".to_vec(), offset: 0, length: 0 }));
    assert!(said.output == data);
    assert_eq!(said.progress.len(), 2);
    assert_eq!(said.done().bytes, 20_000_000);
}

#[test]
fn files_of_the_kernel_are_read_although_they_have_no_size() {
    let said = ask(Path::new("/proc"), Operation::Read(Read { path: b"version".to_vec(), offset: 0, length: 0 }));
    assert!(said.output.starts_with(b"Linux version"), "{said:?}");
}

#[test]
fn a_named_pipe_is_refused_and_not_waited_for() {
    let root = TempDir::new().unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join("pipe"), 0o600.into()).unwrap();
    let said = ask(root.path(), Operation::Read(Read { path: b"pipe".to_vec(), offset: 0, length: 0 }));
    assert_eq!(said.reason(), reason::FAILED);
}

#[test]
fn names_are_found_by_pattern_and_kind() {
    let root = tree();
    let find = |path: &str, glob: &str, kind: Kind, max_entries| {
        let find = Find { path: path.into(), glob: glob.into(), kind: kind as i32, max_entries };
        ask(root.path(), Operation::Find(find))
    };
    assert_eq!(find("", "*.rs", Kind::Unknown, 0).paths(), ["b/deep/x.rs", "b/y.rs"]);
    assert_eq!(find("b", "*/*.rs", Kind::Unknown, 0).paths(), ["b/deep/x.rs"]);
    assert_eq!(find("", "", Kind::Directory, 0).paths(), ["b", "b/deep", "empty"]);
    assert_eq!(find("", "", Kind::Symlink, 0).paths(), ["link"]);
    let bounded = find("", "**", Kind::File, 2);
    assert_eq!(bounded.paths(), ["a.txt", "b/deep/x.rs"]);
    assert!(bounded.done().truncated);
}

fn grep(root: &Path, grep: Grep) -> Vec<(String, u64, String)> {
    let said = ask(root, Operation::Grep(grep));
    let text = |bytes: &[u8]| crate::worker::lossy(bytes);
    said.matches().iter().map(|found| (text(&found.path), found.line_number, text(&found.line))).collect()
}

#[test]
fn lines_are_found() {
    let root = tree();
    let found = |path: &str, number, line: &str| (path.to_owned(), number, line.to_owned());
    let pattern = |pattern: &str| Grep { pattern: pattern.into(), ..Grep::default() };
    assert_eq!(grep(root.path(), pattern("^t.*e$")), [found("a.txt", 3, "three")]);
    assert_eq!(grep(root.path(), pattern("fn ")), [found("b/deep/x.rs", 1, "fn x() {}")]);
    let any_case = Grep { ignore_case: true, glob: b"*.rs".to_vec(), ..pattern("fn [xy]") };
    assert_eq!(grep(root.path(), any_case), [found("b/deep/x.rs", 1, "fn x() {}"), found("b/y.rs", 1, "FN y")]);
    let fixed = Grep { fixed: true, ..pattern("x()") };
    assert_eq!(grep(root.path(), fixed.clone()), [found("b/deep/x.rs", 1, "fn x() {}")]);
    let fixed_any_case = Grep { ignore_case: true, pattern: b"X()".to_vec(), ..fixed };
    assert_eq!(grep(root.path(), fixed_any_case), [found("b/deep/x.rs", 1, "fn x() {}")]);
    let one_file = Grep { path: b"link".to_vec(), ..pattern("y") };
    assert_eq!(grep(root.path(), one_file), [found("link", 1, "FN y")]);
}

#[test]
fn a_bound_of_matches_is_kept_and_told() {
    let root = tree();
    let ask_most = |max_matches| {
        let grep = Grep { path: b"a.txt".to_vec(), pattern: b"o".to_vec(), max_matches, ..Grep::default() };
        ask(root.path(), Operation::Grep(grep))
    };
    let said = ask_most(1);
    assert_eq!(said.matches().len(), 1);
    assert!(said.done().truncated);
    assert!(!ask_most(2).done().truncated);
}

#[test]
fn long_lines_are_cut_and_other_bytes_than_text_are_no_matter() {
    let root = TempDir::new().unwrap();
    let long = [b"needle".to_vec(), vec![b'x'; 200_000], b"\nafter \xff needle".to_vec()].concat();
    fs::write(root.path().join("long"), long).unwrap();
    fs::write(root.path().join("binary"), b"\0needle\n").unwrap();
    let said = ask(root.path(), Operation::Grep(Grep { pattern: b"needle".to_vec(), ..Grep::default() }));
    let matches = said.matches();
    assert_eq!(matches.len(), 2);
    assert_eq!((matches[0].line.len(), matches[0].truncated, matches[0].line_number), (4096, true, 1));
    assert_eq!((matches[1].line.as_slice(), matches[1].line_number), (&b"after \xff needle"[..], 2));
    let fixed = Grep { pattern: b"\xff n".to_vec(), fixed: true, ..Grep::default() };
    assert_eq!(ask(root.path(), Operation::Grep(fixed)).matches().len(), 1);
}

#[test]
fn a_pattern_without_sense_is_a_bad_request() {
    let root = tree();
    for pattern in [&b"("[..], b"\xff"] {
        let grep = Grep { pattern: pattern.to_vec(), ..Grep::default() };
        assert_eq!(ask(root.path(), Operation::Grep(grep)).reason(), reason::BAD_REQUEST);
    }
}

#[test]
fn digests_are_those_of_the_content() {
    let root = tree();
    let one = ask(root.path(), Operation::Digest(Digest { path: b"link".to_vec() }));
    // printf 'FN y\n' | sha256sum
    let digest = "21846c64812afb266d9edfc32d3ee7c268f43b81db43353c0703217eac025969";
    let entry = &one.entries()[0];
    assert_eq!((entry.digest.as_str(), entry.size), (digest, 5));
    let all = ask(root.path(), Operation::Digest(Digest { path: Vec::new() }));
    assert_eq!(all.paths(), ["a.txt", "b/deep/x.rs", "b/y.rs"]);
    assert_eq!(all.entries()[2].digest, entry.digest);
}

#[test]
fn names_need_not_be_utf_8() {
    let root = TempDir::new().unwrap();
    fs::write(at(root.path(), b"a\xff\n"), "x").unwrap();
    assert_eq!(list(root.path(), "", false, 0).entries()[0].path, b"a\xff\n");
    let said = ask(root.path(), Operation::Read(Read { path: b"a\xff\n".to_vec(), offset: 0, length: 0 }));
    assert_eq!(said.output, b"x");
}

#[test]
fn a_request_that_makes_no_sense_is_refused() {
    assert_eq!(Worker::start_raw(b"").finish().reason(), reason::INCOMPLETE);
    assert_eq!(Worker::start_raw(b"\x05\0\0\0ab").finish().reason(), reason::INCOMPLETE);
    assert_eq!(Worker::start_raw(b"\xff\xff\xff\xff").finish().reason(), reason::BAD_REQUEST);
    assert_eq!(Worker::start_raw(b"\x01\0\0\0\xff").finish().reason(), reason::BAD_REQUEST);
    // A root and no operation: one of a later build.
    assert_eq!(Worker::start_raw(b"\x03\0\0\0\x0a\x01/").finish().reason(), reason::BAD_REQUEST);
    let list = || Operation::List(List::default());
    assert_eq!(ask(Path::new("tmp"), list()).reason(), reason::BAD_REQUEST, "a relative root");
    assert_eq!(ask(Path::new("/none/such"), list()).reason(), reason::NOT_FOUND);
    assert_eq!(ask(Path::new("/proc/version"), list()).reason(), reason::NOT_A_DIRECTORY);
}

#[test]
fn thousands_of_entries_come_with_progress() {
    let root = TempDir::new().unwrap();
    (0..2500).for_each(|number| fs::write(root.path().join(format!("{number:04}")), "").unwrap());
    let said = list(root.path(), "", false, 0);
    assert_eq!(said.paths().len(), 2500);
    assert_eq!(said.progress.iter().map(|progress| progress.entries).collect::<Vec<_>>(), [1000, 2000]);
}
