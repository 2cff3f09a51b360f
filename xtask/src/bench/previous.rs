//! This release beside the one before: the same commands of both, in turns, on a data home of each.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Bench, PAIRS, finish, pairs};

/// A release may be slower by noise, and not by more.
const GOAL: &str = "at most 1.03";
/// Bytes of output of the command that says much.
const OUTPUT: &str = "20000000";

/// Where `cargo xtask upgrade` builds the release before.
fn program(root: &Path) -> PathBuf {
    root.join("target/previous/target/release/pyro")
}

/// A program with a task of its own.
struct Release<'a> {
    bench: &'a Bench,
    program: PathBuf,
    home: tempfile::TempDir,
    task: String,
}

impl<'a> Release<'a> {
    fn new(bench: &'a Bench, program: PathBuf) -> Result<Self, String> {
        let home = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut release = Self { bench, program, home, task: String::new() };
        release.run(&["run", "debian:12", "--", "true"])?;
        release.task = release.create()?;
        Ok(release)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("PYRO_HOME", self.home.path()).env("PYRO_ENVIRONMENT_CACHE_DIR", &self.bench.cache);
        command.env("PYRO_KVM_DEVICE", "/nonexistent");
        command
    }

    fn run(&self, words: &[&str]) -> Result<(), String> {
        finish("pyro", self.command(words))
    }

    fn create(&self) -> Result<String, String> {
        let output = self.command(&["task", "create", "debian:12", "--json"]).output();
        let output = output.map_err(|error| error.to_string())?;
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        value["task_id"].as_str().map(str::to_owned).ok_or_else(|| "no task was created".to_owned())
    }

    fn exec(&self, command: &[&str]) -> Result<(), String> {
        let words: Vec<&str> = ["task", "exec", &self.task, "--"].iter().chain(command).copied().collect();
        self.run(&words)
    }

    fn create_and_delete(&self) -> Result<(), String> {
        let task = self.create()?;
        self.run(&["task", "delete", &task])
    }
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        // One that could not be deleted expires.
        let _ = self.run(&["task", "delete", &self.task]);
    }
}

/// Compares the two, where the release before has been built.
pub fn run(bench: &Bench, root: &Path) -> Result<(), String> {
    let before = program(root);
    if !before.exists() {
        println!("bench: the release before is not compared: `cargo xtask upgrade` builds it");
        return Ok(());
    }
    bench.report.heading("Beside release 2.1.0");
    let sizes = [&bench.pyro, &before].map(|path| std::fs::metadata(path).map_or(0, |metadata| metadata.len() >> 10));
    // Copies of both: the kernel keeps a file that a linker wrote in smaller pages than a copied one, and a program in
    // smaller pages starts later.
    let copies = tempfile::tempdir().map_err(|error| error.to_string())?;
    let copied = |name: &str, from: &Path| {
        let to = copies.path().join(name);
        std::fs::copy(from, &to).map(|_| to).map_err(|error| format!("copy {}: {error}", from.display()))
    };
    let (now, before) = (copied("now", &bench.pyro)?, copied("before", &before)?);
    let (now, before) = (Release::new(bench, now)?, Release::new(bench, before)?);
    let row = |what: &str, one: &dyn Fn(&Release<'_>) -> Result<(), String>, count: usize| {
        let (ratio, ours, theirs) = pairs(&|| one(&now), &|| one(&before), count)?;
        bench.report.row(what, ratio, GOAL, format!("{ours} ms / {theirs} ms"));
        Ok::<(), String>(())
    };
    row("`pyro run -- true`", &|release| release.run(&["run", "debian:12", "--", "true"]), PAIRS)?;
    row("`pyro task exec ID -- true`", &|release| release.exec(&["true"]), PAIRS * 8)?;
    row("20 MB of output", &|release| release.exec(&["head", "-c", OUTPUT, "/dev/zero"]), PAIRS)?;
    row("`task create` and `task delete`", &|release| release.create_and_delete(), PAIRS)?;
    row("`pyro task list`", &|release| release.run(&["task", "list"]), PAIRS * 8)?;
    bench.report.row("size of the program", format!("{} / {} KiB", sizes[0], sizes[1]), "", "");
    Ok(())
}
