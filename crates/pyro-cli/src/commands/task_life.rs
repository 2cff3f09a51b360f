//! `pyro task stop`, `pyro task start` and `pyro task update`.

use pyro_api::{Error, Operation, Pyro, StartTask, StopTask, TaskRecord, UpdateTask};

use super::task_record::{pairs, print_task};
use crate::arguments::{TaskStartArguments, TaskStopArguments, TaskUpdateArguments};
use crate::context;
use crate::failure::Format;

pub fn stop(pyro: &Pyro, arguments: &TaskStopArguments, format: Format) -> Result<i32, Error> {
    let ttl_seconds = arguments.ttl_seconds;
    changed(pyro, &arguments.task_id, format, |task_id| StopTask { task_id, ttl_seconds })
}

pub fn start(pyro: &Pyro, arguments: &TaskStartArguments, format: Format) -> Result<i32, Error> {
    let ttl_seconds = arguments.ttl_seconds;
    changed(pyro, &arguments.task_id, format, |task_id| StartTask { task_id, ttl_seconds })
}

pub fn update(pyro: &Pyro, arguments: &TaskUpdateArguments, format: Format) -> Result<i32, Error> {
    let labels = pairs("label", &arguments.labels)?;
    changed(pyro, &arguments.task_id, format, |task_id| UpdateTask {
        task_id,
        name: arguments.name.clone(),
        remove_name: arguments.no_name,
        labels: Some(labels),
        remove_labels: arguments.remove_labels.clone(),
    })
}

fn changed<O: Operation<Result = TaskRecord>>(
    pyro: &Pyro,
    id: &str,
    format: Format,
    request: impl FnOnce(String) -> O,
) -> Result<i32, Error> {
    let record = context::runtime()?.block_on(async {
        let id = pyro.complete_task_id(id).await?;
        request(id).carry_out(context::unheard(pyro)).await
    });
    Ok(print_task(&record?, format))
}
