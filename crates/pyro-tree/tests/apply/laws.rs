//! Laws that hold for any two trees.

use proptest::prelude::*;
use pyro_tree::apply::{Decision, Policy, plan};
use pyro_tree::undo::{self, NoSteps};

use crate::world::*;

const NAMES: &[&str] = &["a", "a/b", "a/b/c", "a/d", "e", "e/f", "g", "a.b"];

fn node() -> impl Strategy<Value = Node> {
    prop_oneof![
        3 => ("[xy]{0,2}", prop_oneof![Just(0o644), Just(0o755), Just(0o600)])
            .prop_map(|(content, mode)| Node::File(content.into_bytes(), mode)),
        3 => prop_oneof![Just(0o755), Just(0o700), Just(0o500)].prop_map(Node::Directory),
        1 => prop_oneof![Just("a"), Just("g")].prop_map(link),
    ]
}

/// Whatever is below something that is no directory is left out.
fn any_tree() -> impl Strategy<Value = Tree> {
    proptest::collection::vec(proptest::option::of(node()), NAMES.len()).prop_map(|nodes| {
        let mut tree = Tree::new();
        for (name, node) in NAMES.iter().zip(nodes) {
            let parent = name.rsplit_once('/').map(|(parent, _)| parent.as_bytes());
            let fits = parent.is_none_or(|parent| matches!(tree.get(parent), Some(Node::Directory(_))));
            if let Some(node) = node.filter(|_| fits) {
                tree.insert(name.as_bytes().to_vec(), node);
            }
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn applying_gives_the_guests_tree_and_undoing_the_old_one(base in any_tree(), now in any_tree()) {
        let mut world = World::new(base.clone(), now.clone());
        let plan = world.plan();
        let applied = world.carry_out(&plan).unwrap();
        prop_assert_eq!(world.tree(), now);
        prop_assert_eq!(applied.number.is_none(), plan.steps.is_empty());
        if let Some(number) = applied.number {
            let reversal = undo::undo(&world.undo(), number, &NoSteps).unwrap();
            prop_assert_eq!(reversal.left, []);
        }
        prop_assert_eq!(world.tree(), base);
    }

    #[test]
    fn nothing_outside_of_the_plan_is_touched_and_no_work_of_the_host_is_lost(
        base in any_tree(), now in any_tree(), host in any_tree(),
    ) {
        let mut world = World::new(host.clone(), now.clone());
        let changes = changes(&base, &now);
        let plan = plan(&world.root(), changes.clone(), &Policy::default()).unwrap().without_problems();
        world.carry_out(&plan).unwrap();
        let result = world.tree();
        for path in host.keys().chain(result.keys()) {
            let step = plan.steps.iter().find(|step| &step.change.path == path);
            let untouched = step.is_none_or(|step| step.decision == Decision::Same);
            if untouched {
                prop_assert_eq!(host.get(path), result.get(path), "{:?}", path);
            }
            let content = |node: Option<&Node>| match node {
                Some(Node::File(content, _) | Node::Link(content)) => Some(content.clone()),
                _ => None,
            };
            // What the host had and the guest never saw is still there.
            if content(host.get(path)).is_some() && content(host.get(path)) != content(base.get(path)) {
                prop_assert_eq!(content(host.get(path)), content(result.get(path)), "{:?}", path);
            }
        }
    }

    #[test]
    fn applying_nothing_changes_nothing(base in any_tree()) {
        let mut world = World::new(base.clone(), base.clone());
        let plan = world.plan();
        prop_assert_eq!(world.carry_out(&plan).unwrap().number, None);
        prop_assert_eq!(world.tree(), base);
        prop_assert!(!world.undo().exists());
    }
}
