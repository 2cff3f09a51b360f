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
        if !self.cache.exists() {
            // Nothing is there; whether this host has passt makes no difference.
            command.env("PYRO_PASST", "/nonexistent/passt");
        }
        command.env("PYRO_HOME", self.data()).env("PYRO_ENVIRONMENT_CACHE_DIR", &self.cache);
        command.stdin(Stdio::null());
        command
    }

    /// The same in the lab.
    pub fn run_in(&self, lab: &pyro_testkit::Lab, words: &[&str]) -> Ended {
        let pyro = self.pyro();
        let mut command = lab.command(pyro.get_program());
        command.env_clear().envs(pyro.get_envs().filter_map(|(key, value)| Some((key, value?))));
        Ended::from(command.args(words).stdin(Stdio::null()).output().unwrap())
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

impl World {
    /// Processes in whose command line this word stands.
    pub fn processes_of(&self, word: &str) -> Vec<i32> {
        command_lines().into_iter().filter(|(_, words)| words.iter().any(|it| it == word)).map(|(pid, _)| pid).collect()
    }

    /// Command lines of supervisors and machines of this world.
    pub fn all_processes(&self) -> Vec<String> {
        let data = self.data().display().to_string();
        let ids = self.machines();
        let ours = |words: &Vec<String>| words.iter().any(|word| ids.contains(word) || word.contains(&data));
        command_lines().into_iter().filter(|(_, words)| ours(words)).map(|(_, words)| words.join(" ")).collect()
    }

    /// Waits until everything that a dead creator has begun is taken or undone.
    pub fn settle(&self) {
        for id in self.machines() {
            let creating = self.data().join("vms").join(id).join("creating");
            if let Ok(file) = std::fs::File::open(creating) {
                file.lock_shared().unwrap();
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Machines die with their supervisors.
        for id in self.machines() {
            self.processes_of(&id).into_iter().for_each(kill);
        }
    }
}

pub fn kill(pid: i32) {
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
}

fn command_lines() -> Vec<(i32, Vec<String>)> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.map(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        (pid, words.collect())
    })
    .collect()
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
