//! `pyro task list`.

use pyro_api::{Error, ListTasks, Operation, Pyro};

use super::task_record::pairs;
use crate::arguments::TaskListArguments;
use crate::context;
use crate::failure::{Format, print_json, warn};
use crate::stdio::print;

pub fn run(pyro: &Pyro, arguments: &TaskListArguments, format: Format) -> Result<i32, Error> {
    let request = ListTasks { labels: Some(pairs("label", &arguments.labels)?) };
    let list = context::runtime()?.block_on(request.carry_out(context::unheard(pyro)))?;
    if format == Format::Json {
        print_json(&list);
        return Ok(0);
    }
    warn("task-list", &list.problems);
    if list.tasks.is_empty() && !list.problems.is_empty() {
        return Ok(0);
    }
    if list.tasks.is_empty() {
        print(match arguments.labels[..] {
            [] => "No tasks. `pyro task create debian:12` makes one.\n",
            _ => "No tasks with these labels.\n",
        });
        return Ok(0);
    }
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
    let mut text =
        format!("{:<12}  {:<7}  {:<14}  {:>8}  {:<12}  NAME\n", "TASK", "STATE", "ENVIRONMENT", "COMMANDS", "EXPIRES");
    for task in &list.tasks {
        let life = &task.life;
        let left = |at: f64| format!("in {} s", (at - now).max(0.0).round());
        let expires = life.expires_at.map_or_else(|| "never".to_owned(), left);
        let name = task.name.as_deref().unwrap_or_default();
        let (id, state, environment, commands) = (&task.task_id, life.state, &life.environment, task.command_count);
        let line = format!("{id}  {state:<7}  {environment:<14}  {commands:>8}  {expires:<12}  {name}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    print(&text);
    Ok(0)
}
