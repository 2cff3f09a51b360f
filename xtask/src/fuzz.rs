//! `cargo xtask fuzz [SECONDS [TARGET]]`: every fuzz target for a time, from the corpus that is kept.
//!
//! The targets lie as cargo-fuzz wants them (`fuzz/`), and are built here with the flags it passes but for the
//! sanitizers, which need a nightly compiler and would guard unsafe code that there is none of in what is
//! fuzzed; so any compiler does. What a run finds new stays in `target/fuzz/corpus`, what it breaks on in
//! `fuzz/artifacts`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seconds for each target, when nothing else is said.
const SECONDS: u64 = 35;
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Edge counters in line, and comparisons told: what libFuzzer is guided by.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Dwarnings",
];
/// Bytes of the longest input: several of the longest frames.
const LONGEST: u32 = 256 * 1024;
/// Megabytes that a target may use, and seconds that one input may take.
const MEMORY: u32 = 1024;
const TIMEOUT: u32 = 25;

pub fn run(root: &Path, words: &[String]) -> Result<(), String> {
    let usage = "usage: cargo xtask fuzz [SECONDS [TARGET]]";
    let seconds = words.first().map_or(Ok(SECONDS), |word| word.parse()).map_err(|_| usage.to_owned())?;
    let only = words.get(1).map(String::as_str);
    let targets: Vec<String> = targets(root)?.into_iter().filter(|name| only.is_none_or(|only| only == name)).collect();
    if targets.is_empty() {
        return Err(format!("there is no such target\n{usage}"));
    }
    build(root)?;
    let mut table = Vec::new();
    for target in &targets {
        println!("fuzz: {target}, {seconds} s");
        table.push(format!("{target:<20} {}", one(root, target, seconds)?));
    }
    println!("fuzz: nothing was found\n{}", table.join("\n"));
    Ok(())
}

fn targets(root: &Path) -> Result<Vec<String>, String> {
    let directory = root.join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let name = |entry: fs::DirEntry| entry.path().file_stem()?.to_str().map(str::to_owned);
    let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
    names.sort();
    Ok(names)
}

fn build(root: &Path) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--target", TRIPLE]).arg("--target-dir").arg(built(root));
    command.current_dir(root.join("fuzz")).env("RUSTFLAGS", FLAGS.join(" "));
    let status = command.status().map_err(|error| format!("cargo build: {error}"))?;
    if status.success() { Ok(()) } else { Err("fuzz: the targets did not build".into()) }
}

fn built(root: &Path) -> PathBuf {
    root.join("target/fuzz")
}

/// Runs a target; says how often and how much was covered.
fn one(root: &Path, target: &str, seconds: u64) -> Result<String, String> {
    let (found, artifacts) = (built(root).join("corpus").join(target), root.join("fuzz/artifacts").join(target));
    let kept = root.join("fuzz/corpus").join(target);
    for directory in [&found, &artifacts, &kept] {
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    let output = Command::new(built(root).join(TRIPLE).join("release").join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-timeout={TIMEOUT}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-print_final_stats=1", "-use_value_profile=1"])
        .args([&found, &kept])
        .output()
        .map_err(|error| format!("{target}: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let last: Vec<&str> = log.lines().rev().take(60).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        return Err(format!("{}\nfuzz: {target} broke; the input is in {}", last.join("\n"), artifacts.display()));
    }
    let field = |name: &str| {
        let line = log.lines().rev().find_map(|line| line.split(name).nth(1));
        line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("?").to_owned()
    };
    let (runs, seed) = (field("number_of_executed_units:"), field("Seed:"));
    Ok(format!("{runs} inputs, coverage {}, {} MiB at most, seed {seed}", field(" cov:"), field("peak_rss_mb:")))
}
