//! Races, links and lies. The canary outside of the tree is looked at by every one.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use pyro_tree::apply::{ApplyError, Decision};
use pyro_tree::undo::{self, NoSteps, Number, Steps, Trouble};

use crate::world::*;

/// Does something once, at the first step of this name.
struct Meanwhile<F: Fn()> {
    at: (&'static str, &'static [u8]),
    what: F,
    done: std::cell::Cell<bool>,
}

impl<F: Fn()> Steps for Meanwhile<F> {
    fn reached(&self, step: &'static str, name: &[u8]) -> io::Result<()> {
        if (step, name) == self.at && !self.done.replace(true) {
            (self.what)();
        }
        Ok(())
    }
}

fn meanwhile<F: Fn()>(step: &'static str, name: &'static [u8], what: F) -> Meanwhile<F> {
    Meanwhile { at: (step, name), what, done: false.into() }
}

fn two_files() -> World {
    let base = tree(&[("a", file("1")), ("d", directory()), ("d/canary", file("1"))]);
    World::new(base, tree(&[("a", file("2")), ("d", directory()), ("d/canary", file("2"))]))
}

/// The directory `d` becomes a link to the directory with the canary.
fn replace_by_link(root: PathBuf) -> impl Fn() {
    move || {
        fs::rename(root.join("d"), root.join("moved")).unwrap();
        symlink("../outside", root.join("d")).unwrap();
    }
}

#[test]
fn a_directory_that_becomes_a_link_after_the_plan_leads_nowhere() {
    let mut world = two_files();
    let plan = world.plan();
    replace_by_link(world.root())();
    let before = world.tree();
    let error = world.carry_out(&plan).unwrap_err();
    assert!(matches!(&error, ApplyError::Changed { path } if path == b"d/canary"), "{error:?}");
    assert_eq!(world.tree(), before);
}

#[test]
fn a_directory_that_becomes_a_link_in_the_middle_leads_nowhere_and_all_is_taken_back() {
    let mut world = two_files();
    let plan = world.plan();
    let steps = meanwhile("before a step", b"d/canary", replace_by_link(world.root()));
    let error = world.carry_out_with(&plan, &steps).unwrap_err();
    let ApplyError::Failed { path, taken_back, .. } = error else { panic!("{error:?}") };
    assert_eq!((path, taken_back.restored), (b"d/canary".to_vec(), vec![b"a".to_vec()]));
    let left: Vec<_> = taken_back.left.iter().map(|left| (&left.path[..], left.why.as_str())).collect();
    assert_eq!(left, [(&b"d/canary"[..], "a directory of its path was replaced")]);
    let expected = [("a", file("1")), ("d", link("../outside")), ("moved", directory()), ("moved/canary", file("1"))];
    assert_eq!(world.tree(), tree(&expected));
}

#[test]
fn a_link_in_place_of_the_file_is_never_written_through() {
    for step in ["before a step", "prepared", "looked"] {
        let mut world = two_files();
        let plan = world.plan();
        let place = world.root().join("a");
        let name: &[u8] = b"a";
        let steps = meanwhile(step, name, || {
            fs::remove_file(&place).unwrap();
            symlink("../outside/canary", &place).unwrap();
        });
        let error = world.carry_out_with(&plan, &steps).unwrap_err();
        assert!(matches!(error, ApplyError::Failed { source: Trouble::Changed, .. }), "{step}: {error:?}");
        assert_eq!(world.tree()[&b"a"[..]], link("../outside/canary"), "{step}");
        assert_eq!(world.tree().len(), 3, "{step}: nothing is left beside it");
    }
}

#[test]
fn a_file_that_the_user_writes_in_the_middle_keeps_his_content() {
    for (now, step) in [("2", "prepared"), ("2", "looked"), ("", "looked")] {
        let base = tree(&[("a", file("1")), ("z", file("1"))]);
        let after =
            if now.is_empty() { tree(&[("z", file("2"))]) } else { tree(&[("a", file(now)), ("z", file("1"))]) };
        let mut world = World::new(base, after);
        let plan = world.plan();
        let place = world.root().join("a");
        let steps = meanwhile(step, b"a", || {
            fs::write(place.with_extension("new"), "mine").unwrap();
            fs::rename(place.with_extension("new"), &place).unwrap();
        });
        let error = world.carry_out_with(&plan, &steps).unwrap_err();
        assert!(matches!(error, ApplyError::Failed { source: Trouble::Changed, .. }), "{step}: {error:?}");
        assert_eq!(world.tree(), tree(&[("a", file("mine")), ("z", file("1"))]), "{step}");
    }
}

#[test]
fn a_name_that_is_taken_in_the_middle_is_not_overwritten() {
    for (node, taken) in [(file("new"), "file"), (link("z"), "file"), (directory(), "file"), (file("new"), "directory")]
    {
        let mut world = World::new(Tree::new(), tree(&[("n", node.clone())]));
        let plan = world.plan();
        let place = world.root().join("n");
        let step = if node == directory() { "before a step" } else { "looked" };
        let steps = meanwhile(step, b"n", || match taken {
            "file" => fs::write(&place, "mine").unwrap(),
            _ => fs::create_dir(&place).unwrap(),
        });
        let error = world.carry_out_with(&plan, &steps).unwrap_err();
        assert!(matches!(error, ApplyError::Failed { source: Trouble::Changed, .. }), "{error:?}");
        let left = world.tree().into_values().collect::<Vec<_>>();
        match taken {
            "file" => assert_eq!(left, [file("mine")]),
            _ => assert!(matches!(left[..], [Node::Directory(_)]), "{left:?}"),
        }
    }
}

#[test]
fn links_and_other_things_on_the_host_are_conflicts() {
    let world = two_files();
    replace_by_link(world.root())();
    fs::remove_file(world.root().join("a")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, world.root().join("a"), rustix::fs::Mode::RWXU).unwrap();
    let plan = world.plan();
    assert!(plan.steps.iter().all(|step| matches!(step.decision, Decision::Conflict { .. })), "{plan:?}");
    fs::remove_file(world.root().join("a")).unwrap();
    world.tree();
}

#[test]
fn a_guest_that_lies_changes_nothing() {
    for lie in ["longer than two", "33", ""] {
        let mut world = two_files();
        let plan = world.plan();
        world.guest.now.insert(b"d/canary".to_vec(), file(lie));
        let base = world.guest.base.clone();
        let error = world.carry_out(&plan).unwrap_err();
        assert!(matches!(&error, ApplyError::Lie { path } if path == b"d/canary"), "{error:?}");
        assert_eq!(world.tree(), base);
        assert_eq!(undo::list(&world.undo()).unwrap(), []);
    }
}

#[test]
fn an_endless_content_ends() {
    struct Endless;
    impl pyro_tree::apply::Contents for Endless {
        fn open(&mut self, _path: &[u8]) -> io::Result<Box<dyn io::Read + '_>> {
            Ok(Box::new(io::repeat(b'x')))
        }
        fn base(&mut self, _path: &[u8]) -> io::Result<Box<dyn io::Read + '_>> {
            Ok(Box::new(io::repeat(b'x')))
        }
    }
    let world = two_files();
    let undo = world.undo();
    let application =
        pyro_tree::apply::Application { undo_directory: &undo, now: std::time::UNIX_EPOCH, steps: &NoSteps };
    let error = pyro_tree::apply::carry_out(&world.plan(), &mut Endless, &application).unwrap_err();
    assert!(matches!(error, ApplyError::Lie { .. }), "{error:?}");
}

/// Root may write everywhere; without this capability it is as others are. Only this thread loses it.
fn without_override<T>(work: impl FnOnce() -> T) -> T {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let had = capabilities(None).unwrap();
    let mut less = had;
    less.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH | CapabilitySet::FOWNER);
    set_capabilities(None, less).unwrap();
    let result = work();
    set_capabilities(None, had).unwrap();
    result
}

#[test]
fn a_directory_that_is_read_only_stops_all_and_what_was_done_is_taken_back() {
    let mut world = two_files();
    let base = world.guest.base.clone();
    let plan = world.plan();
    let read_only = world.root().join("d");
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o555)).unwrap();
    let error = without_override(|| world.carry_out(&plan)).unwrap_err();
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o755)).unwrap();
    let ApplyError::Failed { path, source: Trouble::File(source), taken_back, .. } = error else { panic!("{error:?}") };
    assert_eq!((&path[..], source.kind()), (&b"d/canary"[..], io::ErrorKind::PermissionDenied));
    assert_eq!((taken_back.restored, taken_back.left), (vec![b"a".to_vec()], vec![]));
    assert_eq!(world.tree(), base);
}

#[test]
fn an_undo_goes_through_no_link_either() {
    let mut world = two_files();
    let plan = world.plan();
    world.carry_out(&plan).unwrap();
    replace_by_link(world.root())();
    let reversal = undo::undo(&world.undo(), Number(1), &NoSteps).unwrap();
    assert_eq!(reversal.restored, [b"a".to_vec()]);
    assert_eq!(reversal.left.len(), 1);
    assert_eq!(world.tree()[&b"moved/canary"[..]], file("2"));
}
