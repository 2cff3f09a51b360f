//! Every check and every test, in one command, with their counts.
//!
//! ```text
//! format, lints     no test is counted here
//! unit              pure decisions, and the words of the command line
//! fake engine       the manager, with every step made to fail
//! guests            real guests, over one environment that is pulled once and kept in target/
//! python            the MCP server and the SDK, as Python programs see them, with the same guests
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::package::{self, Build};

/// Guests at once: as many as this is meant for, a machine with two processors.
const GUESTS_AT_ONCE: &str = "--test-threads=2";

#[derive(Default)]
struct Counts {
    passed: u32,
    failed: u32,
    skipped: u32,
}

pub fn run(root: &Path) -> Result<(), String> {
    let mut house = House { root: root.to_owned(), skips: root.join("target/skipped-tests.log"), escape: None };
    let _ = fs::remove_file(&house.skips);
    house.must("format", &["fmt", "--all", "--", "--check"])?;
    house.must("lints", &["clippy", "--workspace", "--all-targets", "--locked", "-q", "--", "-D", "warnings"])?;
    // The targets are a workspace of their own, with a lock that no build of this one keeps true.
    house.must("lock of the fuzz targets", &["tree", "--manifest-path", "fuzz/Cargo.toml", "--depth=0", "--locked"])?;
    let mut total = Counts::default();
    let unit: &[&[&str]] = &[
        &[
            "test",
            "--workspace",
            "--locked",
            "--no-fail-fast",
            "--exclude",
            "pyro-cli",
            "--exclude",
            "pyro-manager",
            "--exclude",
            "pyro-agent",
        ],
        &["test", "-p", "pyro-manager", "--locked", "--lib"],
        &["test", "-p", "pyro-agent", "--locked", "--no-fail-fast"],
        &["test", "-p", "pyro-cli", "--locked", "--bins", "--test", "words"],
    ];
    house.tier("unit", unit, &mut total)?;
    let fake: &[&[&str]] =
        &[&["test", "-p", "pyro-manager", "--locked", "--no-fail-fast", "--test", "run", "--test", "tasks"]];
    house.tier("fake engine", fake, &mut total)?;
    house.pull()?;
    house.escape = house.escape_test();
    let guests: &[&[&str]] = &[
        &["test", "-p", "pyro-manager", "--locked", "--test", "agent", "--", GUESTS_AT_ONCE],
        &[
            "test",
            "-p",
            "pyro-cli",
            "--locked",
            "--no-fail-fast",
            "--test",
            "bounds",
            "--test",
            "guests",
            "--test",
            "network",
            "--test",
            "tasks",
            "--",
            GUESTS_AT_ONCE,
        ],
    ];
    house.tier("guests", guests, &mut total)?;
    house.python(&mut total)?;
    if let Ok(skips) = fs::read_to_string(&house.skips) {
        println!("skipped:\n{skips}");
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    if total.failed == 0 { Ok(()) } else { Err("check: there are failures".into()) }
}

struct House {
    root: PathBuf,
    skips: PathBuf,
    /// The tests of the confinement, as a program: a guest runs them, too.
    escape: Option<PathBuf>,
}

impl House {
    fn cargo(&self, words: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(words).current_dir(&self.root);
        command.env("PYRO_TEST_CACHE", self.cache()).env("PYRO_TEST_SKIPS", &self.skips);
        command.envs(self.escape.iter().map(|program| ("PYRO_ESCAPE_TEST", program)));
        command.env("INSTA_UPDATE", "no").env("INSTA_FORCE_PASS", "0");
        command
    }

    /// Where the environment that the tests share is kept.
    fn cache(&self) -> PathBuf {
        self.root.join("target/test-cache")
    }

    fn must(&self, what: &str, words: &[&str]) -> Result<(), String> {
        println!("check: {what}");
        let status = self.cargo(words).status().map_err(|error| format!("{what}: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("check: {what} failed")) }
    }

    /// Where cargo has put the tests of the confinement.
    fn escape_test(&self) -> Option<PathBuf> {
        let words = [
            "test",
            "-p",
            "pyro-confinement",
            "--test",
            "escape",
            "--locked",
            "--no-run",
            "-q",
            "--message-format=json",
        ];
        let output = self.cargo(&words).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back()
    }

    /// Installs debian:12 for the tests, where it is not; another build of the agent gets a
    /// template of its own.
    fn pull(&self) -> Result<(), String> {
        println!("check: pull debian:12 for the tests");
        self.must("build", &["build", "-p", "pyro-cli", "--locked", "-q"])?;
        let status = Command::new(self.root.join("target/debug/pyro"))
            .args(["env", "pull", "debian:12"])
            .env("PYRO_ENVIRONMENT_CACHE_DIR", self.cache())
            .env("PYRO_HOME", self.root.join("target/test-home"))
            .stdout(Stdio::null())
            .status()
            .map_err(|error| format!("pull: {error}"))?;
        if status.success() { Ok(()) } else { Err("check: debian:12 could not be pulled for the tests".into()) }
    }

    fn tier(&self, name: &str, runs: &[&[&str]], total: &mut Counts) -> Result<(), String> {
        println!("check: tests: {name}");
        let skipped_before = self.skipped();
        let mut tier = Counts::default();
        for words in runs {
            let output =
                self.cargo(words).stderr(Stdio::inherit()).output().map_err(|error| format!("{name}: {error}"))?;
            let text = String::from_utf8_lossy(&output.stdout);
            print!("{text}");
            let counted = count(&text);
            if !output.status.success() && counted.failed == 0 {
                return Err(format!("check: `cargo {}` failed before it ran its tests", words.join(" ")));
            }
            tier.passed += counted.passed;
            tier.failed += counted.failed;
            tier.skipped += counted.skipped;
        }
        // A test that skips itself has passed in the eyes of its harness.
        let skipped = self.skipped() - skipped_before;
        tier.passed -= skipped.min(tier.passed);
        tier.skipped += skipped;
        println!("check: {name}: {} passed, {} failed, {} skipped", tier.passed, tier.failed, tier.skipped);
        total.passed += tier.passed;
        total.failed += tier.failed;
        total.skipped += tier.skipped;
        Ok(())
    }

    /// The front ends as Python programs see them: the official MCP client against real guests.
    fn python(&self, total: &mut Counts) -> Result<(), String> {
        println!("check: tests: python");
        package::install(&self.root, Build::Debug)?;
        let output = Command::new(self.root.join(".venv/bin/python"))
            .args(["-m", "pytest", "python/tests"])
            .current_dir(&self.root)
            .env("PYRO_TEST_CACHE", self.cache())
            .env("PYRO_TEST_SKIPS", &self.skips)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("python: {error}; `make setup` makes .venv"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        print!("{text}");
        let tier = count_pytest(&text);
        if !output.status.success() && tier.failed == 0 {
            return Err("check: pytest failed before it ran its tests".into());
        }
        println!("check: python: {} passed, {} failed, {} skipped", tier.passed, tier.failed, tier.skipped);
        total.passed += tier.passed;
        total.failed += tier.failed;
        total.skipped += tier.skipped;
        Ok(())
    }

    fn skipped(&self) -> u32 {
        fs::read_to_string(&self.skips).map_or(0, |text| text.lines().count() as u32)
    }
}

/// Adds up the closing lines of cargo's test programs.
fn count(output: &str) -> Counts {
    let mut counts = Counts::default();
    for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
        let number = |word: &str| {
            let before = line.split(word).next()?;
            before.split_whitespace().last()?.parse::<u32>().ok()
        };
        counts.passed += number(" passed").unwrap_or(0);
        counts.failed += number(" failed").unwrap_or(0);
        counts.skipped += number(" ignored").unwrap_or(0);
    }
    counts
}

/// Takes pytest's closing line apart: `1 failed, 9 passed, 2 skipped in 3.21s`.
fn count_pytest(output: &str) -> Counts {
    let closing = |line: &&str| {
        line.contains(" in ") && [" passed", " failed", " skipped", " error"].iter().any(|word| line.contains(word))
    };
    let line = output.lines().rfind(closing).unwrap_or_default();
    let line = line.split(" in ").next().unwrap_or_default().trim_matches(['=', ' ']);
    let mut counts = Counts::default();
    for part in line.split(", ") {
        let Some((number, word)) = part.split_once(' ') else { continue };
        let number = number.parse().unwrap_or(0);
        match word {
            "passed" => counts.passed += number,
            "failed" | "error" | "errors" => counts.failed += number,
            "skipped" => counts.skipped += number,
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::{count, count_pytest};

    #[test]
    fn pytests_closing_line_is_taken_apart() {
        let counts = count_pytest("..F\n1 failed, 9 passed, 2 skipped, 1 error in 3.21s\n");
        assert_eq!((counts.passed, counts.failed, counts.skipped), (9, 2, 2));
        assert_eq!(count_pytest("10 passed in 32.02s\n").passed, 10);
        assert_eq!(count_pytest("......\n6 passed in 62.02s (0:01:02)\n").passed, 6);
    }

    #[test]
    fn closing_lines_are_added_up() {
        let output = "test a ... ok\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\nnoise\n\
                      test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured\n";
        let counts = count(output);
        assert_eq!((counts.passed, counts.failed, counts.skipped), (7, 2, 1));
    }
}
