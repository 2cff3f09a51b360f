//! The text of changes, compared with what `git diff` says in a real repository.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod hostile;
mod same;
#[path = "../trees/mod.rs"]
mod trees;

use std::path::{Path, PathBuf};

use pyro_tree::diff::{DiffError, Git, Options, diff};

use trees::{Guest, Tree, changes};

fn text(base: &Tree, now: &Tree, options: &Options) -> Result<Vec<u8>, DiffError> {
    let scratch = tempfile::tempdir().unwrap();
    let mut guest = Guest { base: base.clone(), now: now.clone(), opened: Vec::new() };
    let git = Git { search_path: &search_path(), scratch: scratch.path() };
    let result = diff(&changes(base, now), &mut guest, options, &git);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing is left");
    result
}

fn search_path() -> Vec<PathBuf> {
    vec!["/usr/bin".into(), "/usr/local/bin".into(), "/bin".into()]
}

#[test]
fn a_host_without_git_is_told_what_to_do() {
    let mut guest = Guest { base: Tree::new(), now: Tree::new(), opened: Vec::new() };
    let git = Git { search_path: &["/nonexistent".into()], scratch: Path::new("/nonexistent") };
    let error = diff(&[], &mut guest, &Options::default(), &git).unwrap_err();
    assert_eq!(error.to_string(), "git is not installed");
    assert_eq!(error.hint(), Some("Install git (`apt install git`), or put its directory into PATH."));
}
