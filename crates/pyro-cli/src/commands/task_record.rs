//! A task as people see it, and the labels that they give it.

use std::collections::BTreeMap;

use pyro_api::{Error, TaskRecord};

use crate::failure::{Format, print_json};
use crate::stdio::print;

/// What was given as KEY=VALUE, each key once.
pub fn pairs(what: &'static str, given: &[String]) -> Result<BTreeMap<String, String>, Error> {
    let mut pairs = BTreeMap::new();
    for text in given {
        let Some((key, value)) = text.split_once('=') else {
            return Err(Error::InvalidArgument { problem: format!("{text:?} is not a {what} (KEY=VALUE)") });
        };
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Error::InvalidArgument { problem: format!("the {what} {key:?} is given twice") });
        }
    }
    Ok(pairs)
}

pub fn print_task(record: &TaskRecord, format: Format) -> i32 {
    match format {
        Format::Json => drop(print_json(record)),
        Format::Human => drop(print(&describe(record))),
    }
    0
}

fn describe(record: &TaskRecord) -> String {
    let life = &record.life;
    let mut lines = vec![
        format!("Task: {}", record.task_id),
        format!("Environment: {}", life.environment),
        format!("State: {}", life.state),
        format!("Workspace: {}", record.workspace_path),
        format!("Execution mode: {}", life.execution_mode),
        format!("Resources: {} vCPU / {} MiB", life.vcpu_count, life.mem_mib),
        format!("Command count: {}", record.command_count),
    ];
    lines.extend(record.name.as_ref().map(|name| format!("Name: {name}")));
    lines.extend(record.labels.iter().map(|(key, value)| format!("Label: {key}={value}")));
    if let Some(last) = &record.last_command {
        let came = last.exit_code.map_or_else(|| last.status.to_owned(), |code| format!("exit_code={code}"));
        lines.push(format!("Last command: {} ({came})", last.command));
    }
    lines.extend(life.last_error.as_ref().map(|error| format!("Last error: {error}")));
    lines.extend(record.problems.iter().map(|problem| format!("Problem: {}", problem.error)));
    lines.join("\n") + "\n"
}
