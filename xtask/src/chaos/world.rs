//! The directories, the program, and the processes of a chaos run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Bytes of the disk that may fill.
const DISK: &str = "size=192m";

pub struct World {
    base: TempDir,
    program: PathBuf,
    cache: PathBuf,
    clock: Option<PathBuf>,
    pub may_fill: bool,
}

/// A process of the host.
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub words: Vec<String>,
}

impl World {
    pub fn new(root: &Path, may_mount: bool) -> Result<Self, String> {
        let base = tempfile::tempdir().map_err(|error| error.to_string())?;
        // A copy: what is built meanwhile is another program.
        let program = base.path().join("pyro");
        fs::copy(root.join("target/release/pyro"), &program)
            .map_err(|error| format!("target/release/pyro: {error}"))?;
        let mut world = Self { base, program, cache: root.join("target/test-cache"), clock: None, may_fill: may_mount };
        fs::create_dir(world.data()).map_err(|error| error.to_string())?;
        if may_mount {
            must(Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "chaos"]).arg(world.data()))?;
        }
        world.clock = Some(clock(world.base.path())?);
        must(world.pyro().args(["env", "pull", "debian:12"]).stdout(Stdio::null()))?;
        Ok(world)
    }

    /// A world of this program with environments of its own, copied from those of `cache` where they are there. Its
    /// clocks are the host's.
    pub fn of_its_own(program: &Path, cache: &Path) -> Result<Self, String> {
        let base = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (copied, own) = (base.path().join("pyro"), base.path().join("cache"));
        fs::copy(program, &copied).map_err(|error| format!("{}: {error}", program.display()))?;
        if cache.exists() {
            crate::templates::copy(cache, &own)?;
        }
        let world = Self { base, program: copied, cache: own, clock: None, may_fill: false };
        fs::create_dir(world.data()).map_err(|error| error.to_string())?;
        must(world.pyro().args(["env", "pull", "debian:12"]).stdout(Stdio::null()))?;
        Ok(world)
    }

    pub fn data(&self) -> PathBuf {
        self.base.path().join("data")
    }

    /// Where the environments are.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Goes on with a copy of the environments, in a directory of its own.
    pub fn take_own_cache(&mut self) -> Result<(), String> {
        let own = self.base.path().join("cache");
        crate::templates::copy(&self.cache, &own)?;
        self.cache = own;
        Ok(())
    }

    pub fn scratch(&self) -> &Path {
        self.base.path()
    }

    /// The program, in this world and no other.
    pub fn pyro(&self) -> Command {
        self.command(&self.program)
    }

    /// Another program, in this world and no other.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.base.path());
        for name in ["PATH", "PYRO_KVM_DEVICE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("PYRO_HOME", self.data()).env("PYRO_ENVIRONMENT_CACHE_DIR", &self.cache);
        command.stdin(Stdio::null());
        command
    }

    /// The same by a clock that is so many seconds off.
    pub fn pyro_at(&self, offset: i64) -> Command {
        let mut command = self.pyro();
        if let (Some(clock), true) = (&self.clock, offset != 0) {
            command.env("LD_PRELOAD", clock).env("CHAOS_CLOCK_OFFSET", offset.to_string());
        }
        command
    }

    /// The same command with at most so many descriptors.
    pub fn with_descriptors(plain: &Command, limit: u64) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh"]);
        command.arg(plain.get_program()).args(plain.get_args()).env_clear();
        command.envs(plain.get_envs().filter_map(|(key, value)| value.map(|value| (key, value))));
        command.stdin(Stdio::null());
        command
    }

    /// What is in the machines' directory.
    pub fn machines(&self) -> Vec<String> {
        let entries = fs::read_dir(self.data().join("vms")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Processes that work in this world: clients and machines name its directory, supervisors have files in
    /// it open, networks descend from them.
    pub fn processes(&self) -> Vec<Process> {
        let own = self.base.path().to_string_lossy().into_owned();
        let all = processes();
        let mut ours: Vec<i32> = Vec::new();
        loop {
            let more = all.iter().filter(|process| !ours.contains(&process.pid)).filter(|process| {
                process.words.iter().any(|word| word.contains(&own))
                    || ours.contains(&process.parent)
                    || environment_names(process.pid, &own)
                    || has_open(process.pid, &own)
            });
            let more: Vec<i32> = more.map(|process| process.pid).collect();
            if more.is_empty() {
                return all.into_iter().filter(|process| ours.contains(&process.pid)).collect();
            }
            ours.extend(more);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for process in self.processes() {
            signal(process.pid, "KILL");
        }
        if self.may_fill {
            let _ = must(Command::new("umount").arg("--lazy").arg(self.data()));
        }
    }
}

/// Whether it has a file below this directory open, as a supervisor has its lock.
fn has_open(pid: i32, directory: &str) -> bool {
    let is_self = pid == std::process::id() as i32;
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut files = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    !is_self && files.any(|file| file.starts_with(directory))
}

fn environment_names(pid: i32, word: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let is_self = pid == std::process::id() as i32;
    !is_self && environment.windows(word.len()).any(|window| window == word.as_bytes())
}

pub fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let dead = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        (!dead).then_some(Process { pid, parent, words })
    })
    .collect()
}

pub fn signal(pid: i32, name: &str) {
    // It may have ended by itself.
    let _ = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).stderr(Stdio::null()).status();
}

pub fn must(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}

/// A library that moves the wall clock of a program it is loaded into.
fn clock(directory: &Path) -> Result<PathBuf, String> {
    let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
    fs::write(&source, include_str!("clock.c")).map_err(|error| error.to_string())?;
    must(Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source))?;
    Ok(library)
}
