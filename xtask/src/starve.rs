//! `cargo xtask starve [FIRST [LAST]]`: every command of the program with few descriptors, `ulimit -n` from
//! FIRST (3) to LAST (128).
//!
//! ```text
//! a home with a living task, a stopped one and an environment
//!   → for each limit, each command: it ends soon, without a panic, with a true result or an honest error
//!   → after each limit: both tasks, their journals and the templates are there, each command ran once at most
//! ```
//!
//! It needs `target/release/pyro` and a host where guests run. It says nothing about speed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::chaos::client::{Running, Told, ask, ask_within};
use crate::chaos::world::{World, signal};

/// No command may take longer than this.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Where the commands of the living task write down, in the guest, that they ran.
const BOOK: &str = "/workspace/.book";
/// Error codes that say something untrue in a world where nothing but descriptors is missing.
const UNTRUE: &[&str] = &[
    "unknown_environment",
    "not_installed",
    "environment_damaged",
    "unknown_task",
    "unknown_vm",
    "expired",
    "deleted",
    "not_started",
    "vm_stopped",
    "environment_changed",
    "attempt_conflict",
    "unknown_sequence",
    "command_lost",
    "command_cancelled",
    "newer_registry",
    "newer_journal",
    "newer_record",
    "record_damaged",
    "journal_unusable",
    "qemu_missing",
    "qemu_too_old",
    "passt_missing",
    "no_route",
];

/// The tasks of the home.
struct Tasks {
    living: String,
    stopped: String,
}

/// One command, and what its result must say.
struct Case {
    name: &'static str,
    words: Vec<String>,
    judge: fn(&Tasks, &Value) -> bool,
}

pub fn run(root: &Path, words: &[String]) -> Result<(), String> {
    let number = |at: usize, otherwise: u32| {
        words.get(at).map_or(Ok(otherwise), |word| word.parse().map_err(|_| "usage: cargo xtask starve [FIRST [LAST]]"))
    };
    let (first, last) = (number(0, 3)?, number(1, 128)?);
    let world = World::new(root, false)?;
    let tasks = prepare(&world)?;
    let templates = templates(&world)?;
    println!("starve: every command with {first} to {last} descriptors");
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for limit in first..=last {
        for case in cases(&tasks, limit) {
            let outcome = starved(&world, &tasks, &case, limit)
                .map_err(|problem| format!("starve: {} with {limit} descriptors: {problem}", case.name))?;
            *counts.entry(format!("{}: {outcome}", case.name)).or_default() += 1;
        }
        intact(&world, &tasks, limit).map_err(|problem| format!("starve: after {limit} descriptors: {problem}"))?;
        if self::templates(&world)? != templates {
            return Err(format!("starve: after {limit} descriptors the templates are others"));
        }
    }
    for task in [&tasks.living, &tasks.stopped] {
        say(&world, &["task", "delete", task, "--json"])?;
    }
    let left = world.machines();
    if !left.is_empty() {
        return Err(format!("starve: left behind: {left:?}"));
    }
    let table: Vec<String> = counts.iter().map(|(word, count)| format!("{count:>6}  {word}")).collect();
    println!("starve: no panic, no hang, nothing deleted, nothing untrue\n{}", table.join("\n"));
    Ok(())
}

/// Two tasks with three commands each; the supervisor of one is killed.
fn prepare(world: &World) -> Result<Tasks, String> {
    let create = || -> Result<String, String> {
        let created = say(world, &["task", "create", "debian:12", "--json", "--ttl-seconds", "86400"])?;
        let id = created["task_id"].as_str().ok_or("no id")?.to_owned();
        for number in 1..=3 {
            say(world, &["task", "exec", &id, "--json", "--", "echo", &format!("line {number}")])?;
        }
        Ok(id)
    };
    let tasks = Tasks { living: create()?, stopped: create()? };
    let supervises = |words: &[String]| words.iter().any(|one| one == "supervise") && words.contains(&tasks.stopped);
    let supervisors = world.processes().into_iter().filter(|process| supervises(&process.words));
    supervisors.for_each(|process| signal(process.pid, "KILL"));
    let began = std::time::Instant::now();
    while say(world, &["task", "status", &tasks.stopped, "--json"])?["state"] != "stopped" {
        if began.elapsed() > TIMEOUT {
            return Err("a task whose supervisor was killed does not stop".into());
        }
    }
    Ok(tasks)
}

fn cases(tasks: &Tasks, limit: u32) -> Vec<Case> {
    let Tasks { living, stopped } = tasks;
    let case = |name, words: &[&str], judge| Case {
        name,
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        judge,
    };
    let token = format!("starve-{limit}");
    let write = format!("echo {token} >> {BOOK}; echo done");
    vec![
        case("env list", &["env", "list", "--json"], |_, value| installed(&value["environments"])),
        case("env inspect", &["env", "inspect", "debian:12", "--json"], |_, value| value["installed"] == true),
        case("env prune", &["env", "prune", "--json"], |_, value| value["count"] == 0),
        case("doctor", &["doctor", "--json"], |_, value| value["checks"].is_array()),
        case("run", &["run", "debian:12", "--json", "--", "echo", "told"], |_, value| value["stdout"] == "told\n"),
        case("task list", &["task", "list", "--json"], |tasks, value| {
            let ids = value["tasks"].as_array().into_iter().flatten().filter_map(|task| task["task_id"].as_str());
            let ids: Vec<&str> = ids.collect();
            ids.contains(&tasks.living.as_str()) && ids.contains(&tasks.stopped.as_str())
        }),
        case("task status, living", &["task", "status", living, "--json"], |_, value| value["state"] == "started"),
        case("task status, stopped", &["task", "status", stopped, "--json"], |_, value| {
            value["state"] == "stopped" && value["command_count"] == 3
        }),
        case("task logs, stopped", &["task", "logs", stopped, "--json"], |_, value| three_lines(value)),
        case("task logs, living", &["task", "logs", living, "--json"], |_, value| three_lines(value)),
        case(
            "task exec",
            &["task", "exec", living, "--json", "--attempt-id", &token, "--", "sh", "-c", &write],
            |_, value| value["stdout"] == "done\n" && value["exit_code"] == 0,
        ),
        case("task exec, stopped", &["task", "exec", stopped, "--json", "--", "true"], |_, _| false),
        case("task wait", &["task", "wait", living, "1", "--json"], |_, value| value["stdout"] == "line 1\n"),
        case("task extend", &["task", "extend", living, "--ttl-seconds", "86400", "--json"], |tasks, value| {
            value["task_id"] == tasks.living.as_str()
        }),
    ]
}

fn installed(environments: &Value) -> bool {
    let mut all = environments.as_array().into_iter().flatten();
    all.any(|environment| environment["name"] == "debian:12" && environment["installed"] == true)
}

fn three_lines(logs: &Value) -> bool {
    let Some(entries) = logs["entries"].as_array() else { return false };
    let lines = entries.iter().take(3).enumerate();
    entries.len() >= 3
        && lines.fold(true, |all, (at, entry)| all && entry["stdout"] == format!("line {}\n", at + 1).as_str())
}

/// Runs one command with so many descriptors; says in a word what came of it.
fn starved(world: &World, tasks: &Tasks, case: &Case, limit: u32) -> Result<String, String> {
    let mut plain = world.pyro();
    plain.args(&case.words);
    let command = World::with_descriptors(&plain, limit.into());
    match ask_within(world, command, &Running::default(), TIMEOUT)? {
        Told::Killed => Err("it was killed by a signal".into()),
        Told::Nonsense(said) if said.contains("error while loading shared libraries") => {
            Ok("could not be loaded by the system".into())
        }
        Told::Nonsense(said) => Err(format!("neither a result nor an error: {said}")),
        Told::Object(value) => match value["code"].as_str() {
            Some(code) if UNTRUE.contains(&code) => Err(format!("it says what is not true: {value}")),
            Some("task_stopped") if !case.name.ends_with("stopped") => {
                Err(format!("it says of a living task that it is stopped: {value}"))
            }
            Some(code) => Ok(code.to_owned()),
            None if (case.judge)(tasks, &value) => Ok("right".into()),
            None => Err(format!("a wrong result: {value}")),
        },
    }
}

/// Both tasks and their journals are there, and the command of this limit ran once, however it was answered.
fn intact(world: &World, tasks: &Tasks, limit: u32) -> Result<(), String> {
    for task in [&tasks.living, &tasks.stopped] {
        if !three_lines(&say(world, &["task", "logs", task, "--json"])?) {
            return Err(format!("the journal of {task} is not what it was"));
        }
    }
    let token = format!("starve-{limit}");
    let write = format!("echo {token} >> {BOOK}; echo done");
    let again = ["task", "exec", &tasks.living, "--json", "--attempt-id", &token, "--", "sh", "-c", &write];
    if say(world, &again)?["stdout"] != "done\n" {
        return Err("the command cannot be asked for again".into());
    }
    let book = say(world, &["task", "exec", &tasks.living, "--json", "--", "cat", BOOK])?;
    let times = book["stdout"].as_str().unwrap_or_default().lines().filter(|line| *line == token).count();
    if times == 1 { Ok(()) } else { Err(format!("a command ran {times} times")) }
}

/// Which templates there are: name and inode. One that was made again has another inode.
fn templates(world: &World) -> Result<Vec<(String, u64)>, String> {
    let mut found = Vec::new();
    for environment in fs::read_dir(world.cache()).map_err(|error| error.to_string())?.flatten() {
        let Ok(templates) = fs::read_dir(environment.path().join("templates")) else { continue };
        for template in templates.flatten().filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')) {
            let metadata = template.metadata().map_err(|error| error.to_string())?;
            found.push((template.path().display().to_string(), metadata.ino()));
        }
    }
    found.sort();
    Ok(found)
}

fn say(world: &World, words: &[&str]) -> Result<Value, String> {
    let mut command = world.pyro();
    command.args(words);
    match ask(world, command, &Running::default())? {
        Told::Object(object) if object.get("code").is_none() => Ok(object),
        other => Err(format!("pyro {}: {other:?}", words.join(" "))),
    }
}
