//! `pyro task diff` and `task apply`.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal};

use pyro_api::{ApplyTask, DiffShape, DiffTask, Error, Operation, TaskApplied, UndoApply};

use super::task_file::{Ended, attended, ended};
use crate::arguments::{ApplyArguments, DiffArguments};
use crate::context;
use crate::failure::{ERROR, Format, print_json};
use crate::pager::Pager;
use crate::stdio::print;
use crate::terminal::say;

pub fn diff(arguments: &DiffArguments) -> i32 {
    let format = Format::from_flag(arguments.json);
    let result = attended(format, async |pyro, io| {
        let task_id = pyro.complete_task_id(&arguments.task_id).await?;
        let form = match (arguments.stat, arguments.name_only) {
            (true, _) => DiffShape::Stat,
            (false, true) => DiffShape::Names,
            (false, false) => DiffShape::Patch,
        };
        let request = DiffTask { task_id, paths: arguments.paths.clone(), form, binary: arguments.binary };
        if format == Format::Json {
            print_json(&request.carry_out(context::of(pyro, io)).await?);
            return Ok(0);
        }
        let terminal = std::io::stdout().is_terminal();
        let text = request.bytes(context::of(pyro, io), terminal).await?;
        let mut pager = if terminal { Pager::on_a_terminal() } else { Pager::none() };
        pager.write_out(&text);
        Ok(0)
    });
    ended(result, format)
}

pub fn apply(arguments: &ApplyArguments) -> i32 {
    let format = Format::from_flag(arguments.json);
    let result = match (&arguments.undo, &arguments.to) {
        (Some(number), _) => undo(arguments, *number, format),
        (None, Some(to)) => take_over(arguments, to, format),
        (None, None) => unreachable!("clap asks for one of them"),
    };
    ended(result, format)
}

fn undo(arguments: &ApplyArguments, number: Option<u64>, format: Format) -> Result<i32, Ended> {
    attended(format, async |pyro, io| {
        // A reversal outlives its task.
        let task_id = match pyro.complete_task_id(&arguments.task_id).await {
            Err(error) if error.code() == "unknown_task" => arguments.task_id.clone(),
            task_id => task_id?,
        };
        let undone = UndoApply { task_id, number }.carry_out(context::of(pyro, io)).await?;
        match format {
            Format::Json => drop(print_json(&undone)),
            Format::Human => {
                print(&format!("Undone: {} paths\n", undone.restored.len()));
                undone.left.iter().for_each(|left| say!("[apply] left as it is: {left}"));
            }
        }
        Ok(if undone.left.is_empty() { 0 } else { ERROR })
    })
}

fn take_over(arguments: &ApplyArguments, to: &str, format: Format) -> Result<i32, Ended> {
    attended(format, async |pyro, io| {
        let task_id = pyro.complete_task_id(&arguments.task_id).await?;
        let request = ApplyTask {
            task_id,
            to: to.to_owned(),
            only: arguments.only.clone(),
            allow: arguments.allow.clone(),
            merge: arguments.merge,
            skip_problems: arguments.skip_problems,
            dry_run: true,
        };
        if !arguments.yes || arguments.dry_run {
            let planned = request.clone().carry_out(context::unheard(pyro)).await?;
            if arguments.dry_run && format == Format::Json {
                print_json(&planned);
                return Ok(0);
            }
            say!("{}", summary(&planned).trim_end());
            if arguments.dry_run || planned.steps.iter().all(|step| step.action == "same") {
                return Ok(0);
            }
            if !asked(to)? {
                say!("[apply] nothing was changed");
                return Ok(ERROR);
            }
        }
        let applied = ApplyTask { dry_run: false, ..request }.carry_out(context::of(pyro, io)).await?;
        match format {
            Format::Json => drop(print_json(&applied)),
            Format::Human => drop(print(&done(&applied, to))),
        }
        Ok(0)
    })
}

/// Asks the person at the terminal.
fn asked(to: &str) -> Result<bool, Error> {
    if !std::io::stdin().is_terminal() {
        let problem =
            "nobody can be asked: stdin is no terminal; --yes does it without asking, --dry-run only shows it";
        return Err(Error::InvalidArgument { problem: problem.into() });
    }
    say!("Change {to}? [y/N]");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn summary(planned: &TaskApplied) -> String {
    let mut text = String::new();
    for step in planned.steps.iter().filter(|step| step.action != "same") {
        let note = step.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
        let _ = writeln!(text, "{:<16}  {}{note}", step.action, step.path);
    }
    if text.is_empty() { "nothing to take over\n".into() } else { text }
}

fn done(applied: &TaskApplied, to: &str) -> String {
    let changed = applied.steps.iter().filter(|step| !matches!(step.action, "same" | "conflict" | "refused")).count();
    let mut text = format!("Applied: {changed} paths in {to}\n");
    if let Some(number) = applied.number {
        let _ = writeln!(text, "`pyro task apply {} --undo {number}` puts them back", applied.task_id);
    }
    for path in &applied.marked {
        let _ = writeln!(text, "conflict markers: {path}");
    }
    text
}
