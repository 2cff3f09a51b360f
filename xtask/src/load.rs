//! `cargo xtask load [MINUTES [TASKS [RUNS]]]`: many tasks with commands in all of them at once, then many
//! one-shot runs, a few at a time. Nothing may fail, and nothing may grow.
//!
//! What is looked at: each supervisor's memory and descriptors, after a first round of commands and at
//! the end; processes; and what is left on the disk.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chaos::client::{Running, Told, ask};
use crate::chaos::world::World;
use crate::statistics::summarise;

const MINUTES: u64 = 10;
const TASKS: u64 = 50;
const RUNS: u64 = 500;
const RUNS_AT_ONCE: u64 = 8;
/// Commands in each task before the first look: what is allocated once is allocated then.
const FIRST_COMMANDS: u64 = 10;
/// A supervisor may have so many KiB more at the end: its journal's index grows by some bytes with each command.
const GROWTH_KIB: i64 = 4096;

/// A supervisor, as its kernel sees it.
#[derive(Clone, Copy, Debug)]
struct Look {
    resident_kib: i64,
    descriptors: i64,
}

pub fn run(root: &Path, words: &[String]) -> Result<(), String> {
    let number = |at: usize, otherwise: u64| {
        words
            .get(at)
            .map_or(Ok(otherwise), |word| word.parse())
            .map_err(|_| "usage: cargo xtask load [MINUTES [TASKS [RUNS]]]")
    };
    let (minutes, tasks, runs) = (number(0, MINUTES)?, number(1, TASKS)?, number(2, RUNS)?);
    let world = World::new(root, false)?;
    println!("load: {tasks} tasks for {minutes} minutes, then {runs} runs, {RUNS_AT_ONCE} at a time");
    tasks_at_once(&world, tasks, Duration::from_secs(60 * minutes))?;
    runs_at_once(&world, runs)
}

fn say(world: &World, words: &[&str]) -> Result<Value, String> {
    let mut command = world.pyro();
    command.args(words).env("PYRO_MAX_ACTIVE_VMS", "1000");
    match ask(world, command, &Running::default())? {
        Told::Object(object) if object.get("code").is_none() => Ok(object),
        other => Err(format!("pyro {}: {other:?}", words.join(" "))),
    }
}

fn tasks_at_once(world: &World, tasks: u64, time: Duration) -> Result<(), String> {
    let began = Instant::now();
    let mut ids = Vec::new();
    for _ in 0..tasks {
        let created = say(world, &["task", "create", "debian:12", "--json", "--ttl-seconds", "7200"])?;
        ids.push(created["task_id"].as_str().ok_or("no id")?.to_owned());
    }
    println!("load: {tasks} tasks created in {:.1} s", began.elapsed().as_secs_f64());
    in_all(&ids, |id| (0..FIRST_COMMANDS).try_for_each(|turn| command(world, id, turn).map(drop)))?;
    let before = looks(world, &ids)?;
    let processes = world.processes().len();
    let (times, end) = (Mutex::new(Vec::new()), Instant::now() + time);
    in_all(&ids, |id| {
        let mut turn = FIRST_COMMANDS;
        while Instant::now() < end {
            let took = command(world, id, turn)?;
            times.lock().map_err(|_| "poisoned")?.push(took);
            turn += 1;
        }
        Ok(())
    })?;
    let times = times.into_inner().map_err(|_| "poisoned")?;
    println!("load: {} commands, {} ms each, none failed", times.len(), summarise(&times));
    let after = looks(world, &ids)?;
    let grown: Vec<f64> =
        before.iter().zip(&after).map(|(before, after)| (after.resident_kib - before.resident_kib) as f64).collect();
    let resident: Vec<f64> = after.iter().map(|look| look.resident_kib as f64).collect();
    println!(
        "load: supervisors have {} KiB, {} KiB more than after their first commands",
        summarise(&resident),
        summarise(&grown)
    );
    if grown.iter().any(|grown| *grown > GROWTH_KIB as f64) {
        return Err(format!("load: a supervisor's memory grew: {grown:?} KiB"));
    }
    let descriptors: Vec<(i64, i64)> =
        before.iter().zip(&after).map(|(before, after)| (before.descriptors, after.descriptors)).collect();
    if descriptors.iter().any(|(before, after)| after > before) {
        return Err(format!("load: descriptors grew: {descriptors:?}"));
    }
    let now = world.processes().len();
    if now != processes {
        return Err(format!("load: there were {processes} processes, and there are {now}"));
    }
    in_all(&ids, |id| say(world, &["task", "delete", id, "--json"]).map(drop))?;
    crate::chaos::truth::nothing_is_left(world)?;
    println!("load: descriptors and processes as before; after deletion nothing is left");
    Ok(())
}

fn in_all(ids: &[String], work: impl Fn(&str) -> Result<(), String> + Sync) -> Result<(), String> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = ids.iter().map(|id| scope.spawn(|| work(id))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("it does not panic"))
    })
}

/// Milliseconds that a command took, whose answer was right.
fn command(world: &World, id: &str, turn: u64) -> Result<f64, String> {
    let began = Instant::now();
    let script = format!("echo {turn} > turn; cat turn; exit {}", turn % 100);
    let record = say(world, &["task", "exec", id, "--json", "--timeout-seconds", "300", "--", "sh", "-c", &script])?;
    if record["stdout"] != format!("{turn}\n") || record["exit_code"] != turn % 100 {
        return Err(format!("load: {record}"));
    }
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

fn looks(world: &World, ids: &[String]) -> Result<Vec<Look>, String> {
    let processes = world.processes();
    let look = |id: &String| {
        let supervises = |words: &[String]| words.iter().any(|word| word == "supervise") && words.contains(id);
        let pid = processes.iter().find(|process| supervises(&process.words)).ok_or("a supervisor is gone")?.pid;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| error.to_string())?;
        let resident =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_err(|error| error.to_string())?.count() as i64;
        Ok(Look { resident_kib: resident.unwrap_or(0), descriptors })
    };
    ids.iter().map(look).collect()
}

fn runs_at_once(world: &World, runs: u64) -> Result<(), String> {
    let (next, began, times) = (AtomicU64::new(0), Instant::now(), Mutex::new(Vec::new()));
    let workers: Vec<String> = (0..RUNS_AT_ONCE).map(|worker| worker.to_string()).collect();
    in_all(&workers, |_| {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= runs {
                return Ok(());
            }
            let (started, text) = (Instant::now(), format!("echo {number}; exit {}", number % 100));
            let record =
                say(world, &["run", "debian:12", "--json", "--timeout-seconds", "300", "--", "sh", "-c", &text])?;
            if record["stdout"] != format!("{number}\n") || record["exit_code"] != number % 100 {
                return Err(format!("load: {record}"));
            }
            times.lock().map_err(|_| "poisoned")?.push(started.elapsed().as_secs_f64() * 1e3);
        }
    })?;
    let times = times.into_inner().map_err(|_| "poisoned")?;
    let seconds = began.elapsed().as_secs_f64();
    println!("load: {runs} runs in {seconds:.0} s, {} ms each, none failed", summarise(&times));
    crate::chaos::truth::nothing_is_left(world)?;
    println!("load: nothing is left");
    Ok(())
}
