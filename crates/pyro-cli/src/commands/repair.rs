//! `pyro repair`.

use pyro_api::{Error, Finding, Operation, Repair, RepairReport};

use crate::arguments::RepairArguments;
use crate::context;
use crate::failure::{ERROR, Format, print_json, show};
use crate::stdio::print;

pub fn run(arguments: &RepairArguments) -> i32 {
    let format = Format::from_flag(arguments.json);
    repair(arguments, format).unwrap_or_else(|error| show(&error, format, ERROR))
}

fn repair(arguments: &RepairArguments, format: Format) -> Result<i32, Error> {
    let request = Repair { apply: arguments.apply, delete: arguments.delete.clone() };
    // Not recovered before: it looks, and changes nothing that it was not told to.
    let report = context::runtime()?.block_on(request.carry_out(context::unheard(&context::unrecovered())))?;
    match format {
        Format::Json => drop(print_json(&report)),
        Format::Human => drop(print(&text(&report))),
    }
    let failed = report.findings.iter().any(|finding| finding.failed.is_some());
    Ok(if failed { ERROR } else { 0 })
}

fn text(report: &RepairReport) -> String {
    if report.findings.is_empty() {
        return "Nothing is damaged.\n".into();
    }
    let mut text = String::new();
    for Finding { problem, action, done, failed } in &report.findings {
        let whose = problem.id.as_ref().map(|id| format!("{id}: ")).unwrap_or_default();
        let came = match (failed, done) {
            (Some(why), _) => format!("failed: {}: {why}", words(action)),
            (None, true) => format!("done: {}", words(action)),
            (None, false) if *action == "keep" => words(action).to_owned(),
            (None, false) => format!("proposed: {}", words(action)),
        };
        text.push_str(&format!("{whose}{}\n  {came}\n", problem.error));
    }
    let is_to_do = report.findings.iter().any(|finding| finding.action != "keep");
    if is_to_do && !report.applied {
        text.push_str("Nothing was changed. Run `pyro repair --apply` to make these repairs.\n");
    }
    text
}

fn words(action: &str) -> &str {
    match action {
        "restore_record" => "restore the record from the registry, and keep the damaged one beside it",
        "write_row" => "write the registry's row again from the record",
        "make_registry" => "rebuild the registry from the records, and keep the damaged one beside it",
        "keep_journal_aside" => "copy the damaged journal, and continue it after the damage",
        "delete" => "remove it permanently",
        _ => "kept as it is; if it is not running, `pyro repair --apply --delete ID` removes it permanently",
    }
}
