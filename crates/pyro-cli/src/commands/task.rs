//! `pyro task …`, all but what runs commands and shows their output.

use std::cell::RefCell;

use pyro_api::{
    CancelCommand, CreateTask, DeleteTask, Error, ExtendTask, Operation, Pyro, RunIo, SeedTask, StatusTask, TaskRecord,
};
use tokio_util::sync::CancellationToken;

use super::task_record::{pairs, print_task};
use super::{task_changes, task_copy, task_exec, task_file, task_life, task_list, task_logs};
use crate::arguments::{
    SeedArguments, TaskArguments, TaskCommand, TaskCommandArguments, TaskCreateArguments, TaskExtendArguments,
};
use crate::context;
use crate::failure::{ERROR, Format, print_json, show};
use crate::stdio::{print, write_events};
use crate::terminal::say;

pub fn run(command: TaskCommand) -> i32 {
    match command {
        TaskCommand::Create(arguments) => shown(arguments.json, |pyro, format| create(pyro, &arguments, format)),
        TaskCommand::Status(arguments) => shown(arguments.json, |pyro, format| status(pyro, &arguments, format)),
        TaskCommand::List(arguments) => shown(arguments.json, |pyro, format| task_list::run(pyro, &arguments, format)),
        TaskCommand::Stop(arguments) => shown(arguments.json, |pyro, format| task_life::stop(pyro, &arguments, format)),
        TaskCommand::Start(arguments) => {
            shown(arguments.json, |pyro, format| task_life::start(pyro, &arguments, format))
        }
        TaskCommand::Update(arguments) => {
            shown(arguments.json, |pyro, format| task_life::update(pyro, &arguments, format))
        }
        TaskCommand::Extend(arguments) => shown(arguments.json, |pyro, format| extend(pyro, &arguments, format)),
        TaskCommand::Cancel(arguments) => shown(arguments.json, |pyro, format| cancel(pyro, &arguments, format)),
        TaskCommand::Delete(arguments) => shown(arguments.json, |pyro, format| delete(pyro, &arguments, format)),
        TaskCommand::Logs(arguments) => shown(arguments.json, |pyro, format| task_logs::run(pyro, &arguments, format)),
        TaskCommand::File { command } => task_file::run(command.0),
        TaskCommand::Cp(arguments) => task_copy::run(&arguments),
        TaskCommand::Diff(arguments) => task_changes::diff(&arguments),
        TaskCommand::Apply(arguments) => task_changes::apply(&arguments),
        TaskCommand::Push(asked) => task_file::move_tree(asked, |request| &mut request.task_id),
        TaskCommand::Export(asked) => task_file::move_tree(asked, |request| &mut request.task_id),
        TaskCommand::Exec(arguments) => task_exec::exec(&arguments),
        TaskCommand::Wait(arguments) => task_exec::wait(&arguments),
    }
}

fn shown(json: bool, work: impl FnOnce(&Pyro, Format) -> Result<i32, Error>) -> i32 {
    let format = Format::from_flag(json);
    work(&context::pyro(), format).unwrap_or_else(|error| show(&error, format, ERROR))
}

fn create(pyro: &Pyro, arguments: &TaskCreateArguments, format: Format) -> Result<i32, Error> {
    let request = CreateTask {
        environment: arguments.environment.clone(),
        machine: arguments.machine.options.clone(),
        ttl_seconds: arguments.machine.ttl_seconds.unwrap_or(CreateTask::DEFAULT_TTL_SECONDS),
        name: arguments.name.clone(),
        labels: Some(pairs("label", &arguments.labels)?),
        attempt_id: arguments.attempt_id.clone(),
    };
    let (events, writer) = write_events("task-create", format);
    // A task of this call alone, as long as it is not what was asked for.
    let unfinished = RefCell::new(None);
    let created = context::runtime()?.block_on(async {
        let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
        let created = tokio::select! {
            created = created_and_seeded(pyro, request, &arguments.seed, &unfinished, io) => Ok(created),
            signal = super::run::interrupted() => Err(signal),
        };
        if let Some(task_id) = unfinished.take() {
            // The first error is the one to tell.
            let _ = DeleteTask { task_id }.carry_out(context::unheard(pyro)).await;
        }
        created
    });
    let _ = writer.join();
    match created {
        Ok(created) => Ok(print_task(&created?, format)),
        Err(signal) => {
            say!("[task-create] interrupted; the task was removed");
            Ok(128 + signal)
        }
    }
}

/// A task of this call that cannot be seeded is left in `unfinished`. One that an earlier call with the same attempt
/// made stays as it is, and is seeded where it was not.
async fn created_and_seeded(
    pyro: &Pyro,
    request: CreateTask,
    seed: &SeedArguments,
    unfinished: &RefCell<Option<String>>,
    io: RunIo,
) -> Result<TaskRecord, Error> {
    let seeding = RunIo { events: io.events.clone(), stdin: None, cancel: io.cancel.clone() };
    let repeatable = request.attempt_id.is_some();
    let created = request.carry_out(context::of(pyro, io)).await?;
    let Some(source) = seed.seed.clone() else { return Ok(created) };
    let task_id = created.task_id.clone();
    if !repeatable {
        unfinished.replace(Some(task_id.clone()));
    }
    let seed = SeedTask { task_id, source, all: seed.seed_all, no_git: seed.no_git };
    match seed.carry_out(context::of(pyro, seeding)).await {
        Err(error) if repeatable && error.code() == "file_exists" => {} // an earlier call has seeded it
        seeded => drop(seeded?),
    }
    unfinished.replace(None);
    Ok(created)
}

fn status(pyro: &Pyro, arguments: &TaskArguments, format: Format) -> Result<i32, Error> {
    let record = context::runtime()?.block_on(async {
        let id = pyro.complete_task_id(&arguments.task_id).await?;
        StatusTask { task_id: id }.carry_out(context::unheard(pyro)).await
    });
    Ok(print_task(&record?, format))
}

fn extend(pyro: &Pyro, arguments: &TaskExtendArguments, format: Format) -> Result<i32, Error> {
    let record = context::runtime()?.block_on(async {
        let id = pyro.complete_task_id(&arguments.task_id).await?;
        let request = ExtendTask { task_id: id, ttl_seconds: arguments.ttl_seconds };
        request.carry_out(context::unheard(pyro)).await
    });
    Ok(print_task(&record?, format))
}

fn cancel(pyro: &Pyro, arguments: &TaskCommandArguments, format: Format) -> Result<i32, Error> {
    let entry = context::runtime()?.block_on(async {
        let id = pyro.complete_task_id(&arguments.task_id).await?;
        let request = CancelCommand { task_id: id, sequence: arguments.sequence };
        request.carry_out(context::unheard(pyro)).await
    })?;
    if format == Format::Json {
        print_json(&entry);
    } else {
        print(&format!("Command {}: {}\n", entry.sequence, entry.status));
    }
    Ok(0)
}

fn delete(pyro: &Pyro, arguments: &TaskArguments, format: Format) -> Result<i32, Error> {
    let deleted = context::runtime()?.block_on(async {
        let id = pyro.complete_task_id(&arguments.task_id).await?;
        DeleteTask { task_id: id }.carry_out(context::unheard(pyro)).await
    })?;
    if format == Format::Json {
        print_json(&deleted);
    } else {
        print(&format!("Deleted task: {}\n", deleted.task_id));
    }
    Ok(0)
}
