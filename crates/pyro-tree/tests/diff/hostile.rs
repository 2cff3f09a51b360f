//! Whatever a guest writes is text, and runs nothing.

use std::os::unix::fs::PermissionsExt;

use pyro_tree::apply::Contents;
use pyro_tree::diff::{Binary, DiffError, Git, Options, diff};

use crate::trees::*;

/// A program that leaves a mark, and files that would have Git run it.
fn hostile(mark: &std::path::Path) -> Tree {
    let program = mark.with_extension("sh");
    std::fs::write(&program, format!("#!/bin/sh\ntouch {}\ncat\n", mark.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = program.display();
    let config = format!(
        "[core]\n\tfsmonitor = {run}\n\tpager = {run}\n\thooksPath = hooks\n[diff \"x\"]\n\tcommand = {run}\n\t\
         textconv = {run}\n[diff]\n\texternal = {run}\n[filter \"x\"]\n\tclean = {run}\n\tsmudge = {run}\n"
    );
    tree(&[
        (".git", directory()),
        (".git/config", file(&config)),
        (".git/HEAD", file("ref: refs/heads/main\n")),
        (".gitattributes", file("* diff=x filter=x text\n*.txt binary\n")),
        (".gitconfig", file(&config)),
        (".gitmodules", file(&format!("[submodule \"x\"]\n\tpath = x\n\turl = ext::{run}\n\tupdate = !{run}\n"))),
        ("a.txt", file("text\n")),
        ("config", file(&config)),
        ("info", directory()),
        ("info/attributes", file("* diff=x\n")),
    ])
}

#[test]
fn nothing_that_a_guest_wrote_is_run_or_obeyed() {
    let base = tempfile::tempdir().unwrap();
    let mark = base.path().join("mark");
    let now = hostile(&mark);
    for binary in [Binary::Named, Binary::Whole] {
        let options = Options { binary, ..Options::default() };
        for (one, other) in [(Tree::new(), now.clone()), (now.clone(), Tree::new())] {
            let text = String::from_utf8(crate::text(&one, &other, &options).unwrap()).unwrap();
            assert!(text.contains("/.git/config\n") && text.contains("text\n"), "{text}");
            assert!(!text.contains("Binary"), "the attributes are not obeyed: {text}");
        }
    }
    assert!(!mark.exists());
    // The mark is one that would be seen.
    std::process::Command::new(mark.with_extension("sh")).stdin(std::process::Stdio::null()).status().unwrap();
    assert!(mark.exists());
}

#[test]
fn paths_that_no_tree_can_have_are_errors() {
    let mut guest = Guest { base: Tree::new(), now: tree(&[("x", file("1"))]), opened: Vec::new() };
    let scratch = tempfile::tempdir().unwrap();
    let git = Git { search_path: &crate::search_path(), scratch: scratch.path() };
    for path in ["../x", "/x", "a//x", "", "a\0b", "."] {
        let changes = [change(path.as_bytes(), None, Some(&file("1")))];
        let error = diff(&changes, &mut guest, &Options::default(), &git).unwrap_err();
        assert!(matches!(error, DiffError::Path { .. }), "{path:?}: {error:?}");
    }
    guest.now = tree(&[("a", file("1")), ("a/x", file("1"))]);
    let both = changes(&Tree::new(), &guest.now);
    assert!(matches!(diff(&both, &mut guest, &Options::default(), &git), Err(DiffError::Path { .. })));
}

#[test]
fn a_content_that_was_not_announced_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    let git = Git { search_path: &crate::search_path(), scratch: scratch.path() };
    let mut guest = Guest { base: Tree::new(), now: tree(&[("x", file("2"))]), opened: Vec::new() };
    assert!(guest.open(b"x").is_ok());
    let changes = [change(b"x", None, Some(&file("1")))];
    let error = diff(&changes, &mut guest, &Options::default(), &git).unwrap_err();
    assert!(matches!(error, DiffError::Lie { .. }), "{error:?}");
}
