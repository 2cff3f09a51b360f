//! `pyro task exec` and `pyro task wait`: a command's output as it comes, and its exit code.

use std::future::Future;

use pyro_api::{CommandOutcome, Error, ExecTask, Operation, Pyro, RunIo, StartTaskCommand, TaskExecRecord, WaitTask};
use tokio_util::sync::CancellationToken;

use super::run::interrupted;
use crate::arguments::{TaskCommandArguments, TaskExecArguments};
use crate::context;
use crate::failure::{Format, OWN_ERROR, print_json, show, wrong_usage};
use crate::stdio::{self, Written, print};
use crate::terminal::say;

/// Messages when the user leaves a running command.
const GOES_ON: &str = "the command keeps running; `pyro task logs` shows its output";
const NOT_ACCEPTED: &str = "the task had not accepted the command yet; `pyro task logs` shows whether it runs";
/// The signal of Ctrl-C.
const INTERRUPT: i32 = 2;

pub fn exec(arguments: &TaskExecArguments) -> i32 {
    let format = Format::from_flag(arguments.json);
    if arguments.command.is_empty() {
        let example = format!("pyro task exec {} -- git --version", arguments.task_id);
        return wrong_usage("no command was given; put it after `--`", &example, format);
    }
    let pyro = context::pyro();
    match request(arguments) {
        Err(error) => show(&error, format, OWN_ERROR),
        Ok(request) if arguments.detach => detach(&pyro, request, format),
        Ok(request) => follow(format, Leave::Cancel, stdio::read_input, |io| async {
            let task_id = pyro.complete_task_id(&request.task_id).await?;
            ExecTask { task_id, ..request }.carry_out(context::of(&pyro, io)).await
        }),
    }
}

pub fn wait(arguments: &TaskCommandArguments) -> i32 {
    let pyro = context::pyro();
    follow(
        Format::from_flag(arguments.json),
        Leave::Alone,
        || None,
        |io| async {
            let task_id = pyro.complete_task_id(&arguments.task_id).await?;
            let request = WaitTask { task_id, sequence: arguments.sequence, wait_seconds: None };
            request.carry_out(context::of(&pyro, io)).await
        },
    )
}

/// What Ctrl-C does to the command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    Cancel,
    Alone,
}

/// Shows a command until it is over. Ctrl-C ends a command of one's own; every other signal leaves
/// it alone.
fn follow<F: Future<Output = Result<CommandOutcome, Error>>>(
    format: Format,
    leave: Leave,
    input: impl FnOnce() -> Option<tokio::sync::mpsc::Receiver<bytes::Bytes>>,
    work: impl FnOnce(RunIo) -> F,
) -> i32 {
    let (events, writer) = stdio::write_events("task-exec", format);
    let cancel = CancellationToken::new();
    let io = RunIo { events, stdin: input(), cancel: cancel.clone() };
    let runtime = match context::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return show(&error, format, OWN_ERROR),
    };
    let (result, signal) = runtime.block_on(async {
        let work = work(io);
        tokio::pin!(work);
        tokio::select! {
            biased;
            result = &mut work => (Some(result), None),
            signal = interrupted() => match (leave, signal) {
                (Leave::Cancel, INTERRUPT) => {
                    cancel.cancel();
                    (Some(work.await), Some(signal))
                }
                _ => (None, Some(signal)),
            },
        }
    });
    runtime.shutdown_background();
    let accepted = writer.was_accepted();
    let written = writer.join();
    match (result, signal) {
        (None, signal) => {
            say!("[task-exec] left; {}", if accepted { GOES_ON } else { NOT_ACCEPTED });
            128 + signal.unwrap_or(INTERRUPT)
        }
        (Some(Ok(CommandOutcome::Ended(record))), _) => finish(&record, format, written),
        (Some(Ok(CommandOutcome::Running(_))), _) => unreachable!("the command was waited for to its end"),
        (Some(Err(Error::CallerGone { .. })), _) if written == Written::Closed => stdio::unwritten(OWN_ERROR),
        (Some(Err(error)), Some(signal)) if error.code() == "command_cancelled" => {
            say!("[task-exec] interrupted; the command was ended");
            128 + signal
        }
        (Some(Err(error)), _) => show(&error, format, OWN_ERROR),
    }
}

fn finish(record: &TaskExecRecord, format: Format, written: Written) -> i32 {
    if written == Written::Closed {
        return stdio::unwritten(OWN_ERROR);
    }
    if format == Format::Json {
        return if print_json(record) { record.exit_code } else { stdio::unwritten(OWN_ERROR) };
    }
    if record.out_of_memory {
        say!("[task-exec] notice: the guest ran out of memory and its kernel killed a process; use a larger --mem-mib");
    }
    let TaskExecRecord { task_id, sequence, cwd, execution_mode, exit_code, duration_ms, .. } = record;
    say!(
        "[task-exec] task_id={task_id} sequence={sequence} cwd={cwd} execution_mode={execution_mode} \
         exit_code={exit_code} duration_ms={duration_ms}"
    );
    *exit_code
}

fn detach(pyro: &Pyro, request: ExecTask, format: Format) -> i32 {
    let started = context::runtime().and_then(|runtime| {
        runtime.block_on(async {
            let task_id = pyro.complete_task_id(&request.task_id).await?;
            let ExecTask { command, timeout_seconds, cwd, env, attempt_id, .. } = request;
            let request = StartTaskCommand { task_id, command, timeout_seconds, cwd, env, attempt_id };
            request.carry_out(context::unheard(pyro)).await
        })
    });
    match started {
        Err(error) => show(&error, format, OWN_ERROR),
        Ok(started) if format == Format::Json => {
            print_json(&started);
            0
        }
        Ok(started) => {
            print(&format!("{}\n", started.sequence));
            say!("[task-exec] task_id={} sequence={} status=running", started.task_id, started.sequence);
            0
        }
    }
}

fn request(arguments: &TaskExecArguments) -> Result<ExecTask, Error> {
    let pair = |entry: &String| match entry.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Error::InvalidArgument { problem: format!("--env {entry}: it must be KEY=VALUE") }),
    };
    let request = ExecTask {
        task_id: arguments.task_id.clone(),
        command: pyro_api::shell_join(&arguments.command),
        timeout_seconds: arguments.timeout_seconds,
        wait_seconds: None,
        cwd: Some(arguments.cwd.clone()),
        env: Some(arguments.environment.iter().map(pair).collect::<Result<_, _>>()?),
        stdin: None,
        attempt_id: arguments.attempt_id.clone(),
    };
    request.check().map(|()| request)
}
