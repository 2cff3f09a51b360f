//! `pyro doctor`.

use pyro_api::{Check, CheckStatus, Depth, DoctorReport};

use crate::arguments::DoctorArguments;
use crate::context;
use crate::failure::{ERROR, Format, print_json, show};
use crate::stdio::print;

pub fn run(arguments: &DoctorArguments) -> i32 {
    let depth = if arguments.deep { Depth::Deep } else { Depth::Quick };
    let format = Format::from_flag(arguments.json);
    let report = match context::runtime() {
        Ok(runtime) => runtime.block_on(context::pyro().doctor(depth)),
        Err(error) => return show(&error, format, ERROR),
    };
    match format {
        Format::Json => drop(print_json(&report)),
        Format::Human => drop(print(&text(&report))),
    }
    if report.runtime_ok { 0 } else { ERROR }
}

fn text(report: &DoctorReport) -> String {
    let mut text = String::new();
    for Check { name, status, detail, .. } in &report.checks {
        text.push_str(&format!("[{}] {name}: {detail}\n", word(*status)));
    }
    let to_do: Vec<&Check> =
        report.checks.iter().filter(|check| check.status != CheckStatus::Pass && !check.fix.is_empty()).collect();
    if to_do.is_empty() {
        text.push_str("Issues: none\n");
        return text;
    }
    text.push_str("Issues:\n");
    for Check { name, status, fix, .. } in to_do {
        let weight = if *status == CheckStatus::Fail { "needed" } else { "optional" };
        text.push_str(&format!("- {name} ({weight}): {fix}\n"));
    }
    text
}

fn word(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Pass => "pass",
        CheckStatus::Warn => "warn",
        CheckStatus::Fail => "fail",
    }
}
