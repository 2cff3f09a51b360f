//! The seed with all changes is the workspace, whatever was done in it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::SystemTime;

use proptest::prelude::*;

use crate::seeded::{World, with_mounts};
use crate::worker::at;

#[derive(Clone, Debug)]
enum Edit {
    Write(Vec<u8>, u8),
    Directory(Vec<u8>),
    Remove(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    Link(Vec<u8>, Vec<u8>),
    HardLink(Vec<u8>, Vec<u8>),
    Mode(Vec<u8>, u32),
    Touch(Vec<u8>),
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![3 => Just(b"a".to_vec()), 3 => Just(b"b".to_vec()), 1 => Just(b"a.b".to_vec()), 1 => Just(b"\xff".to_vec())];
    prop::collection::vec(name, 1..4).prop_map(|names| names.join(&b'/'))
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (path(), 0..3_u8).prop_map(|(path, content)| Edit::Write(path, content)),
        5 => path().prop_map(Edit::Directory),
        3 => path().prop_map(Edit::Remove),
        5 => (path(), path()).prop_map(|(from, to)| Edit::Rename(from, to)),
        1 => (path(), path()).prop_map(|(to, path)| Edit::Link(to, path)),
        1 => (path(), path()).prop_map(|(from, to)| Edit::HardLink(from, to)),
        1 => (path(), 0..0o1000_u32).prop_map(|(path, mode)| Edit::Mode(path, mode)),
        1 => path().prop_map(Edit::Touch),
    ]
}

/// Many an edit cannot be done where it comes; that is as good.
fn carry_out(edits: &[Edit], root: &Path) {
    for edit in edits {
        let _ = match edit {
            Edit::Write(path, content) => fs::write(at(root, path), [*content]),
            Edit::Directory(path) => fs::create_dir(at(root, path)),
            Edit::Remove(path) => fs::remove_file(at(root, path)).or_else(|_| fs::remove_dir_all(at(root, path))),
            Edit::Rename(from, to) => fs::rename(at(root, from), at(root, to)),
            Edit::Link(to, path) => symlink(at(Path::new(""), to), at(root, path)),
            Edit::HardLink(from, to) => fs::hard_link(at(root, from), at(root, to)),
            Edit::Mode(path, mode) => fs::set_permissions(at(root, path), Permissions::from_mode(*mode)),
            Edit::Touch(path) => File::open(at(root, path)).and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH)),
        };
    }
}

#[test]
fn the_seed_with_all_changes_is_the_workspace() {
    with_mounts("seed_law::the_seed_with_all_changes_is_the_workspace", || {
        let edits = || prop::collection::vec(edit(), 0..40);
        let config = ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(first in edits(), then in edits(), last in edits())| {
            let world = World::seeded(|seed| carry_out(&first, seed));
            prop_assert_eq!(world.changes(), Vec::<String>::new());
            carry_out(&then, &world.workspace());
            world.changes();
            // What the overlay wrote down is read again by a kernel that knows nothing of it.
            world.unmount();
            world.mount().done();
            carry_out(&last, &world.workspace());
            world.changes();
        });
    });
}
