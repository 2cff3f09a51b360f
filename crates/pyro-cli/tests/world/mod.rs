//! A world of its own for each test: its own home, its own directories, nothing of the user's.

#![allow(clippy::allow_attributes, dead_code, reason = "each test program uses its own part of this")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub struct World {
    pub base: tempfile::TempDir,
    cache: PathBuf,
}

impl World {
    /// Nothing is installed in it.
    pub fn empty() -> Self {
        let base = tempfile::tempdir().unwrap();
        let cache = base.path().join("cache");
        Self { base, cache }
    }

    /// With the environments that all tests share, or none where this host has none.
    pub fn with_guests(test: &str) -> Option<Self> {
        match pyro_testkit::real_guests() {
            Ok(cache) => Some(Self { base: tempfile::tempdir().unwrap(), cache }),
            Err(why) => {
                pyro_testkit::skip(test, &why);
                None
            }
        }
    }

    /// The same with a copy of the environment that the test may damage.
    pub fn with_own_guests(test: &str) -> Option<Self> {
        let shared = pyro_testkit::real_guests();
        let mut world = Self::with_guests(test)?;
        // On the same file system, so that links do for a copy.
        let target = shared.unwrap().parent().unwrap().to_owned();
        world.base = tempfile::tempdir_in(target).unwrap();
        let own = world.base.path().join("cache");
        let status = Command::new("cp").arg("-al").arg(&world.cache).arg(&own).status().unwrap();
        assert!(status.success());
        world.cache = own;
        Some(world)
    }

    pub fn pyro(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyro"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.base.path());
        command.env("PYRO_HOME", self.data()).env("PYRO_ENVIRONMENT_CACHE_DIR", &self.cache);
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, words: &[&str]) -> Ended {
        Ended::from(self.pyro().args(words).output().unwrap())
    }

    pub fn run_with_input(&self, words: &[&str], input: Vec<u8>) -> Ended {
        let mut command = self.pyro();
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child: Child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        let _ = writer.join().unwrap();
        Ended::from(output)
    }

    pub fn data(&self) -> PathBuf {
        self.base.path().join("data")
    }

    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Machines whose directories are there.
    pub fn machines(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.data().join("vms")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

pub struct Ended {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.out()))
    }
}
