//! Showing how far a pull is: a moving line on a terminal, plain lines elsewhere. Always stderr.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pyro_api::EnvironmentProgress;

use crate::terminal::say;

/// The display. Clears itself when it is dropped.
#[derive(Default)]
pub struct Display {
    bar: Option<ProgressBar>,
    last: String,
}

impl Display {
    /// Shows where it is. `label` is the command: `[label] 2/6 what is being done`.
    pub fn show(&mut self, label: &str, progress: &EnvironmentProgress) {
        let (stage, stages) = progress.stage();
        let mut line = format!("[{label}] {stage}/{stages} {}", progress.describe());
        let mut percent = String::new();
        if let EnvironmentProgress::Install { detail, bytes, .. } = progress {
            if !detail.is_empty() {
                line.push_str(&format!(": {detail}"));
            }
            if let Some((done, all)) = bytes {
                percent = format!(" {}%", done * 100 / (*all).max(1));
            }
        }
        if std::io::stderr().is_terminal() {
            self.bar().set_message(crate::terminal::escaped(&(line + &percent)).into_owned());
        } else if line != self.last {
            say!("{line}");
            self.last = line;
        }
    }

    /// Shows how far a file operation is, on a terminal only.
    pub fn show_transfer(&mut self, label: &str, entries: u64, bytes: u64) {
        if std::io::stderr().is_terminal() {
            self.bar().set_message(format!("[{label}] {entries} entries, {} MiB", bytes >> 20));
        }
    }

    /// Takes the moving line away, so that another line can be written.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn bar(&mut self) -> &ProgressBar {
        self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}").expect("the template is right");
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        })
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.clear();
    }
}
