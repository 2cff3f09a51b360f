//! `cargo xtask tidy|check|bench|fuzz|upgrade`: the house checks itself, runs all its tests, measures itself,
//! feeds itself with anything, and works beside the release before.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to the person at the terminal")]

mod bench;
mod chaos;
mod check;
mod flips;
mod floor;
mod fuzz;
mod load;
mod modules;
mod package;
mod starve;
mod statistics;
mod templates;
mod tidy;
mod upgrade;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.first().map(String::as_str) {
        Some("tidy") if words.get(1).is_some_and(|word| word == "--graph") => {
            tidy::graph(&root(), words.get(2).map(String::as_str))
        }
        Some("tidy") => tidy::run(&root()),
        Some("check") => check::run(&root()),
        Some("bench") => bench::run(&root(), words.get(1).map(String::as_str)),
        Some("chaos") => chaos::run(&root(), &words[1..]),
        Some("starve") => starve::run(&root(), &words[1..]),
        Some("flips") => flips::run(&root(), &words[1..]),
        Some("templates") => templates::run(&root(), &words[1..]),
        Some("upgrade") => upgrade::run(&root(), &words[1..]),
        Some("load") => load::run(&root(), &words[1..]),
        Some("fuzz") => fuzz::run(&root(), &words[1..]),
        Some("floor") => bench::floor(&words[1..]),
        _ => Err("usage: cargo xtask tidy|check|bench|chaos|starve|flips|templates|upgrade|load|fuzz".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's directory.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}
