//! Streams of a hostile guest. Each trick is tried against a directory and against an archive; each is refused with its
//! reason, or defused; and around the destination nothing appears or changes.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod world;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pyro_tree::receive::{Limits, Links, Policy, Problem, ReceiveError, Received, receive};
use world::{Raw, Tree, archive, directory, file, hard_link, long, open_ended, pax, raw, symlink, tree};

/// A place with things of value around the destination.
struct Place {
    home: tempfile::TempDir,
    before: Tree,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        world::put(home.path(), "canary/secret", "secret");
        world::put(home.path(), "canary/inner/file", "more");
        fs::create_dir(home.path().join("work")).unwrap();
        let before = tree(home.path());
        Self { home, before }
    }

    fn destination(&self, name: &str) -> PathBuf {
        self.home.path().join("work").join(name)
    }

    fn canary(&self) -> String {
        self.home.path().join("canary").display().to_string()
    }

    /// Nothing is different, except that times of `work` say that something was there.
    fn is_as_before(&self, except: &Path) -> bool {
        let except = except.strip_prefix(self.home.path()).unwrap().to_str().unwrap().as_bytes().to_vec();
        let mut now = tree(self.home.path());
        now.retain(|path, _| *path != except && !path.starts_with(&[&except[..], b"/"].concat()));
        now.get_mut(&b"work"[..]).unwrap().1 = self.before[&b"work"[..]].1;
        now == self.before
    }
}

fn small() -> Limits {
    Limits { max_entries: 50, max_bytes: 100_000, max_file_bytes: 50_000, max_name_bytes: 60_000 }
}

fn policy() -> Policy {
    Policy { limits: small(), links: Links::Inside }
}

fn refused(stream: &mut dyn Read, destination: &Path, policy: Policy) -> (String, &'static str) {
    match receive(&mut { stream }, destination, policy) {
        Err(ReceiveError::Refused(refusal)) => {
            (String::from_utf8_lossy(&refusal.name).into_owned(), refusal.reason.word())
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn sized(member: Raw, size: &[u8]) -> Raw {
    Raw { size: size.to_vec(), ..member }
}

fn patched(member: Raw, patches: &[(usize, &[u8])]) -> Raw {
    Raw { patches: patches.iter().map(|(at, bytes)| (*at, bytes.to_vec())).collect(), ..member }
}

/// A sparse file in GNU's old form.
fn sparse(pieces: &[(u64, u64)], real_size: u64, stored: usize) -> Raw {
    let octal = |number: u64| format!("{number:011o}\0").into_bytes();
    let mut member = Raw { content: vec![b'x'; stored], ..raw(b'S', "sparse") };
    for (number, (offset, length)) in pieces.iter().enumerate() {
        member.patches.push((386 + 24 * number, [octal(*offset), octal(*length)].concat()));
    }
    member.patches.push((483, octal(real_size)));
    member
}

fn sparse_1_0(map: &str, stored: usize) -> Vec<Raw> {
    let mut content = map.as_bytes().to_vec();
    content.resize(content.len().next_multiple_of(512), 0);
    content.extend(vec![b'x'; stored]);
    let head = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"4096")];
    vec![pax(&head), file("sparse", content)]
}

type Trick = (&'static str, &'static str, Vec<u8>);

fn names(canary: &str) -> Vec<Trick> {
    let inside = |name: &str| archive(&[file(name, "x")]);
    vec![
        ("an absolute name", "name_absolute", inside(&format!("{canary}/new"))),
        ("a name that climbs", "name_parent", inside("../../canary/secret")),
        ("a name that climbs later", "name_parent", inside("a/../../x")),
        ("a name that is a climb", "name_parent", archive(&[directory("a/..")])),
        ("no name", "name_empty", inside("")),
        ("a file that is the root", "name_empty", inside(".")),
        ("a link that is the root", "name_empty", archive(&[symlink(".", "a")])),
        ("a NUL in a long name", "name_nul", archive(&[long(b'L', "a\0b"), file("a", "x")])),
        ("something behind a name's NUL", "name_nul", archive(&[file("a\0b", "x")])),
        ("a long component", "name_too_long", archive(&[long(b'L', "c".repeat(256)), file("a", "x")])),
        ("a long name", "name_too_long", archive(&[long(b'L', "c/".repeat(2049)), file("a", "x")])),
        ("a long name that climbs", "name_parent", archive(&[long(b'L', "../x"), file("a", "x")])),
        ("a file named like a directory", "name_trailing_slash", inside("a/")),
        ("a long name of a gigabyte", "name_too_long", archive(&[sized(raw(b'L', "l"), b"10000000000")])),
        ("a long target of a gigabyte", "name_too_long", archive(&[sized(raw(b'K', "l"), b"10000000000")])),
        ("two long names", "name_twice", archive(&[long(b'L', "a"), long(b'L', "b"), file("c", "")])),
        ("two kinds of long names", "name_twice", archive(&[long(b'L', "a"), pax(&[("path", b"b")]), file("c", "")])),
        ("the same file twice", "duplicate", archive(&[file("a", "1"), file("a", "2")])),
        ("the same file spelled otherwise", "duplicate", archive(&[file("a", "1"), file("./a", "2")])),
        ("the same directory twice", "duplicate", archive(&[directory("a/"), directory("a")])),
        ("the root twice", "duplicate", archive(&[directory("./"), directory(".")])),
        ("a file that becomes a directory", "type_conflict", archive(&[file("a", "1"), directory("a/")])),
        ("a directory that becomes a file", "type_conflict", archive(&[directory("a/"), file("a", "1")])),
        ("a parent that becomes a file", "type_conflict", archive(&[file("a/b", "1"), file("a", "1")])),
        ("a file below a file", "below_non_directory", archive(&[file("a", "1"), file("a/b", "1")])),
        ("a file in place of a link", "type_conflict", archive(&[symlink("a", "b"), file("a", "1")])),
        ("a link in place of a file", "type_conflict", archive(&[file("a", "1"), symlink("a", "b")])),
        ("a link in place of a directory", "type_conflict", archive(&[directory("a"), symlink("a", "b")])),
        ("names that take much memory", "names_too_long", {
            let name = |number: u8| [vec![b'a' + number; 200], b"/".to_vec()].concat().repeat(2);
            archive(
                &(0..20).flat_map(|number| [long(b'L', name(number).repeat(9)), directory("x")]).collect::<Vec<_>>(),
            )
        }),
        ("parents that are many", "too_many_entries", archive(&[long(b'L', "x/".repeat(60)), directory("x")])),
    ]
}

fn links(canary: &str) -> Vec<Trick> {
    let link = |target: &str| archive(&[directory("d"), symlink("d/l", target)]);
    vec![
        ("an absolute link", "link_outside", link(canary)),
        ("a link that climbs", "link_outside", link("../../canary")),
        ("a link that climbs after it descended", "link_outside", link("x/../../../canary")),
        ("a link to nothing", "link_target", link("")),
        ("a link with a long target", "link_target", archive(&[long(b'K', "c/".repeat(2048)), symlink("a", "")])),
        ("a link with a NUL", "name_nul", archive(&[long(b'K', "a\0b"), symlink("a", "")])),
        ("a link by pax", "link_outside", archive(&[pax(&[("linkpath", b"/etc")]), symlink("a", "b")])),
        ("a link with content", "size_of_non_file", archive(&[Raw { content: vec![0], ..symlink("a", "b") }])),
        (
            "a file below a link inside",
            "below_non_directory",
            archive(&[directory("d"), symlink("l", "d"), file("l/x", "")]),
        ),
        ("a hard link to an absolute name", "hard_link_target", archive(&[hard_link("a", format!("{canary}/secret"))])),
        ("a hard link that climbs", "hard_link_target", archive(&[hard_link("a", "../../canary/secret")])),
        ("a hard link to a link", "hard_link_target", archive(&[symlink("l", "x"), hard_link("a", "l")])),
        (
            "a hard link through a link",
            "hard_link_target",
            archive(&[directory("d"), file("d/f", ""), symlink("l", "d"), hard_link("a", "l/f")]),
        ),
        ("a hard link to a directory", "hard_link_target", archive(&[directory("d"), hard_link("a", "d")])),
        ("a hard link to what comes later", "hard_link_target", archive(&[hard_link("a", "f"), file("f", "")])),
        ("a hard link to itself", "hard_link_target", archive(&[hard_link("a", "a")])),
        (
            "a hard link with content",
            "size_of_non_file",
            archive(&[file("f", "x"), Raw { content: vec![0], ..hard_link("a", "f") }]),
        ),
        (
            "a hard link in place of a file",
            "duplicate",
            archive(&[file("f", "x"), file("a", "y"), hard_link("a", "f")]),
        ),
    ]
}

fn types() -> Vec<Trick> {
    let one = |kind: u8| archive(&[raw(kind, "a")]);
    vec![
        ("a character device", "device", one(b'3')),
        ("a block device", "device", one(b'4')),
        ("a named pipe", "fifo", one(b'6')),
        ("a volume label", "type_unknown", one(b'V')),
        ("a part of another volume", "type_unknown", one(b'M')),
        ("a listing of a directory", "type_unknown", one(b'D')),
        ("Solaris's header", "type_unknown", one(b'X')),
        ("an unknown type", "type_unknown", one(0xff)),
        ("a directory with content", "size_of_non_file", archive(&[Raw { content: vec![0], ..directory("d") }])),
        ("a mode with strange bits", "mode", archive(&[Raw { mode: b"4000644".to_vec(), ..file("a", "") }])),
        ("a mode that is no number", "mode", archive(&[Raw { mode: b"rw-r--r".to_vec(), ..file("a", "") }])),
        ("a wrong checksum", "header_checksum", archive(&[Raw { checksum_off_by: 1, ..file("a", "") }])),
        ("no magic", "header_magic", archive(&[Raw { magic: *b"notatar\0", ..file("a", "") }])),
        ("no tar at all", "header_checksum", b"#!/bin/sh\n".repeat(200)),
    ]
}

fn sizes() -> Vec<Trick> {
    let binary = |bytes: [u8; 12]| archive(&[sized(file("a", ""), &bytes)]);
    let size = |text: &[u8]| archive(&[pax(&[("size", text)]), file("a", "")]);
    let time = |mtime: &[u8]| archive(&[Raw { mtime: mtime.to_vec(), ..file("a", "") }]);
    let pax_time = |mtime: &[u8]| archive(&[pax(&[("mtime", mtime)]), file("a", "")]);
    let many: Vec<Raw> = (0..51).map(|number| file(number.to_string(), "")).collect();
    let three: Vec<Raw> = (0..3).map(|number| file(number.to_string(), vec![0; 40_000])).collect();
    vec![
        ("a negative size", "size", binary([0xff; 12])),
        ("a size of more than 63 bits", "size", binary([0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0])),
        ("a size that is no number", "size", archive(&[sized(file("a", ""), b"0x10")])),
        ("a size with a minus", "size", archive(&[sized(file("a", ""), b"-0000000001")])),
        ("a size in pax with a minus", "size", size(b"-1")),
        ("a size in pax that is empty", "size", size(b"")),
        ("a size in pax of more than 64 bits", "size", size(b"99999999999999999999")),
        ("a size in pax of more than 63 bits", "size", size(b"9999999999999999999")),
        ("a large size in pax", "file_too_large", size(b"1000000000000")),
        ("a size in pax that differs", "size_conflict", archive(&[pax(&[("size", b"512")]), file("a", "hello")])),
        ("a size in pax of a directory", "size_of_non_file", archive(&[pax(&[("size", b"512")]), directory("d")])),
        ("a time before 1901", "time", time(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0])),
        ("a time after 2262", "time", time(&[0x80, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff])),
        ("a time that is no number", "time", time(b"yesterday")),
        ("a time in pax that is no number", "time", pax_time(b"nan")),
        ("a time in pax after 2262", "time", pax_time(b"99999999999")),
        ("a time in pax before 1901", "time", pax_time(b"-99999999999")),
        ("many entries", "too_many_entries", archive(&many)),
        ("many bytes", "too_many_bytes", archive(&three)),
        ("a large file", "file_too_large", archive(&[file("a", vec![0; 50_001])])),
        ("a large file that is not there", "file_too_large", open_ended(&[sized(file("a", ""), b"77777777777")])),
    ]
}

fn headers() -> Vec<Trick> {
    let global = |key| Raw { kind: b'g', ..pax(&[(key, b"1")]) };
    let broken = |content: &[u8]| archive(&[Raw { content: content.to_vec(), ..pax(&[]) }, file("a", "")]);
    vec![
        ("a pax header of two megabytes", "pax_too_long", archive(&[sized(pax(&[]), b"00010000000")])),
        ("a pax header for all of two megabytes", "pax_too_long", archive(&[sized(raw(b'g', "g"), b"00010000000")])),
        ("a pax record that is too short", "pax", broken(b"5 path=x\n")),
        ("a pax record that is too long", "pax", broken(b"999 path=x\n")),
        ("a pax record without an end", "pax", broken(b"9 path=xy")),
        ("two names in a pax header", "pax", archive(&[pax(&[("path", b"a"), ("path", b"b")]), file("a", "")])),
        ("a NUL in a pax name", "name_nul", archive(&[pax(&[("path", b"a\0b")]), file("a", "")])),
        ("a pax name that climbs", "name_parent", archive(&[pax(&[("path", b"../x")]), file("a", "")])),
        ("an absolute pax name", "name_absolute", archive(&[pax(&[("path", b"/x")]), file("a", "")])),
        ("an empty pax name", "name_empty", archive(&[pax(&[("path", b"")]), file("a", "")])),
        ("a pax name for all", "pax_global", archive(&[global("path"), file("a", "")])),
        ("a pax size for all", "pax_global", archive(&[global("size"), file("a", "")])),
        ("a pax target for all", "pax_global", archive(&[global("linkpath"), symlink("a", "b")])),
        ("two pax headers", "extended_header", archive(&[pax(&[]), pax(&[]), file("a", "")])),
        ("a pax header without a member", "extended_header", archive(&[pax(&[("path", b"a")])])),
        ("a long name without a member", "extended_header", archive(&[long(b'L', "a")])),
        ("headers without end", "extended_header", archive(&vec![global("comment"); 100])),
        ("headers that take much memory", "names_too_long", {
            let comment = Raw { kind: b'g', ..pax(&[("comment", &[b'x'; 10_000])]) };
            archive(&vec![comment; 8])
        }),
    ]
}

fn sparse_files() -> Vec<Trick> {
    let one = |member: Raw| archive(&[member]);
    let endless = [patched(sparse(&[], 0, 0), &[(482, b"\x01")]).bytes(), {
        let mut block = vec![0; 512];
        block[504] = 1;
        block.repeat(200)
    }]
    .concat();
    let form_0_1 = [("GNU.sparse.map", &b"0,1"[..]), ("GNU.sparse.size", b"1")];
    vec![
        ("a sparse file that is large with its holes", "file_too_large", one(sparse(&[(0, 512)], 1 << 30, 512))),
        ("a sparse file of an exabyte", "file_too_large", one(sparse(&[], 0o77_777_777_777, 0))),
        ("pieces that overlap", "sparse_map", one(sparse(&[(0, 1024), (512, 512)], 4096, 1536))),
        ("pieces backwards", "sparse_map", one(sparse(&[(1024, 512), (0, 512)], 4096, 1024))),
        ("a piece behind the end", "sparse_map", one(sparse(&[(8192, 512)], 4096, 512))),
        ("more pieces than content", "sparse_map", one(sparse(&[(0, 1024)], 4096, 512))),
        ("more content than pieces", "sparse_map", one(sparse(&[(0, 512)], 4096, 1024))),
        ("a map without end", "names_too_long", endless),
        ("the sparse form 0.1", "sparse_form", archive(&[pax(&form_0_1), file("a", "x")])),
        ("the sparse form 1.0 of a directory", "sparse_form", {
            let head = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"1")];
            archive(&[pax(&head), directory("d")])
        }),
        ("a map of text that is no number", "sparse_map", archive(&sparse_1_0("one\n", 0))),
        ("a map of text that is too large", "sparse_map", archive(&sparse_1_0("99999999\n0\n1\n", 1))),
        ("a map of text that overlaps", "sparse_map", archive(&sparse_1_0("2\n0\n1024\n0\n512\n", 1536))),
        ("a sparse name that climbs", "name_parent", {
            let head = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.name", b"../x")];
            archive(&[pax(&head), file("a", "x")])
        }),
    ]
}

fn ends() -> Vec<Trick> {
    let good = || vec![file("a", vec![1; 700])];
    let whole = archive(&good());
    vec![
        ("nothing", "truncated", Vec::new()),
        ("an end in a header", "truncated", whole[..100].to_vec()),
        ("an end in a file", "truncated", whole[..1100].to_vec()),
        ("an end in the padding", "truncated", whole[..1400].to_vec()),
        ("an end without an end", "truncated", open_ended(&good())),
        ("half an end", "truncated", whole[..whole.len() - 512].to_vec()),
        ("an end in a pax header", "truncated", open_ended(&[pax(&[("path", &[b'x'; 600])])])[..700].to_vec()),
        ("a member behind half an end", "trailing_garbage", [&whole[..whole.len() - 512], &whole[..]].concat()),
        ("garbage behind the end", "trailing_garbage", [&whole[..], b"x"].concat()),
        ("an archive behind the end", "trailing_garbage", [&whole[..], &whole[..]].concat()),
        ("zeros without end", "trailing_garbage", [whole, vec![0; 3 << 20]].concat()),
    ]
}

#[test]
fn every_trick_is_refused_and_nothing_is_touched() {
    let place = Place::new();
    let canary = place.canary();
    let tables = [names(&canary), links(&canary), types(), sizes(), headers(), sparse_files(), ends()];
    let tricks: Vec<Trick> = tables.into_iter().flatten().collect();
    for (what, reason, bytes) in &tricks {
        for name in ["out", "out.tar", "out.tar.gz", "out.tar.zst"] {
            let destination = place.destination(name);
            let (_, word) = refused(&mut &bytes[..], &destination, policy());
            assert_eq!(word, *reason, "{what}, into {name}");
            assert!(!destination.exists(), "{what}, into {name}");
            assert!(place.is_as_before(&destination), "{what}, into {name}");
        }
    }
    println!("{} tricks", tricks.len());
    assert!(tricks.len() > 100, "{} tricks", tricks.len());
}

#[test]
fn a_refusal_names_the_entry() {
    let place = Place::new();
    let bytes = archive(&[file("good", ""), file("a/../b", "")]);
    assert_eq!(refused(&mut &bytes[..], &place.destination("out"), policy()), ("a/../b".into(), "name_parent"));
}

/// Receives what is defused instead of refused.
fn defused(place: &Place, members: &[Raw], policy: Policy) -> Received {
    let destination = place.destination("out");
    let received = receive(&mut &archive(members)[..], &destination, policy).unwrap();
    assert!(place.is_as_before(&destination));
    received
}

fn problems(received: &Received) -> Vec<(String, &'static str)> {
    let notices = received.notices.iter();
    notices.map(|notice| (String::from_utf8_lossy(&notice.path).into_owned(), notice.problem.word())).collect()
}

#[test]
fn special_mode_bits_are_taken_off() {
    let place = Place::new();
    let mode = |member: Raw, mode: &[u8]| Raw { mode: mode.to_vec(), ..member };
    let members = [mode(file("suid", "x"), b"0004755"), mode(directory("d"), b"0003777"), file("plain", "x")];
    let received = defused(&place, &members, policy());
    assert_eq!(problems(&received), [("suid".into(), "mode_bits"), ("d".into(), "mode_bits")]);
    let tree = tree(&place.destination("out"));
    assert_eq!(tree[&b"suid"[..]].0 & 0o7777, 0o755);
    assert_eq!(tree[&b"d"[..]].0 & 0o7777, 0o777);
    assert_eq!(received.manifest.get(b"suid").unwrap().mode, 0o755);
}

#[test]
fn attributes_are_dropped_with_a_notice() {
    let place = Place::new();
    for key in
        ["SCHILY.xattr.user.x", "LIBARCHIVE.xattr.security.capability", "SCHILY.acl.access", "RHT.security.selinux"]
    {
        let received = defused(&place, &[pax(&[(key, b"value")]), file("a", "x")], policy());
        assert_eq!(problems(&received), [("a".into(), "attributes")], "{key}");
        let names = rustix::fs::listxattr(place.destination("out").join("a"), &mut [0u8; 4096][..]).unwrap();
        assert_eq!(names, 0, "{key}");
        fs::remove_dir_all(place.destination("out")).unwrap();
    }
}

#[test]
fn links_that_lead_outside_are_left_out_or_kept_and_never_written_through() {
    let place = Place::new();
    let members = [symlink("l", place.canary()), symlink("ok", "l"), file("f", "x")];
    let skip = Policy { links: Links::Skip, ..policy() };
    let received = defused(&place, &members, skip);
    assert_eq!(received.notices[0].problem, Problem::LinkOutside);
    assert_eq!(world::names(&received.manifest), ["f", "ok"]);
    fs::remove_dir_all(place.destination("out")).unwrap();

    let keep = Policy { links: Links::Keep, ..policy() };
    assert_eq!(world::names(&defused(&place, &members, keep).manifest), ["f", "l", "ok"]);
    fs::remove_dir_all(place.destination("out")).unwrap();
    for below in [file("l/secret", "changed"), directory("l/new"), symlink("l/s", "x"), hard_link("l/h", "f")] {
        let bytes = archive(&[members[0].clone(), members[2].clone(), below]);
        let destination = place.destination("out");
        assert_eq!(refused(&mut &bytes[..], &destination, keep).1, "below_non_directory");
        assert!(!destination.exists() && place.is_as_before(&destination));
    }
}

/// A guest that never stops sending files.
struct Endless {
    number: u64,
    pending: Vec<u8>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pending.is_empty() {
            self.pending = file(self.number.to_string(), "x").bytes();
            self.number += 1;
        }
        let length = buffer.len().min(self.pending.len());
        buffer[..length].copy_from_slice(&self.pending[..length]);
        self.pending.drain(..length);
        Ok(length)
    }
}

#[test]
fn a_stream_without_end_meets_a_limit() {
    let place = Place::new();
    let destination = place.destination("out");
    let mut endless = Endless { number: 0, pending: Vec::new() };
    assert_eq!(refused(&mut endless, &destination, policy()), ("50".into(), "too_many_entries"));
    assert!(!destination.exists() && place.is_as_before(&destination));
}

#[test]
fn two_thousand_nested_directories_are_removed_again() {
    let place = Place::new();
    let members = [long(b'L', "d/".repeat(2047)), directory("x"), file(".lifted-1/x", ""), file("../x", "")];
    let destination = place.destination("out");
    assert_eq!(refused(&mut &archive(&members)[..], &destination, Policy::default()).1, "name_parent");
    assert!(!destination.exists() && place.is_as_before(&destination));
}

#[test]
fn a_stream_that_fails_leaves_nothing() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the guest is gone"))
        }
    }
    let place = Place::new();
    let bytes = archive(&[file("a", "x")]);
    let mut stream = (&bytes[..600]).chain(Failing);
    let error = receive(&mut stream, &place.destination("out"), policy()).unwrap_err();
    assert!(matches!(error, ReceiveError::Read(_)), "{error:?}");
    assert!(place.is_as_before(&place.destination("out")) && !place.destination("out").exists());
}

#[test]
fn what_is_there_is_not_replaced() {
    let place = Place::new();
    let bytes = archive(&[file("a", "x")]);
    let work = place.home.path().join("work");
    world::put(&work, "full/x", "x");
    world::put(&work, "file", "x");
    world::put(&work, "file.tar", "x");
    fs::create_dir(work.join("dir.tar")).unwrap();
    fs::create_dir(work.join("empty")).unwrap();
    std::os::unix::fs::symlink("empty", work.join("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", work.join("dangling")).unwrap();
    let before = tree(place.home.path());
    for name in ["full", "file", "file.tar", "dir.tar", "link", "dangling"] {
        let error = receive(&mut &bytes[..], &work.join(name), policy()).unwrap_err();
        assert!(matches!(error, ReceiveError::DestinationExists(_)), "{name}: {error:?}");
        assert_eq!(tree(place.home.path()), before, "{name}");
    }
    receive(&mut &bytes[..], &work.join("empty"), policy()).unwrap();
    assert_eq!(fs::read(work.join("empty/a")).unwrap(), b"x");
}

/// Makes a file at the destination when it is first read: later than the first look at it.
struct Meanwhile<'a>(&'a Path, &'a [u8]);

impl Read for Meanwhile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.0.exists() {
            fs::write(self.0, "mine")?;
        }
        self.1.read(buffer)
    }
}

#[test]
fn what_appears_meanwhile_is_not_replaced_either() {
    let bytes = archive(&[file("a", "x")]);
    for name in ["out", "out.tar"] {
        let place = Place::new();
        let destination = place.destination(name);
        let error = receive(&mut Meanwhile(&destination, &bytes), &destination, policy()).unwrap_err();
        assert!(matches!(error, ReceiveError::DestinationExists(_)), "{name}: {error:?}");
        assert_eq!(fs::read(&destination).unwrap(), b"mine");
        assert!(place.is_as_before(&destination));
    }
}
