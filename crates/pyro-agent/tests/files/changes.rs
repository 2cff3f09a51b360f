//! What is told of a workspace that was changed. [`World::changes`] holds it against both trees.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::SystemTime;

use pyro_protocol::files::{Kind, reason};

use crate::seeded::{World, digest, with_mounts};
use crate::worker::at;

/// Directories and files; the content of a file is its path.
fn fill(seed: &Path, paths: &[&str]) {
    for path in paths {
        let at = seed.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        match path.strip_suffix('/') {
            Some(_) => fs::create_dir_all(at).unwrap(),
            None => fs::write(at, path).unwrap(),
        }
    }
}

/// Seeds some paths, does something in the workspace, and wants these changes.
fn case(test: &str, paths: &[&str], edit: impl FnOnce(&Path), expected: &[&str]) {
    with_mounts(&format!("changes::{test}"), || {
        let world = World::seeded(|seed| fill(seed, paths));
        edit(&world.workspace());
        assert_eq!(world.changes(), expected);
    });
}

#[test]
fn nothing_was_changed() {
    case("nothing_was_changed", &["a", "d/b"], |_| {}, &[]);
}

#[test]
fn added_modified_and_deleted_are_told_with_what_was_before_and_is_after() {
    with_mounts("changes::added_modified_and_deleted_are_told_with_what_was_before_and_is_after", || {
        let world = World::seeded(|seed| fill(seed, &["d/changed", "d/gone", "d/kept"]));
        let root = world.workspace();
        fs::write(root.join("d/changed"), "other").unwrap();
        fs::remove_file(root.join("d/gone")).unwrap();
        fs::write(root.join("d/new"), "new").unwrap();
        assert_eq!(world.changes(), ["~ d/changed", "- d/gone", "+ d/new"]);
        let changes = world.ask(&[], 0).changes();
        let (before, after) = (changes[0].before.as_ref().unwrap(), changes[0].after.as_ref().unwrap());
        assert_eq!((before.size, before.digest.as_str()), (9, digest(b"d/changed").as_str()));
        assert_eq!((after.size, after.digest.as_str()), (5, digest(b"other").as_str()));
        assert!(before.mtime_ns > 0 && after.mtime_ns >= before.mtime_ns);
        let done = world.ask(&[], 0).done();
        // Different lengths need no look inside: each is read once.
        assert_eq!((done.entries, done.bytes), (4, 9 + 5 + 6 + 3));
    });
}

#[test]
fn with_a_directory_goes_all_that_was_in_it() {
    let edit = |root: &Path| fs::remove_dir_all(root.join("a")).unwrap();
    let gone = ["- a", "- a/b", "- a/b/c", "- a/b/c/f", "- a/f"];
    case("with_a_directory_goes_all_that_was_in_it", &["a/b/c/f", "a/f", "z"], edit, &gone);
}

#[test]
fn a_mode_is_a_change() {
    let edit = |root: &Path| {
        fs::set_permissions(root.join("a"), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(root.join("d"), Permissions::from_mode(0o700)).unwrap();
    };
    case("a_mode_is_a_change", &["a", "d/b"], edit, &["~ a", "~ d"]);
}

#[test]
fn a_kind_is_a_change_with_all_that_comes_and_goes() {
    let edit = |root: &Path| {
        fs::remove_file(root.join("file")).unwrap();
        fs::create_dir(root.join("file")).unwrap();
        fs::write(root.join("file/new"), "").unwrap();
        fs::remove_dir_all(root.join("directory")).unwrap();
        fs::write(root.join("directory"), "").unwrap();
        fs::remove_file(root.join("target")).unwrap();
        symlink("file", root.join("target")).unwrap();
    };
    let expected =
        ["~ directory", "- directory/a", "- directory/b", "- directory/b/c", "~ file", "+ file/new", "~ target"];
    let test = "a_kind_is_a_change_with_all_that_comes_and_goes";
    case(test, &["file", "directory/a", "directory/b/c", "target"], edit, &expected);
}

#[test]
fn a_renamed_file_went_and_came() {
    let edit = |root: &Path| fs::rename(root.join("d/a"), root.join("b")).unwrap();
    case("a_renamed_file_went_and_came", &["d/a", "d/k"], edit, &["+ b", "- d/a"]);
}

#[test]
fn a_renamed_directory_went_and_came_whole() {
    with_mounts("changes::a_renamed_directory_went_and_came_whole", || {
        let world = World::seeded(|seed| fill(seed, &["a/x", "a/y/z", "o/k"]));
        let root = world.workspace();
        fs::rename(root.join("a"), root.join("o/b")).unwrap();
        let upper = world.layers().join("upper/o/b");
        assert_eq!(fs::read_dir(&upper).unwrap().count(), 0, "nothing was copied: it is redirected");
        let (gone, came) = (["- a", "- a/x", "- a/y", "- a/y/z"], ["+ o/b", "+ o/b/x", "+ o/b/y", "+ o/b/y/z"]);
        assert_eq!(world.changes(), [gone, came].concat());
        // And again, a part of it, which is redirected from the root of the seed then.
        fs::write(root.join("o/b/x"), "other").unwrap();
        fs::rename(root.join("o/b/y"), root.join("y")).unwrap();
        assert_eq!(world.changes(), [&gone[..], &["+ o/b", "+ o/b/x", "+ y", "+ y/z"]].concat());
        // And back, where nothing is different any more but one file.
        fs::rename(root.join("o/b"), root.join("a")).unwrap();
        fs::rename(root.join("y"), root.join("a/y")).unwrap();
        assert_eq!(world.changes(), ["~ a/x"]);
    });
}

#[test]
fn a_replaced_directory_is_compared_with_what_it_hides() {
    with_mounts("changes::a_replaced_directory_is_compared_with_what_it_hides", || {
        let world = World::seeded(|seed| fill(seed, &["d/gone/a", "d/other", "d/same"]));
        let directory = world.workspace().join("d");
        fs::remove_dir_all(&directory).unwrap();
        fill(&world.workspace(), &["d/same", "d/new"]);
        fs::write(directory.join("other"), "xxx").unwrap();
        assert_eq!(world.changes(), ["- d/gone", "- d/gone/a", "+ d/new", "~ d/other"]);
    });
}

#[test]
fn a_directory_that_takes_the_place_of_another_is_compared_with_it() {
    let edit = |root: &Path| {
        fs::remove_dir_all(root.join("a")).unwrap();
        fs::rename(root.join("b"), root.join("a")).unwrap();
    };
    let expected = ["- a/gone", "+ a/only", "~ a/x", "- b", "- b/only", "- b/x"];
    case(
        "a_directory_that_takes_the_place_of_another_is_compared_with_it",
        &["a/gone", "a/x", "b/only", "b/x"],
        edit,
        &expected,
    );
}

#[test]
fn what_is_copied_up_and_equal_is_no_change() {
    with_mounts("changes::what_is_copied_up_and_equal_is_no_change", || {
        let world = World::seeded(|seed| fill(seed, &["touched", "written", "d/owned"]));
        let root = world.workspace();
        File::open(root.join("touched")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        fs::write(root.join("written"), "written").unwrap();
        std::os::unix::fs::chown(root.join("d/owned"), Some(7), Some(7)).unwrap();
        assert_eq!(fs::read_dir(world.layers().join("upper")).unwrap().count(), 3, "they were copied up");
        assert_eq!(world.changes(), [""; 0]);
    });
}

#[test]
fn what_was_removed_and_made_again_is_compared() {
    let edit = |root: &Path| {
        for path in ["same", "other"] {
            fs::remove_file(root.join(path)).unwrap();
        }
        fs::write(root.join("same"), "same").unwrap();
        fs::write(root.join("other"), "OTHER").unwrap();
        fs::write(root.join("passing"), "").unwrap();
        fs::remove_file(root.join("passing")).unwrap();
    };
    case("what_was_removed_and_made_again_is_compared", &["same", "other"], edit, &["~ other"]);
}

#[test]
fn each_name_of_a_file_is_told() {
    with_mounts("changes::each_name_of_a_file_is_told", || {
        let world = World::seeded(|seed| {
            fill(seed, &["a", "z"]);
            fs::hard_link(seed.join("a"), seed.join("b")).unwrap();
        });
        let root = world.workspace();
        fs::hard_link(root.join("z"), root.join("y")).unwrap();
        fs::write(root.join("a"), "other").unwrap();
        fs::write(root.join("y"), "both").unwrap();
        assert_eq!(world.changes(), ["~ a", "+ y", "~ z"], "names of a seed part, those made later do not");
    });
}

#[test]
fn names_are_bytes_and_sorted_by_them() {
    with_mounts("changes::names_are_bytes_and_sorted_by_them", || {
        let world = World::seeded(|seed| fs::write(at(seed, b"\xff\xfe"), "").unwrap());
        let root = world.workspace();
        fs::remove_file(at(&root, b"\xff\xfe")).unwrap();
        fill(&root, &["a/x", "a.b", "a-/y", "a0"]);
        fs::write(at(&root, b"a/\xff\n"), "").unwrap();
        world.changes();
        let changes = world.ask(&[], 0).changes();
        let paths: Vec<&[u8]> = changes.iter().map(|change| change.path.as_slice()).collect();
        assert_eq!(paths, [&b"a"[..], b"a-", b"a-/y", b"a.b", b"a/x", b"a/\xff\n", b"a0", b"\xff\xfe"]);
    });
}

#[test]
fn only_what_was_asked_for_is_told() {
    with_mounts("changes::only_what_was_asked_for_is_told", || {
        let world = World::seeded(|seed| fill(seed, &["a/b/c", "a/bc", "d/e/f"]));
        let root = world.workspace();
        fs::remove_dir_all(root.join("a")).unwrap();
        fs::write(root.join("d/e/f"), "other").unwrap();
        let told = |paths: &[&str], most| {
            let said = world.ask(paths, most);
            let paths: Vec<_> =
                said.changes().iter().map(|change| String::from_utf8_lossy(&change.path).into_owned()).collect();
            (paths.join(" "), said.done().truncated)
        };
        assert_eq!(told(&["a/b/", "./d"], 0), ("a/b a/b/c d/e/f".into(), false));
        assert_eq!(told(&["nothing", "d/e/f/g"], 0), (String::new(), false));
        assert_eq!(told(&[], 2), ("a a/b".into(), true));
        assert_eq!(told(&[], 5), ("a a/b a/b/c a/bc d/e/f".into(), false));
        assert_eq!(world.ask(&["a/../d"], 0).reason(), reason::BAD_REQUEST);
    });
}

/// Needs no mount, so anybody can run it.
#[test]
fn without_a_seed_everything_is_new() {
    let world = World::new();
    fill(&world.workspace(), &["d/a", "b"]);
    let told = |world: &World| {
        let changes = world.ask(&[], 0).changes();
        assert!(changes.iter().all(|change| change.before.is_none()));
        changes.iter().map(|change| (change.path.clone(), change.after.as_ref().unwrap().kind())).collect::<Vec<_>>()
    };
    let all = [(b"b".to_vec(), Kind::File), (b"d".to_vec(), Kind::Directory), (b"d/a".to_vec(), Kind::File)];
    assert_eq!(told(&world), all);
    // A seed that was begun and never mounted says nothing of the workspace.
    fs::create_dir_all(world.seed()).unwrap();
    assert_eq!(told(&world), all);
}

#[test]
fn three_changes_in_a_tree_of_100_000_are_found_by_looking_at_six_names() {
    with_mounts("changes::three_changes_in_a_tree_of_100_000_are_found_by_looking_at_six_names", || {
        let world = World::seeded(|seed| {
            for directory in 0..100 {
                let directory = seed.join(format!("d{directory}"));
                fs::create_dir(&directory).unwrap();
                (0..1000).for_each(|file| fs::write(directory.join(format!("f{file}")), "").unwrap());
            }
        });
        let root = world.workspace();
        fs::write(root.join("d3/f7"), "x").unwrap();
        fs::remove_file(root.join("d50/f9")).unwrap();
        fs::write(root.join("d70/new"), "xx").unwrap();
        let said = world.ask(&[], 0);
        assert_eq!(
            said.changes().iter().map(|change| change.path.as_slice()).collect::<Vec<_>>(),
            [&b"d3/f7"[..], b"d50/f9", b"d70/new"]
        );
        let done = said.done();
        assert_eq!((done.entries, done.bytes), (6, 3));
    });
}
