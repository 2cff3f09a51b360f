//! `cargo xtask templates [COUNT]`: makes COUNT (50) templates while every processor has twice as much to do, and
//! looks at the clock that a guest of each has.
//!
//! A kernel that finds its clock unstable while it boots on a busy host takes a worse one, and a template
//! keeps that for ever. None may.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::chaos::client::{Running, Told, ask};
use crate::chaos::world::{World, must};

const COUNT: u64 = 50;
const CURRENT: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// The clock sources of a guest that keeps time, by accelerator.
const GOOD: [(&str, &[&str]); 2] = [("tcg", &["tsc"]), ("kvm", &["kvm-clock", "tsc"])];

pub fn run(root: &Path, words: &[String]) -> Result<(), String> {
    let count =
        words.first().map_or(Ok(COUNT), |word| word.parse()).map_err(|_| "usage: cargo xtask templates [COUNT]")?;
    let mut world = World::new(root, false)?;
    world.take_own_cache()?;
    println!("templates: {count} made on a busy host");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        (0..2 * std::thread::available_parallelism().map_or(2, usize::from)).for_each(|_| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::black_box((0..100_000u64).fold(0, |sum, number| sum ^ number));
                }
            });
        });
        let made = make(&world, count);
        over.store(true, Ordering::Relaxed);
        made
    })
}

fn make(world: &World, count: u64) -> Result<(), String> {
    let began = Instant::now();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for number in 1..=count {
        for templates in template_directories(world.cache())? {
            fs::remove_dir_all(&templates).map_err(|error| format!("{}: {error}", templates.display()))?;
        }
        let mut command: Command = world.pyro();
        command.args(["run", "debian:12", "--json", "--timeout-seconds", "120", "--", "cat", CURRENT]);
        let told = ask(world, command, &Running::default())?;
        let clock = told.field("stdout").as_str().unwrap_or_default().trim().to_owned();
        let accelerator = told.field("accelerator").as_str().unwrap_or_default().to_owned();
        let good = GOOD.iter().any(|(name, clocks)| *name == accelerator && clocks.contains(&clock.as_str()));
        if !good || matches!(told, Told::Killed) {
            return Err(format!("templates: number {number} gave a guest with the clock {clock:?}: {told:?}"));
        }
        *counts.entry(format!("{accelerator}, {clock}")).or_default() += 1;
        if number % 10 == 0 {
            println!("templates: {number}, {} s", began.elapsed().as_secs());
        }
    }
    println!("templates: {counts:?}");
    Ok(())
}

fn template_directories(cache: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    Ok(entries.flatten().map(|entry| entry.path().join("templates")).filter(|path| path.exists()).collect())
}

/// Copies a directory, with its holes.
///
/// # Errors
/// When `cp` fails.
pub fn copy(from: &Path, to: &Path) -> Result<(), String> {
    must(Command::new("cp").args(["-a", "--sparse=always", "--reflink=auto"]).arg(from).arg(to))
}
