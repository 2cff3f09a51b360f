//! From an error to what the user sees and the exit code: one place for every command.

use clap::error::ErrorKind;
use pyro_api::{Error, Failure, Problem};
use serde_json::{Value, json};

use crate::terminal::say;

pub use crate::format::Format;

/// An error of pyro's own in `run` and `task exec`, so that it cannot be taken for the command's.
pub const OWN_ERROR: i32 = 125;
/// An error in any other command.
pub const ERROR: i32 = 1;
/// Wrong usage.
const USAGE: i32 = 2;

/// Prints one object on stdout: keys sorted, two spaces. False when nobody reads it any more.
pub fn print_json(value: &impl serde::Serialize) -> bool {
    // serde_json's own map sorts its keys.
    let value: Value = serde_json::to_value(value).expect("payloads have string keys only");
    let text = serde_json::to_string_pretty(&value).expect("a JSON value can be written");
    crate::stdio::print_as_it_is(&format!("{}\n", crate::terminal::escaped_json(&text)))
}

/// Shows an error of the manager, and returns the exit code given.
pub fn show(error: &Error, format: Format, code: i32) -> i32 {
    show_failure(&error.failure(), format);
    code
}

fn show_failure(failure: &Failure, format: Format) {
    say!("[error] {}", failure.error);
    if let Some(hint) = &failure.hint {
        say!("[hint] {hint}");
    }
    if format == Format::Json {
        let Failure { error, code, hint } = failure;
        print_json(&json!({"ok": false, "error": error, "code": code, "hint": hint}));
    }
}

/// Shows what clap has to say: help and version on stdout, wrong usage as an error.
pub fn usage(error: &clap::Error) -> i32 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            crate::stdio::print(&error.render().to_string());
            crate::stdio::exit_code(0, ERROR)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            say!("{}", error.render().to_string().trim_end_matches('\n'));
            USAGE
        }
        _ => {
            let text = error.render().to_string();
            let (message, hint) = split(&text);
            let failure = Failure { error: message, code: "usage".into(), hint: Some(hint) };
            show_failure(&failure, Format::asked_for());
            USAGE
        }
    }
}

/// Shows an error that is this front end's own.
pub fn show_plain(message: &str, code: &'static str, hint: &str, format: Format) {
    show_failure(&Failure { error: message.into(), code: code.into(), hint: Some(hint.into()) }, format);
}

/// Shows wrong usage that clap cannot see.
pub fn wrong_usage(message: &str, hint: &str, format: Format) -> i32 {
    show_failure(&Failure { error: message.into(), code: "usage".into(), hint: Some(hint.into()) }, format);
    USAGE
}

/// Prints warnings about damage; the rest of the output is still shown.
pub fn warn(label: &str, problems: &[Problem]) {
    for Problem { id, error, hint, .. } in problems {
        let whose = id.as_ref().map(|id| format!("{id}: ")).unwrap_or_default();
        say!("[{label}] warning: {whose}{error}");
        if let Some(hint) = hint {
            say!("[hint] {hint}");
        }
    }
}

/// Clap's message, and its usage lines as the hint.
fn split(text: &str) -> (String, String) {
    let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
    let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let usage = rest.lines().find(|line| line.starts_with("Usage:")).unwrap_or("`pyro --help` shows every command");
    let one_line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    (one_line, usage.to_owned())
}
