//! Applications and reversals that are killed, or fail, at each step in turn.
//!
//! A kill is a panic in the hook: nothing after it is done but releasing the lock, which the kernel does for the dead.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyro_tree::apply::ApplyError;
use pyro_tree::undo::{self, NoSteps, Number, Stage, Steps};

use crate::world::*;

/// Stops at one step: by dying, or with an error as of a full disk.
struct StopAt {
    left: Cell<Option<usize>>,
    dies: bool,
    seen: RefCell<Vec<&'static str>>,
}

impl StopAt {
    fn new(step: Option<usize>, dies: bool) -> Self {
        Self { left: Cell::new(step), dies, seen: RefCell::default() }
    }
}

impl Steps for StopAt {
    fn reached(&self, step: &'static str, _name: &[u8]) -> io::Result<()> {
        self.seen.borrow_mut().push(step);
        match self.left.get() {
            Some(0) => {
                self.left.set(None);
                if self.dies {
                    std::panic::resume_unwind(Box::new("killed"));
                }
                Err(io::Error::from_raw_os_error(28))
            }
            left => {
                self.left.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }
}

fn world() -> World {
    let base = tree(&[
        ("changed", file("1")),
        ("deleted", file("gone")),
        ("d", directory()),
        ("d/inside", file("x")),
        ("becomes", file("a file")),
        ("was", directory()),
        ("was/in", file("it")),
        ("mode", file("m")),
        ("l", link("changed")),
    ]);
    let now = tree(&[
        ("changed", file("2")),
        ("new", directory()),
        ("new/deep", file("n")),
        ("becomes", directory()),
        ("becomes/dir", file("y")),
        ("was", file("dir")),
        ("mode", Node::File(b"m".to_vec(), 0o755)),
        ("l", link("mode")),
        ("l2", link("new/deep")),
    ]);
    World::new(base, now)
}

fn number_of_steps() -> usize {
    let mut world = world();
    let steps = StopAt::new(None, true);
    let plan = world.plan();
    world.carry_out_with(&plan, &steps).unwrap();
    let seen = steps.seen.into_inner();
    for step in ["staging", "directory made", "prepared", "looked", "exchanged", "renamed aside", "applied"] {
        assert!(seen.contains(&step), "{step} of {seen:?}");
    }
    seen.len()
}

#[test]
fn an_application_killed_at_any_step_is_taken_back_or_whole() {
    for step in 0..number_of_steps() {
        let mut world = world();
        let (base, now) = (world.guest.base.clone(), world.guest.now.clone());
        let plan = world.plan();
        let steps = StopAt::new(Some(step), true);
        assert!(catch_unwind(AssertUnwindSafe(|| world.carry_out_with(&plan, &steps))).is_err());
        let list = undo::list(&world.undo()).unwrap();
        if list[0].1.as_ref().is_some_and(|record| record.stage == Stage::Applied) {
            assert_eq!((steps.seen.borrow().last(), world.tree()), (Some(&"applied"), now));
            continue;
        }
        let error = world.carry_out(&plan).unwrap_err();
        assert!(matches!(error, ApplyError::Unfinished(Number(1))), "step {step}: {error:?}");
        assert_eq!(undo::unfinished(&world.undo()).unwrap(), [Number(1)]);
        let reversal = undo::roll_back(&world.undo(), Number(1), &NoSteps).unwrap();
        assert_eq!((reversal.left, world.tree()), (vec![], base), "step {step}, {:?}", steps.seen);
        assert_eq!(undo::unfinished(&world.undo()).unwrap(), []);
        world.carry_out(&plan).unwrap();
        assert_eq!(world.tree(), now);
    }
}

#[test]
fn a_disk_that_is_full_at_any_step_leaves_the_old_tree() {
    for step in 0..number_of_steps() - 1 {
        let mut world = world();
        let base = world.guest.base.clone();
        let plan = world.plan();
        let error = world.carry_out_with(&plan, &StopAt::new(Some(step), false)).unwrap_err();
        assert_eq!(world.tree(), base, "step {step}: {error:?}");
        if let ApplyError::Failed { taken_back, .. } = &error {
            assert_eq!(taken_back.left, [], "step {step}");
        }
        assert_eq!(undo::unfinished(&world.undo()).unwrap(), [], "step {step}: {error:?}");
    }
}

#[test]
fn a_reversal_killed_at_any_step_is_called_again() {
    for step in 0.. {
        let mut world = world();
        let plan = world.plan();
        world.carry_out(&plan).unwrap();
        let steps = StopAt::new(Some(step), true);
        let killed = catch_unwind(AssertUnwindSafe(|| undo::undo(&world.undo(), Number(1), &steps))).is_err();
        if !killed {
            assert!(step > 20, "{step}");
            break;
        }
        let reversal = undo::undo(&world.undo(), Number(1), &NoSteps).unwrap();
        assert_eq!((reversal.left, world.tree()), (vec![], world.guest.base.clone()), "step {step}");
    }
}

#[test]
fn undoing_overwrites_nothing_that_was_changed_since() {
    let mut world = world();
    let plan = world.plan();
    world.carry_out(&plan).unwrap();
    fs::write(world.root().join("changed"), "mine").unwrap();
    fs::write(world.root().join("new/mine"), "mine").unwrap();
    fs::write(world.root().join("deleted"), "mine").unwrap();
    let reversal = undo::undo(&world.undo(), Number(1), &NoSteps).unwrap();
    let mut left: Vec<_> = reversal.left.iter().map(|left| (&left.path[..], left.why.as_str())).collect();
    left.sort();
    let expected = [
        (&b"changed"[..], "it was changed since"),
        (b"deleted", "it was changed since"),
        (b"new", "there are files in it that are not from here"),
    ];
    assert_eq!(left, expected);
    let mut expected = world.guest.base.clone();
    expected.extend(tree(&[
        ("changed", file("mine")),
        ("deleted", file("mine")),
        ("new", directory()),
        ("new/mine", file("mine")),
    ]));
    assert_eq!(world.tree(), expected);
    fs::remove_file(world.root().join("deleted")).unwrap();
    let again = undo::undo(&world.undo(), Number(1), &NoSteps).unwrap();
    assert_eq!(again.restored, [b"deleted".to_vec()]);
}

#[test]
fn what_is_undone_or_unknown_is_not_undone() {
    let mut world = world();
    let plan = world.plan();
    world.carry_out(&plan).unwrap();
    undo::undo(&world.undo(), Number(1), &NoSteps).unwrap();
    let error = undo::undo(&world.undo(), Number(1), &NoSteps).unwrap_err();
    assert_eq!(error.to_string(), "application 1 cannot be taken back: it is Undone");
    let error = undo::undo(&world.undo(), Number(2), &NoSteps).unwrap_err();
    assert_eq!(error.to_string(), "there is no application 2");
    undo::remove(&world.undo(), Number(1)).unwrap();
    assert_eq!(undo::list(&world.undo()).unwrap(), []);
}

#[test]
fn what_a_living_process_works_on_is_neither_unfinished_nor_undone() {
    let mut world = world();
    let plan = world.plan();
    let steps = StopAt::new(Some(20), true);
    assert!(catch_unwind(AssertUnwindSafe(|| world.carry_out_with(&plan, &steps))).is_err());
    let alive = pyro_hostfs::lock::exclusive(&world.undo().join("1/lock")).unwrap();
    assert_eq!(undo::unfinished(&world.undo()).unwrap(), []);
    let error = undo::roll_back(&world.undo(), Number(1), &NoSteps).unwrap_err();
    assert_eq!(error.to_string(), "application 1 is being worked on by another process");
    drop(alive);
    assert_eq!(undo::unfinished(&world.undo()).unwrap(), [Number(1)]);
}

#[test]
fn a_damaged_record_is_not_obeyed_and_can_be_removed() {
    let mut world = world();
    let plan = world.plan();
    world.carry_out(&plan).unwrap();
    let record = world.undo().join("1/undo.json");
    let text = fs::read_to_string(&record).unwrap().replace("\"changed\"", "\"deleted\"");
    fs::write(&record, text).unwrap();
    assert!(undo::undo(&world.undo(), Number(1), &NoSteps).is_err());
    assert!(undo::list(&world.undo()).is_err());
    assert_eq!(world.tree(), world.guest.now);
    undo::remove(&world.undo(), Number(1)).unwrap();
    assert_eq!(undo::list(&world.undo()).unwrap(), []);
}
