//! Two programs on one data home.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chaos::client::{Running, Told, ask};
use crate::chaos::world::{World, signal};

/// How long something may take to become so.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The release before this one.
    Before,
    /// This one.
    This,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Before { "the release before" } else { "this release" })
    }
}

/// Both programs, and the world that they share.
pub struct Pair {
    pub world: World,
    before: PathBuf,
    held: usize,
}

impl Pair {
    pub fn new(before: &Path, this: &Path, cache: &Path) -> Result<Self, String> {
        let world = World::of_its_own(this, cache)?;
        // A name of its own in the world, by which its processes are found.
        let copied = world.scratch().join("pyro-before");
        fs::copy(before, &copied).map_err(|error| format!("{}: {error}", before.display()))?;
        Ok(Self { world, before: copied, held: 0 })
    }

    /// How many answers were as they must be.
    pub fn held(&self) -> usize {
        self.held
    }

    pub fn command(&self, release: Release, words: &[&str]) -> Command {
        let mut command = match release {
            Release::Before => self.world.command(&self.before),
            Release::This => self.world.pyro(),
        };
        command.args(words);
        command
    }

    /// What `pyro --version` says.
    pub fn version(&self, release: Release) -> Result<String, String> {
        let output = self.command(release, &["--version"]).output().map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The object that a command answers.
    pub fn say(&self, release: Release, words: &[&str]) -> Result<Value, String> {
        self.hear(self.command(release, words))
    }

    /// The same of a command that has this on its standard input.
    pub fn say_with_input(&self, release: Release, words: &[&str], input: &[u8]) -> Result<Value, String> {
        let path = self.world.scratch().join("input");
        fs::write(&path, input).map_err(|error| error.to_string())?;
        let mut command = self.command(release, words);
        command.stdin(File::open(&path).map_err(|error| error.to_string())?);
        self.hear(command)
    }

    fn hear(&self, command: Command) -> Result<Value, String> {
        let asked = format!("{command:?}");
        match ask(&self.world, command, &Running::default())? {
            Told::Object(value) => Ok(value),
            other => Err(format!("{asked}: {other:?}")),
        }
    }

    /// Insists that an answer has these fields, as paths of JSON.
    pub fn expect(&mut self, answer: &Value, wanted: &[(&str, Value)]) -> Result<(), String> {
        for (path, value) in wanted {
            let found = answer.pointer(path).unwrap_or(&Value::Null);
            if found != value {
                return Err(format!("{path} is {found}, and must be {value}, in\n{answer:#}"));
            }
        }
        self.held += 1;
        Ok(())
    }

    /// Insists on anything else.
    pub fn insist(&mut self, what: &str, holds: bool) -> Result<(), String> {
        if !holds {
            return Err(format!("it does not hold that {what}"));
        }
        self.held += 1;
        Ok(())
    }

    /// Asks until the answer is as wanted.
    pub fn await_answer(
        &mut self,
        release: Release,
        words: &[&str],
        is_wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        let began = Instant::now();
        loop {
            let answer = self.say(release, words)?;
            if is_wanted(&answer) {
                self.held += 1;
                return Ok(answer);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{words:?}: for {PATIENCE:?} it was\n{answer:#}"));
            }
        }
    }

    /// Kills the supervisor of a task, and its machine with it.
    pub fn kill_supervisor(&self, id: &str) -> Result<(), String> {
        let is_its =
            |words: &[String]| words.iter().any(|word| word == "supervise") && words.iter().any(|word| word == id);
        let all = self.world.processes();
        let found = all.iter().find(|process| is_its(&process.words));
        signal(found.ok_or_else(|| format!("{id} has no supervisor"))?.pid, "KILL");
        Ok(())
    }
}
