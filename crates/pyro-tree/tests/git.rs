//! Git checkouts: what Git ignores stays here, and the copy is a checkout.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pyro_tree::pack::{PackError, PackOptions, Problem, Source};
use world::{names, options, pack, put, take};

fn git(directory: &Path, arguments: &[&str]) -> String {
    let identity = [
        "-c",
        "user.name=x",
        "-c",
        "user.email=x@y",
        "-c",
        "protocol.file.allow=always",
        "-c",
        "init.defaultBranch=main",
    ];
    let mut command = Command::new("git");
    command.args(identity).arg("-C").arg(directory).args(arguments);
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A checkout with tracked, changed, deleted, untracked and ignored files.
fn checkout(home: &Path, name: &str) -> PathBuf {
    let path = home.join(name);
    put(&path, "src/tracked", "x");
    put(&path, "gone", "x");
    put(&path, ".gitignore", "target/\n*.log\n");
    git(&path, &["init", "--quiet"]);
    git(&path, &["add", "."]);
    git(&path, &["commit", "--quiet", "--message", "x"]);
    fs::remove_file(path.join("gone")).unwrap();
    put(&path, "new/untracked", "x");
    put(&path, "target/built", "x");
    put(&path, "src/a.log", "x");
    path
}

fn without_git(names: Vec<String>) -> Vec<String> {
    names.into_iter().filter(|name| !name.starts_with(".git/") && name != ".git").collect()
}

#[test]
fn ignored_files_stay_here_and_the_copy_is_a_checkout() {
    let home = tempfile::tempdir().unwrap();
    let from = checkout(home.path(), "from");
    let (bytes, packed) = pack(&from, &options());
    assert_eq!(packed.notices, []);
    let sent = names(&packed.manifest);
    assert!(sent.contains(&".git/HEAD".to_owned()));
    assert_eq!(without_git(sent), [".gitignore", "new", "new/untracked", "src", "src/tracked"]);
    take(&bytes, &home.path().join("to"));
    assert_eq!(git(&home.path().join("to"), &["status", "--porcelain"]), " D gone\n?? new/\n");
}

#[test]
fn all_and_no_git_mean_what_they_say() {
    let home = tempfile::tempdir().unwrap();
    let from = checkout(home.path(), "from");
    let all = pack(&from, &PackOptions { all: true, ..options() }).1.manifest;
    assert!(all.get(b"target/built").is_some() && all.get(b"src/a.log").is_some() && all.get(b".git/HEAD").is_some());
    let neither = pack(&from, &PackOptions { no_git: true, ..options() }).1.manifest;
    assert_eq!(names(&neither), [".gitignore", "new", "new/untracked", "src", "src/tracked"]);
    let both = pack(&from, &PackOptions { all: true, no_git: true, ..options() }).1.manifest;
    assert!(both.get(b"target/built").is_some() && both.get(b".git").is_none());
}

#[test]
fn a_submodules_files_come_along_and_the_copy_knows_them() {
    let home = tempfile::tempdir().unwrap();
    let (from, module) = (checkout(home.path(), "from"), checkout(home.path(), "module"));
    git(&from, &["submodule", "--quiet", "add", module.to_str().unwrap(), "deps/module"]);
    put(&from, "deps/module/extra", "x");
    put(&from, "deps/module/x.log", "x");
    let (bytes, packed) = pack(&from, &options());
    assert_eq!(packed.notices, []);
    for name in ["deps/module/src/tracked", "deps/module/extra", "deps/module/.git", ".git/modules/deps/module/HEAD"] {
        assert!(packed.manifest.get(name.as_bytes()).is_some(), "{name}");
    }
    assert!(packed.manifest.get(b"deps/module/x.log").is_none());
    let to = home.path().join("to");
    take(&bytes, &to);
    assert_eq!(git(&to.join("deps/module"), &["status", "--porcelain"]), "?? extra\n");
    let bare = pack(&from, &PackOptions { no_git: true, ..options() }).1.manifest;
    assert!(bare.get(b"deps/module/extra").is_some() && bare.get(b"deps/module/.git").is_none());
}

#[test]
fn a_checkout_inside_that_git_does_not_track_comes_along() {
    let home = tempfile::tempdir().unwrap();
    let from = checkout(home.path(), "from");
    checkout(&from, "inner");
    let manifest = pack(&from, &options()).1.manifest;
    assert!(manifest.get(b"inner/src/tracked").is_some() && manifest.get(b"inner/.git/HEAD").is_some());
    assert!(manifest.get(b"inner/target").is_none());
}

#[test]
fn a_worktree_is_refused_with_a_hint_and_sent_without_git() {
    let home = tempfile::tempdir().unwrap();
    let from = checkout(home.path(), "from");
    git(&from, &["worktree", "add", "--quiet", "../linked"]);
    let linked = home.path().join("linked");
    let error = Source::open(&linked, &options()).unwrap_err();
    assert!(matches!(error, PackError::GitElsewhere(_)) && error.hint().is_some(), "{error:?}");
    let manifest = pack(&linked, &PackOptions { no_git: true, ..options() }).1.manifest;
    assert_eq!(names(&manifest), [".gitignore", "gone", "src", "src/tracked"]);
    // Below a directory that is no checkout, the `.git` file is sent, and its reader is told.
    let packed = pack(home.path(), &options()).1;
    let notice = packed.notices.iter().find(|notice| notice.path == b"linked/.git").unwrap();
    assert_eq!(notice.problem, Problem::GitDirectoryOutside);
}

#[test]
fn a_missing_git_is_an_error_with_a_hint() {
    let home = tempfile::tempdir().unwrap();
    let from = checkout(home.path(), "from");
    let nowhere = PackOptions { search_path: vec![home.path().to_owned()], ..options() };
    let error = Source::open(&from, &nowhere).unwrap_err();
    assert!(matches!(error, PackError::GitMissing(_)) && error.hint().is_some(), "{error:?}");
    assert!(Source::open(&from, &PackOptions { all: true, ..nowhere }).is_ok());
}

#[test]
fn a_broken_checkout_is_an_error_and_no_program_of_its_own_is_run() {
    let home = tempfile::tempdir().unwrap();
    let from = checkout(home.path(), "from");
    let trap = put(home.path(), "trap", format!("#!/bin/sh\ntouch {}\n", home.path().join("sprung").display()));
    world::set_mode(&trap, 0o755);
    git(&from, &["config", "core.fsmonitor", trap.to_str().unwrap()]);
    pack(&from, &options());
    assert!(!home.path().join("sprung").exists());
    fs::write(from.join(".git/config"), "[broken").unwrap();
    let error = Source::open(&from, &options()).unwrap_err();
    assert!(matches!(&error, PackError::Git { message, .. } if message.contains("config")), "{error:?}");
}
