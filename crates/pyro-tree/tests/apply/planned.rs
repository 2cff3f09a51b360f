//! What is decided, and what is taken.

use std::fs;

use pyro_tree::apply::{ApplyError, Decision, Merging, Policy, Reason, plan, select};
use pyro_tree::undo::{self, NoSteps, Number};

use crate::world::*;

fn only(before: Option<Node>, host: Option<Node>, after: Option<Node>) -> Decision {
    let of = |node: Option<Node>| node.map(|node| tree(&[("x", node)])).unwrap_or_default();
    let world = World::new(of(host), of(None));
    let changes = vec![change(b"x", before.as_ref(), after.as_ref())];
    let mut plan = plan(&world.root(), changes, &Policy::default()).unwrap();
    plan.steps.remove(0).decision
}

#[test]
fn every_case_of_one_path_is_decided() {
    let mode = |mode| Node::File(b"a".to_vec(), mode);
    let conflict = |decision: &Decision| matches!(decision, Decision::Conflict { .. });
    let cases = [
        (None, None, Some(file("a")), Decision::Write { mode: 0o644 }),
        (None, None, Some(Node::File(b"a".to_vec(), 0o777)), Decision::Write { mode: 0o755 }),
        (Some(file("a")), Some(file("a")), Some(file("b")), Decision::Write { mode: 0o644 }),
        (Some(file("a")), Some(mode(0o664)), Some(file("b")), Decision::Write { mode: 0o664 }),
        (Some(file("a")), Some(file("a")), Some(mode(0o755)), Decision::SetMode { mode: 0o755 }),
        (Some(file("a")), Some(file("a")), None, Decision::Delete),
        (Some(file("a")), None, None, Decision::Same),
        (Some(file("a")), Some(file("b")), Some(file("b")), Decision::Same),
        (None, Some(mode(0o600)), Some(file("a")), Decision::Same),
        (None, None, Some(directory()), Decision::MakeDirectory { mode: 0o755 }),
        (None, Some(directory()), Some(directory()), Decision::Same),
        (Some(directory()), Some(directory()), None, Decision::RemoveDirectory),
        (None, None, Some(link("y")), Decision::Link),
        (Some(file("a")), Some(file("a")), Some(directory()), Decision::MakeDirectory { mode: 0o755 }),
        (Some(directory()), Some(directory()), Some(file("a")), Decision::Write { mode: 0o644 }),
    ];
    for (before, host, after, expected) in cases {
        assert_eq!(only(before.clone(), host.clone(), after.clone()), expected, "{before:?} {host:?} {after:?}");
    }
    let conflicts = [
        (None, Some(file("b")), Some(file("a"))),
        (None, Some(link("y")), Some(file("a"))),
        (None, Some(directory()), Some(file("a"))),
        (Some(file("a")), Some(file("c")), Some(file("b"))),
        (Some(file("a")), Some(mode(0o755)), Some(file("b"))),
        (Some(file("a")), None, Some(file("b"))),
        (Some(file("a")), Some(file("c")), None),
        (Some(file("a")), Some(link("a")), None),
        (Some(link("y")), Some(link("z")), Some(link("x"))),
    ];
    for (before, host, after) in conflicts {
        let decision = only(before.clone(), host.clone(), after.clone());
        assert!(conflict(&decision), "{before:?} {host:?} {after:?}: {decision:?}");
    }
}

#[test]
fn what_is_refused_is_taken_only_by_its_exact_name() {
    let setuid = Node::File(b"a".to_vec(), 0o4755);
    let cases = [
        (".git", file("gitdir: /tmp"), Reason::Git),
        (".GIT", file("x"), Reason::Git),
        (".gitmodules", file("x"), Reason::Git),
        ("a\x1b]0;x", file("x"), Reason::Control),
        ("su", setuid, Reason::SetId),
        ("out", link("/etc"), Reason::Link),
        ("up", link("../x"), Reason::Link),
    ];
    for (path, node, expected) in cases {
        let world = World::new(Tree::new(), tree(&[(path, node)]));
        let refused = |policy: &Policy| match &plan(&world.root(), world.changes(), policy).unwrap().steps[0].decision {
            Decision::Refused { reason, .. } => Some(*reason),
            _ => None,
        };
        assert_eq!(refused(&Policy::default()), Some(expected), "{path:?}");
        let allow = |name: &str| Policy { allow: vec![name.as_bytes().to_vec()], merging: Merging::Never };
        assert_eq!(refused(&allow(&path.to_uppercase().replace(".GIT", "x"))), Some(expected), "{path:?}");
        assert_eq!(refused(&allow(path)), None, "{path:?}");
    }
}

#[test]
fn names_that_lead_elsewhere_cannot_even_be_allowed() {
    for path in ["../x", "/x", "a/../../x", "a\0"] {
        let world = World::new(Tree::new(), Tree::new());
        let policy = Policy { allow: vec![path.as_bytes().to_vec()], merging: Merging::Never };
        let changes = vec![change(path.as_bytes(), None, Some(&file("x")))];
        let plan = plan(&world.root(), changes, &policy).unwrap();
        assert!(matches!(plan.steps[0].decision, Decision::Refused { reason: Reason::Name, .. }), "{path:?}");
    }
}

#[test]
fn a_plan_with_problems_changes_nothing_until_they_are_left_out() {
    let base = tree(&[("a", file("1")), ("b", file("1"))]);
    let mut world = World::new(base, tree(&[("a", file("2")), ("b", file("2")), (".git", file("x"))]));
    fs::write(world.root().join("b"), "mine").unwrap();
    let plan = world.plan();
    let error = world.carry_out(&plan).unwrap_err();
    assert!(matches!(error, ApplyError::NotClean { conflicts: 1, refused: 1 }), "{error:?}");
    assert_eq!(world.tree(), tree(&[("a", file("1")), ("b", file("mine"))]));
    world.carry_out(&plan.without_problems()).unwrap();
    assert_eq!(world.tree(), tree(&[("a", file("2")), ("b", file("mine"))]));
}

#[test]
fn a_directory_with_a_file_that_the_guest_never_saw_stays() {
    let base = tree(&[("d", directory()), ("d/a", file("1"))]);
    let world = World::new(base, Tree::new());
    fs::write(world.root().join("d/mine"), "x").unwrap();
    let plan = world.plan();
    assert_eq!(plan.steps[0].decision, Decision::Conflict { why: "The host has `mine` in it, which stays.".into() });
    assert_eq!(plan.steps[1].decision, Decision::Delete);
}

#[test]
fn what_executes_on_its_own_is_taken_with_a_warning() {
    let now =
        tree(&[(".envrc", file("x")), (".vscode", directory()), (".vscode/tasks.json", file("{}")), ("a", file(""))]);
    let world = World::new(Tree::new(), now);
    let plan = world.plan();
    let warned: Vec<_> = plan.warnings.iter().map(|warning| (&warning.path[..], warning.obeyed_by)).collect();
    assert_eq!(warned, [(&b".envrc"[..], "direnv"), (b".vscode/tasks.json", "Visual Studio Code")]);
}

#[test]
fn a_text_that_both_changed_is_merged_and_undone() {
    let base = tree(&[("a", file("1\n2\n3\n4\n5\n")), ("b", file("1\n"))]);
    let mut world = World::new(base, tree(&[("a", file("1\n2\n3\n4\nfive\n")), ("b", file("2\n"))]));
    fs::write(world.root().join("a"), "one\n2\n3\n4\n5\n").unwrap();
    fs::write(world.root().join("b"), "3\n").unwrap();
    let before = world.tree();
    let policy = Policy { allow: vec![], merging: Merging::Texts };
    let plan = plan(&world.root(), world.changes(), &policy).unwrap();
    let applied = world.carry_out(&plan).unwrap();
    assert_eq!(applied.merged, [(b"a".to_vec(), 0), (b"b".to_vec(), 1)]);
    let marked = "<<<<<<< ours\n3\n=======\n2\n>>>>>>> theirs\n";
    assert_eq!(world.tree(), tree(&[("a", file("one\n2\n3\n4\nfive\n")), ("b", file(marked))]));
    undo::undo(&world.undo(), Number(1), &NoSteps).unwrap();
    assert_eq!(world.tree(), before);
}

#[test]
fn a_binary_that_both_changed_stops_everything_before_the_first_change() {
    let base = tree(&[("a", file("1\0")), ("b", file("1"))]);
    let mut world = World::new(base, tree(&[("a", file("2\0")), ("b", file("2"))]));
    fs::write(world.root().join("a"), "3\0").unwrap();
    let policy = Policy { allow: vec![], merging: Merging::Texts };
    let plan = plan(&world.root(), world.changes(), &policy).unwrap();
    let error = world.carry_out(&plan).unwrap_err();
    assert!(matches!(error, ApplyError::NotMerged { .. }), "{error:?}");
    assert_eq!(world.tree(), tree(&[("a", file("3\0")), ("b", file("1"))]));
    assert_eq!(undo::list(&world.undo()).unwrap(), []);
}

#[test]
fn only_the_wanted_changes_are_selected_with_the_directories_they_are_in() {
    let now = tree(&[
        ("d", directory()),
        ("d/e", directory()),
        ("d/e/a.rs", file("")),
        ("d/b.md", file("")),
        ("f", directory()),
        ("x.rs", file("")),
    ]);
    let all = changes(&Tree::new(), &now);
    let paths = |patterns: &[&str]| -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let selected = select(all.clone(), &patterns).unwrap();
        selected.into_iter().map(|change| String::from_utf8(change.path).unwrap()).collect()
    };
    assert_eq!(paths(&[]), ["d", "d/b.md", "d/e", "d/e/a.rs", "f", "x.rs"]);
    assert_eq!(paths(&["**/*.rs"]), ["d", "d/e", "d/e/a.rs", "x.rs"]);
    assert_eq!(paths(&["*.rs"]), ["x.rs"]);
    assert_eq!(paths(&["d/e/"]), ["d", "d/e", "d/e/a.rs"]);
    assert_eq!(paths(&["nothing"]), Vec::<String>::new());
    assert!(select(all.clone(), &["[".into()]).is_err());
}

#[test]
fn three_changes_in_a_large_tree_cost_only_the_three() {
    let mut base = Tree::new();
    for directory_number in 0..100 {
        base.insert(format!("d{directory_number}").into_bytes(), directory());
        for number in 0..1000 {
            base.insert(format!("d{directory_number}/f{number}").into_bytes(), file("x"));
        }
    }
    let mut now = base.clone();
    now.insert(b"d3/f4".to_vec(), file("changed"));
    now.insert(b"d3/new".to_vec(), file("new"));
    now.remove(&b"d9/f9"[..]);
    let mut world = World::new(base, now);
    let changes = world.changes();
    // What is not in the plan cannot even be listed or read: a look at it would fail.
    for number in (0..100).filter(|number| ![3, 9].contains(number)) {
        fs::rename(world.root().join(format!("d{number}")), world.base.path().join(format!("hidden{number}"))).unwrap();
    }
    let begun = std::time::Instant::now();
    let plan = plan(&world.root(), changes, &Policy::default()).unwrap();
    assert_eq!(plan.steps.len(), 3);
    let applied = world.carry_out(&plan).unwrap();
    let took = begun.elapsed();
    assert_eq!(applied.changed, [&b"d3/f4"[..], b"d3/new", b"d9/f9"]);
    assert_eq!(world.guest.opened, [&b"d3/f4"[..], b"d3/new"]);
    assert!(took.as_secs() < 5, "{took:?}");
}
