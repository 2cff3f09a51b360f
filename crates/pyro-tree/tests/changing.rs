//! Sources that change while they are read. The output of `write` is the hook: it gets the header of a file before the
//! file's content is read, so a change there comes between the two. Nothing waits.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod world;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::Path;

use pyro_tree::pack::{Packed, Problem, Source};
use world::{options, put, take};

/// Larger than what is buffered on the way, so that its header is written out before its last pieces are read.
const LARGE: usize = 4 << 20;

/// An output that does something once, when the first bytes come.
struct Hook<F: FnMut()> {
    bytes: Vec<u8>,
    act: F,
}

impl<F: FnMut()> Write for Hook<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            (self.act)();
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Packs a large file `a` and a small file `b`, and changes something when `a` is partly read. What arrives must be
/// what the manifest says.
fn pack_and_change(change: impl Fn(&Path)) -> (Packed, world::Tree) {
    let home = tempfile::tempdir().unwrap();
    let from = home.path().join("from");
    put(&from, "a", vec![b'a'; LARGE]);
    put(&from, "d/b", "b");
    put(home.path(), "outside/b", "a secret");
    let source = Source::open(&from, &options()).unwrap();
    let mut hook = Hook { bytes: Vec::new(), act: || change(&from) };
    let packed = source.write(&mut hook, &mut |_| {}).unwrap();
    let received = take(&hook.bytes, &home.path().join("to"));
    assert_eq!(received.manifest.entries(), packed.manifest.entries());
    (packed, world::tree(&home.path().join("to")))
}

fn only(packed: &Packed) -> (&[u8], &Problem) {
    let [notice] = packed.notices.as_slice() else { panic!("{:?}", packed.notices) };
    (&notice.path, &notice.problem)
}

#[test]
fn nothing_changes_and_nothing_is_noticed() {
    let (packed, tree) = pack_and_change(|_| {});
    assert_eq!((packed.notices.len(), tree.len()), (0, 3));
}

#[test]
fn a_file_that_shrinks_is_filled_with_zeros() {
    let (packed, tree) =
        pack_and_change(|from| fs::File::options().write(true).open(from.join("a")).unwrap().set_len(100).unwrap());
    assert_eq!(only(&packed), (&b"a"[..], &Problem::Shrank));
    let content = &tree[&b"a"[..]].2;
    assert_eq!((content.len(), content[0], content[LARGE - 1]), (LARGE, b'a', 0));
}

#[test]
fn of_a_file_that_grows_the_first_part_is_sent() {
    let (packed, tree) = pack_and_change(|from| {
        fs::File::options().append(true).open(from.join("a")).unwrap().write_all(b"more").unwrap();
    });
    assert_eq!(only(&packed), (&b"a"[..], &Problem::Grew));
    assert_eq!(tree[&b"a"[..]].2, vec![b'a'; LARGE]);
}

#[test]
fn a_file_that_is_written_to_is_noticed() {
    use std::os::unix::fs::FileExt;
    let (packed, tree) = pack_and_change(|from| {
        let file = fs::File::options().write(true).open(from.join("a")).unwrap();
        file.write_all_at(b"z", LARGE as u64 - 1).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    });
    assert_eq!(only(&packed), (&b"a"[..], &Problem::Changed));
    assert_eq!(tree[&b"a"[..]].2[LARGE - 1], b'z');
}

#[test]
fn a_file_that_vanishes_is_left_out() {
    let (packed, tree) = pack_and_change(|from| fs::remove_file(from.join("d/b")).unwrap());
    assert_eq!(only(&packed), (&b"d/b"[..], &Problem::Vanished));
    assert_eq!(tree.len(), 2);
}

#[test]
fn a_directory_that_becomes_a_link_leads_nowhere() {
    let (packed, tree) = pack_and_change(|from| {
        fs::remove_dir_all(from.join("d")).unwrap();
        symlink("../outside", from.join("d")).unwrap();
    });
    assert_eq!(only(&packed), (&b"d/b"[..], &Problem::Replaced));
    assert_eq!(tree[&b"d"[..]].2, b"../outside", "the link is sent as it is");
    assert!(!tree.contains_key(&b"d/b"[..]));
}

#[test]
fn a_file_that_becomes_a_pipe_is_a_notice_and_nobody_waits() {
    let (packed, _) = pack_and_change(|from| {
        fs::remove_file(from.join("d/b")).unwrap();
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, from.join("d/b"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    });
    assert_eq!(only(&packed), (&b"d/b"[..], &Problem::Fifo));
}

#[test]
fn an_output_that_fails_is_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let home = tempfile::tempdir().unwrap();
    put(home.path(), "a", "x");
    let error = Source::open(home.path(), &options()).unwrap().write(&mut Full, &mut |_| {}).unwrap_err();
    assert!(matches!(error, pyro_tree::pack::PackError::Output(_)), "{error:?}");
}
