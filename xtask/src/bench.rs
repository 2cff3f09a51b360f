//! What it costs under software emulation, as ratios measured side by side in one run, with their spread.
//!
//! A pair is one run of each, one after the other, the order changing each time; a ratio is taken
//! for each pair, and its median and quartiles are printed. Milliseconds are printed too, and mean
//! little on another machine.

mod network;
mod peers;
mod previous;
mod report;
mod tasks;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::floor::{self, Start};
use crate::package::{self, Build};
use crate::statistics::{Summary, summarise};
use report::Report;

const PAIRS: usize = 15;
const COLD_PAIRS: usize = 5;
/// Runs at the same time, and how often that is compared.
const AT_ONCE: usize = 10;
const AT_ONCE_PAIRS: usize = 9;

/// One thing that is timed.
type Timed<'a> = &'a dyn Fn() -> Result<(), String>;

struct Bench {
    pyro: PathBuf,
    cache: PathBuf,
    home: tempfile::TempDir,
    report: Report,
}

/// Runs the hidden `floor` command, which the benchmark starts as a process of its own, so that
/// both sides of a ratio pay for the start of a process.
pub fn floor(words: &[String]) -> Result<(), String> {
    let [start, environment, template] = words else { return Err("floor template|cold ENVIRONMENT TEMPLATE".into()) };
    let start = if start == "cold" { Start::Cold } else { Start::Template };
    floor::run(start, Path::new(environment), Path::new(template)).map_err(|error| format!("floor: {error}"))
}

/// Everything, or only the part of that name (`runs`, `peers`, `tasks`, `network`, `front-ends`, `previous`). Everything
/// together is written down.
pub fn run(root: &Path, part: Option<&str>) -> Result<(), String> {
    let home = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (pyro, cache) = (root.join("target/release/pyro"), root.join("target/test-cache"));
    let bench = Bench { pyro, cache, home, report: Report::default() };
    bench.pull()?;
    let environment = bench.cache.join("debian_12-1.0.0");
    let template = bench.template(&environment)?;
    let wanted = |name: &str| part.is_none_or(|part| part == name);
    if wanted("runs") {
        bench.runs(&environment, &template)?;
    }
    if wanted("peers") {
        peers::run(&bench, &environment, &template)?;
    }
    if wanted("tasks") {
        tasks::run(&bench)?;
    }
    if wanted("front-ends") {
        bench.front_ends(root)?;
    }
    if wanted("previous") {
        previous::run(&bench, root)?;
    }
    if wanted("network") {
        network::run(&bench)?;
    }
    match part {
        None => bench.report.write(&root.join("docs/performance.md")),
        Some(_) => Ok(()),
    }
}

impl Bench {
    fn runs(&self, environment: &Path, template: &Path) -> Result<(), String> {
        let run = || self.pyro(&["run", "debian:12", "--", "true"]);
        let floor = || self.floor("template", environment, template);
        let cold = || self.floor("cold", environment, template);
        let version = || self.pyro(&["--version"]);
        let nothing = || finish("true", Command::new("true"));
        let row = |what: &str, (ratio, one, other): (Summary, Summary, Summary), goal: &str| {
            self.report.row(what, ratio, goal, format!("{one} ms / {other} ms"));
        };
        self.report.heading("One-shot runs");
        // The floor is the least that any program must do: start QEMU, restore, run `true`, end.
        row("`pyro run -- true` / the floor", pairs(&run, &floor, PAIRS)?, "at most 1.15");
        row("a cold boot / `pyro run -- true`", pairs(&cold, &run, COLD_PAIRS)?, "at least 8");
        row("`pyro --version` / `true`", pairs(&version, &nothing, PAIRS * 2)?, "under 10 ms");
        let one_by_one = || (0..AT_ONCE).try_for_each(|_| run());
        let at_once = || {
            std::thread::scope(|scope| {
                let runs: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(run)).collect();
                runs.into_iter().try_for_each(|run| run.join().expect("it does not panic"))
            })
        };
        let what = format!("{AT_ONCE} runs one by one / {AT_ONCE} at once");
        row(&what, pairs(&one_by_one, &at_once, AT_ONCE_PAIRS)?, "at least 1.8");
        let memory = format!("{} MiB", self.private_memory()? >> 20);
        self.report.row("private memory of one machine", memory, "at most 60 MiB", "");
        let agent = format!("{} KiB", self.agent_size()? >> 10);
        self.report.row("size of the agent", agent, "under 1536 KiB", "");
        let size = std::fs::metadata(&self.pyro).map_or(0, |metadata| metadata.len());
        self.report.row("size of pyro, agent included", format!("{} KiB", size >> 10), "", "");
        Ok(())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.pyro);
        command.args(words).env("PYRO_HOME", self.home.path()).env("PYRO_ENVIRONMENT_CACHE_DIR", &self.cache);
        // The floor knows software emulation only, and a ratio compares like with like.
        command.env("PYRO_KVM_DEVICE", "/nonexistent");
        command
    }

    fn pyro(&self, words: &[&str]) -> Result<(), String> {
        finish("pyro", self.command(words))
    }

    /// The same program as this, as a process of its own.
    fn floor(&self, start: &str, environment: &Path, template: &Path) -> Result<(), String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(["floor", start]).arg(environment).arg(template);
        finish("floor", command)
    }

    fn pull(&self) -> Result<(), String> {
        self.pyro(&["env", "pull", "debian:12"])?;
        // Whatever was there: this makes sure of the template for this build.
        self.pyro(&["run", "debian:12", "--", "true"])
    }

    /// The directory of the template that runs use, with an empty overlay in it for the floor.
    fn template(&self, environment: &Path) -> Result<PathBuf, String> {
        let entries = std::fs::read_dir(environment.join("templates")).map_err(|error| error.to_string())?;
        let mut found: Vec<(std::time::SystemTime, PathBuf)> = entries
            .flatten()
            .filter(|entry| is_of_default_machines(&entry.path()))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        found.sort();
        let template = found.pop().ok_or("there is no template of the default size")?.1;
        let copy = self.home.path().join("template");
        std::fs::create_dir(&copy).map_err(|error| error.to_string())?;
        for name in ["memory", "state", "disk.qcow2"] {
            std::os::unix::fs::symlink(template.join(name), copy.join(name)).map_err(|error| error.to_string())?;
        }
        let mut image = Command::new("qemu-img");
        image.args(["create", "-q", "-u", "-f", "qcow2"]).arg(copy.join("blank.qcow2")).arg("16G");
        finish("qemu-img", image)?;
        Ok(copy)
    }

    /// Bytes of one restored machine's process that it shares with nobody, while a command sleeps.
    fn private_memory(&self) -> Result<u64, String> {
        let mut command = self.command(&["run", "debian:12", "--", "sh", "-c", "echo up; sleep 60"]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(|error| error.to_string())?;
        let mut up = [0; 3];
        let stdout = child.stdout.as_mut().ok_or("no output")?;
        std::io::Read::read_exact(stdout, &mut up).map_err(|error| error.to_string())?;
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let children = std::fs::read_to_string(children).map_err(|error| error.to_string())?;
        let machine = children.split_whitespace().next().ok_or("the run has no machine")?;
        let memory =
            std::fs::read_to_string(format!("/proc/{machine}/smaps_rollup")).map_err(|error| error.to_string())?;
        let kib = memory
            .lines()
            .find_map(|line| line.strip_prefix("Private_Dirty:")?.split_whitespace().next()?.parse::<u64>().ok());
        child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
        kib.map(|kib| kib << 10).ok_or_else(|| "the kernel does not say".into())
    }

    /// The same run through the SDK and MCP; the SDK is the package in .venv.
    fn front_ends(&self, root: &Path) -> Result<(), String> {
        package::install(root, Build::Release)?;
        let mut command = Command::new(root.join(".venv/bin/python"));
        command.arg(root.join("scripts/bench_faces.py")).arg(&self.pyro).arg(self.home.path()).arg(&self.cache);
        let output = command.stdin(Stdio::null()).output().map_err(|error| format!("python: {error}"))?;
        if !output.status.success() {
            return Err(format!("bench_faces.py: {}", String::from_utf8_lossy(&output.stderr)));
        }
        self.report.heading("The front ends");
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let mut fields = line.split('\t');
            let mut next = || fields.next().unwrap_or_default();
            self.report.row(next(), next(), next(), next());
        }
        Ok(())
    }

    fn agent_size(&self) -> Result<u64, String> {
        let output = self.command(&["doctor", "--json"]).output().map_err(|error| error.to_string())?;
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        report["runtime"]["agent_bytes"].as_u64().ok_or_else(|| "doctor does not say".into())
    }
}

fn is_of_default_machines(template: &Path) -> bool {
    let record = std::fs::read(template.join("template.json")).unwrap_or_default();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap_or_default();
    let emulated = record["fingerprint"].as_str().is_some_and(|fingerprint| fingerprint.ends_with("tcg"));
    emulated && record["vcpu_count"] == 1 && record["mem_mib"] == 1024
}

fn finish(name: &str, mut command: Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Ratio of the first to the second, and the milliseconds of each.
fn pairs(first: Timed<'_>, second: Timed<'_>, count: usize) -> Result<(Summary, Summary, Summary), String> {
    let (mut ratios, mut firsts, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..count {
        let (one, other) = if pair % 2 == 0 {
            let one = time(first)?;
            (one, time(second)?)
        } else {
            let other = time(second)?;
            (time(first)?, other)
        };
        ratios.push(one / other);
        firsts.push(one);
        seconds.push(other);
    }
    Ok((summarise(&ratios), summarise(&firsts), summarise(&seconds)))
}

/// Milliseconds.
fn time(timed: Timed<'_>) -> Result<f64, String> {
    let began = Instant::now();
    timed()?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
