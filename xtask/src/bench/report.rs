//! What was measured: said at once, and written into `docs/performance.md` when everything was.

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Rows under headings, in the order in which they were measured.
#[derive(Default)]
pub struct Report(Mutex<Vec<Line>>);

enum Line {
    Heading(&'static str),
    Row([String; 4]),
}

impl Report {
    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn heading(&self, text: &'static str) {
        println!("\n{text}");
        self.lines().push(Line::Heading(text));
    }

    /// What was measured, its value, the goal (or nothing), and what it was made from.
    pub fn row(&self, what: &str, value: impl Display, goal: &str, detail: impl Display) {
        let row = [what.to_owned(), value.to_string(), goal.to_owned(), detail.to_string()];
        let [what, value, goal, detail] = &row;
        println!("{what:<38} {value:<28} {goal:<16} {detail}");
        self.lines().push(Line::Row(row));
    }

    /// Writes the document.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let mut text = format!(
            "# Performance\n\nWritten by `make bench`; run it to have your own. Numbers are the median and, in brackets, the \
             first and third\nquartile. Two things that are compared were run in turns, one right after the other; read the \
             ratios,\nbecause milliseconds are those of one machine at one time.\n\n{}",
            machine()
        );
        for line in self.lines().iter() {
            match line {
                Line::Heading(heading) => {
                    text.push_str(&format!("\n## {heading}\n\n| what | measured | goal | from |\n|---|---|---|---|\n"));
                }
                Line::Row(row) => text.push_str(&format!("| {} |\n", row.join(" | "))),
            }
        }
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("\nwritten: {}", path.display());
        Ok(())
    }
}

/// What it was measured on.
fn machine() -> String {
    let first = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split(':').nth(1).unwrap_or_default().trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let said = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).output().ok();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        text.lines().next().unwrap_or("not here").to_owned()
    };
    format!(
        "Machine: {}, {cores} processors; Linux {}; {}; guests under software emulation (TCG), of 1 vCPU and 1024 MiB.\n",
        first("/proc/cpuinfo", "model name"),
        said("uname", &["-r"]).split('.').take(2).collect::<Vec<_>>().join("."),
        said("qemu-system-x86_64", &["--version"]),
    )
}
