//! The destination of a long text: stdout, or the user's pager on a terminal.

use std::io::{self, IsTerminal, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// What `less` is told where the user has not said otherwise: to end by itself where all fits on the
/// screen, to show colours, and to leave the screen as it is.
const LESS: &str = "FRX";

/// Takes text, and bytes of both streams of a command.
pub struct Pager {
    reading: Option<(Child, Option<ChildStdin>)>,
}

impl Pager {
    /// Straight to stdout and stderr.
    pub fn none() -> Self {
        Self { reading: None }
    }

    /// `$PAGER`, or `less`; nothing in between where stdout is no terminal, or there is no such program.
    pub fn on_a_terminal() -> Self {
        if !io::stdout().is_terminal() {
            return Self::none();
        }
        let wanted = std::env::var("PAGER").unwrap_or_else(|_| "less".into());
        let program = wanted.split_whitespace().next().unwrap_or_default().to_owned();
        if matches!(program.as_str(), "" | "cat") || !is_there(&program) {
            return Self::none();
        }
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &wanted]).stdin(Stdio::piped());
        if std::env::var_os("LESS").is_none() {
            command.env("LESS", LESS);
        }
        let started = command.spawn().ok().and_then(|mut child| {
            let stdin = child.stdin.take()?;
            Some((child, Some(stdin)))
        });
        Self { reading: started }
    }

    /// Writes pyro's own words. False when nobody reads any more.
    pub fn print(&mut self, text: &str) -> bool {
        self.write_out(crate::terminal::escaped(text).as_bytes())
    }

    /// Writes to stdout, as it is.
    pub fn write_out(&mut self, bytes: &[u8]) -> bool {
        match &mut self.reading {
            Some((_, stdin)) => stdin.as_mut().is_some_and(|stdin| stdin.write_all(bytes).is_ok()),
            None => crate::stdio::write_stdout(bytes).is_ok(),
        }
    }

    /// Writes to stderr, as it is; a reader gets both streams in turn.
    pub fn write_err(&mut self, bytes: &[u8]) -> bool {
        match &self.reading {
            Some(_) => self.write_out(bytes),
            None => io::stderr().lock().write_all(bytes).is_ok(),
        }
    }
}

impl Drop for Pager {
    /// Waits until the user has read.
    fn drop(&mut self) {
        if let Some((child, stdin)) = &mut self.reading {
            drop(stdin.take());
            let _ = child.wait();
        }
    }
}

/// Whether the shell would find it.
fn is_there(program: &str) -> bool {
    if program.contains('/') {
        return std::path::Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).exists())
}
