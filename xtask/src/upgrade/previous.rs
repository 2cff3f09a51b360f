//! The release before this one, as a program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::chaos::world::must;

/// Release 2.1.0: the last commit before the version became 2.2.0-dev.
const COMMIT: &str = "502c829";
/// Says of which commit the sources beside it are.
const MARK: &str = ".commit";

/// Builds it into `target/previous`, from the history; the reason where that has no such commit.
///
/// The sources are an archive of the commit, not a work tree of the repository: nothing of it is left in `.git`.
///
/// # Errors
/// When the sources are there and do not build.
pub fn build(root: &Path) -> Result<Result<PathBuf, String>, String> {
    let sources = root.join("target/previous");
    if fs::read_to_string(sources.join(MARK)).ok().as_deref() != Some(COMMIT) {
        if !has_commit(root) {
            return Ok(Err(format!(
                "the history has no commit {COMMIT} (release 2.1.0); it is a shallow clone perhaps"
            )));
        }
        println!("upgrade: take the sources of {COMMIT} out of the history");
        take_out(root, &sources)?;
    }
    println!("upgrade: build the release before");
    cargo_build(&sources)?;
    Ok(Ok(sources.join("target/release/pyro")))
}

/// Builds this release.
///
/// # Errors
/// When it does not build.
pub fn build_this(root: &Path) -> Result<PathBuf, String> {
    println!("upgrade: build this release");
    cargo_build(root)?;
    Ok(root.join("target/release/pyro"))
}

fn has_commit(root: &Path) -> bool {
    let mut git = Command::new("git");
    git.args(["cat-file", "-e", &format!("{COMMIT}^{{commit}}")]).current_dir(root).stderr(Stdio::null());
    git.status().is_ok_and(|status| status.success())
}

fn take_out(root: &Path, sources: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", sources.display());
    if sources.exists() {
        fs::remove_dir_all(sources).map_err(failed)?;
    }
    fs::create_dir_all(sources).map_err(failed)?;
    let archive = sources.join("sources.tar");
    must(Command::new("git").args(["archive", "--output"]).arg(&archive).arg(COMMIT).current_dir(root))?;
    must(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(sources))?;
    fs::remove_file(&archive).and_then(|()| fs::write(sources.join(MARK), COMMIT)).map_err(failed)
}

/// Builds the program of a workspace, as its own lock says.
fn cargo_build(workspace: &Path) -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "-p", "pyro-cli", "--locked", "--quiet"]).current_dir(workspace);
    // What this build of xtask was told is not for another workspace.
    cargo.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_MANIFEST_DIR");
    must(&mut cargo)
}
