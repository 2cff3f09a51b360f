//! `cargo xtask chaos [SCENARIOS [SEED [FIRST]]]`: clients work on tasks while everything around them is killed,
//! stopped, starved and misled; afterwards what was told is compared with what the guest itself wrote.
//!
//! ```text
//! scenario: task created → clients run commands ┐
//!                          faults at any moment ┴→ faults undone → clients asked again → truth compared → nothing left
//! ```
//!
//! Every scenario is drawn from the seed and its number, both of which are printed; moments are the host's,
//! so the same seed draws the same scenario and not the same interleaving. The disk that fills is a file
//! system of its own, in a mount namespace of its own, for which root is needed; elsewhere that fault is left out,
//! and said.

pub mod client;
mod damage;
pub mod dice;
pub mod fault;
mod scenario;
pub mod truth;
pub mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use world::World;

const SCENARIOS: u32 = 500;
/// The word that says that the mount namespace is there.
const INSIDE: &str = "inside";

pub fn run(root: &Path, words: &[String]) -> Result<(), String> {
    let inside = words.first().is_some_and(|word| word == INSIDE);
    let words = if inside { &words[1..] } else { words };
    let number = |at: usize, otherwise: u64| {
        words
            .get(at)
            .map_or(Ok(otherwise), |word| word.parse::<u64>())
            .map_err(|_| "usage: cargo xtask chaos [SCENARIOS [SEED [FIRST]]]")
    };
    let now = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs());
    let (scenarios, seed, first) = (number(0, SCENARIOS.into())?, number(1, now)?, number(2, 0)?);
    let may_mount = is_root();
    if may_mount && !inside {
        return again_in_a_namespace(&[scenarios, seed, first].map(|number| number.to_string()));
    }
    play(root, first..scenarios, seed, may_mount)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

fn again_in_a_namespace(words: &[String]) -> Result<(), String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]).arg(this).args(["chaos", INSIDE]).args(words);
    let status = command.status().map_err(|error| format!("unshare: {error}"))?;
    if status.success() { Ok(()) } else { Err("chaos: see above".into()) }
}

fn play(root: &Path, numbers: std::ops::Range<u64>, seed: u64, may_mount: bool) -> Result<(), String> {
    let world = World::new(root, may_mount)?;
    let scenarios = numbers.end.saturating_sub(numbers.start);
    println!("chaos: {scenarios} scenarios, seed {seed}{}", if may_mount { "" } else { ", without a disk that fills" });
    let began = Instant::now();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for number in numbers {
        let played = scenario::play(&world, seed, number).map_err(|problem| {
            format!(
                "chaos: scenario {number} of seed {seed} failed (`cargo xtask chaos {} {seed} {number}`)\n{problem}",
                number + 1
            )
        })?;
        played.into_iter().for_each(|word| *counts.entry(word).or_default() += 1);
        if (number + 1) % 25 == 0 {
            println!("chaos: {} scenarios, {} s", number + 1, began.elapsed().as_secs());
        }
    }
    let table: Vec<String> = counts.iter().map(|(word, count)| format!("{count:>6}  {word}")).collect();
    println!("chaos: {scenarios} scenarios, nothing lost, nothing left, nothing invented\n{}", table.join("\n"));
    Ok(())
}
