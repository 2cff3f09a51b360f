//! Byte for byte the same as `git diff`.

use std::fs;
use std::path::Path;
use std::process::Command;

use pyro_tree::diff::{Binary, Color, Form, Options};

use crate::trees::*;

fn git(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs([("PATH", "/usr/bin:/usr/local/bin:/bin"), ("HOME", "/nonexistent"), ("GIT_CONFIG_NOSYSTEM", "1")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A repository with a work tree, in which the two trees are the last two commits.
fn repository(base: &Tree, now: &Tree) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    git(here, &["init", "-q", "-b", "main"]);
    for (tree, message) in [(base, "base"), (now, "now")] {
        for item in fs::read_dir(here).unwrap().map(Result::unwrap).filter(|item| item.file_name() != ".git") {
            let is_directory = item.file_type().unwrap().is_dir();
            if is_directory { fs::remove_dir_all(item.path()).unwrap() } else { fs::remove_file(item.path()).unwrap() }
        }
        write(here, tree);
        git(here, &["add", "-A"]);
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", message];
        git(here, &identity);
    }
    directory
}

fn numbered(count: usize, changed: usize) -> Node {
    let lines = (0..count).map(|line| if line == changed { "changed\n".into() } else { format!("line {line}\n") });
    file(&lines.collect::<String>())
}

fn bytes(bytes: &[u8]) -> Node {
    Node::File(bytes.to_vec(), 0o644)
}

fn cases() -> Vec<(&'static str, Tree, Tree)> {
    let executable = |text: &str| Node::File(text.as_bytes().to_vec(), 0o755);
    let named = |name: &[u8], node: Node| Tree::from([(name.to_vec(), node)]);
    let mut cases = vec![
        ("nothing", tree(&[("a", file("1\n"))]), tree(&[("a", file("1\n"))])),
        ("added", tree(&[]), tree(&[("a", file("1\n2\n"))])),
        ("deleted", tree(&[("a", file("1\n"))]), tree(&[])),
        ("modified", tree(&[("a", numbered(40, 99))]), tree(&[("a", numbered(40, 20))])),
        ("mode", tree(&[("a", file("1\n"))]), tree(&[("a", executable("1\n"))])),
        ("mode and content", tree(&[("a", executable("1\n"))]), tree(&[("a", file("2\n"))])),
        ("executable added", tree(&[]), tree(&[("a", executable("1\n"))])),
        ("link", tree(&[("a", link("x"))]), tree(&[("a", link("y")), ("b", link("a"))])),
        ("file to link", tree(&[("a", file("1\n"))]), tree(&[("a", link("y"))])),
        ("rename", tree(&[("a", numbered(40, 99))]), tree(&[("b", numbered(40, 99))])),
        ("rename with change", tree(&[("a", numbered(40, 99))]), tree(&[("b", numbered(40, 20))])),
        ("binary", tree(&[("a", bytes(b"1\0\xff2"))]), tree(&[("a", bytes(b"1\0\xff3")), ("b", bytes(b"\0"))])),
        ("empty", tree(&[("b", file(""))]), tree(&[("a", file("")), ("b", file("x"))])),
        ("no newline", tree(&[("a", file("1"))]), tree(&[("a", file("1\n2")), ("b", file("x"))])),
        ("CRLF", tree(&[("a", file("1\r\n2\r\n"))]), tree(&[("a", file("1\r\n3\r\n"))])),
        ("not UTF-8", named(b"\xff\xfe", bytes(b"\xe4\n")), named(b"\xff\xfe", bytes(b"\xf6\n"))),
    ];
    for name in
        ["with space", "quo\"te", "apo'strophe", "new\nline", "tab\t", "back\\slash", "ä", "-dash", "a:b", "*?["]
    {
        cases.push(("name", named(name.as_bytes(), file("1\n")), named(name.as_bytes(), file("2\n"))));
    }
    let deep =
        [("d", directory()), ("d/e", directory()), ("d/e/f", file("1\n")), ("d-x", file("1\n")), ("d.x", file("1\n"))];
    cases.push(("deep", tree(&[]), tree(&deep)));
    cases.push(("file to directory", tree(&[("d", file("1\n"))]), tree(&deep)));
    let moved = [("n", directory()), ("n/e", directory()), ("n/e/f", file("1\n")), ("d", file("2\n"))];
    cases.push(("directory to file", tree(&deep), tree(&moved)));
    cases
}

#[test]
fn every_kind_of_change_is_shown_as_git_shows_it_in_every_form() {
    let plain = Options::default();
    let forms = [
        (plain, &["--abbrev=7"][..]),
        (Options { binary: Binary::Whole, ..plain }, &["--binary"]),
        (Options { form: Form::Stat, ..plain }, &["--stat"]),
        (Options { form: Form::NameOnly, ..plain }, &["--name-only"]),
        (Options { form: Form::NameStatus, ..plain }, &["--name-status"]),
        (Options { color: Color::Always, ..plain }, &["--color=always"]),
        (Options { abbreviation: 12, ..plain }, &["--abbrev=12"]),
    ];
    for (case, base, now) in cases() {
        let repository = repository(&base, &now);
        for (options, arguments) in &forms {
            let made = crate::text(&base, &now, options).unwrap();
            let expected = git(repository.path(), &[&["diff"], *arguments, &["HEAD~1", "HEAD"]].concat());
            assert_eq!(String::from_utf8_lossy(&made), String::from_utf8_lossy(&expected), "{case} {arguments:?}");
            assert_eq!((made, case == "nothing"), (expected.clone(), expected.is_empty()), "{case} {arguments:?}");
        }
    }
}
