//! `pyro run ENV -- CMD…`.

use pyro_api::{Error, Operation, Pyro, RunInVm, RunIo, RunRecord};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::arguments::RunArguments;
use crate::context;
use crate::failure::{Format, OWN_ERROR, print_json, show, wrong_usage};
use crate::stdio::{self, Written};
use crate::terminal::say;

pub fn run(arguments: &RunArguments) -> i32 {
    let format = Format::from_flag(arguments.json);
    if arguments.command.is_empty() {
        let example = format!("pyro run {} -- git --version", arguments.environment);
        return wrong_usage("no command was given; put it after `--`", &example, format);
    }
    let request = request(arguments);
    match request.check() {
        Ok(()) => run_request(&context::pyro(), request, format),
        Err(error) => show(&error, format, OWN_ERROR),
    }
}

/// Runs it and shows it, for `run` and `demo`.
pub fn run_request(pyro: &Pyro, request: RunInVm, format: Format) -> i32 {
    let (events, writer) = stdio::write_events("run", format);
    let cancel = CancellationToken::new();
    let io = RunIo { events, stdin: stdio::read_input(), cancel: cancel.clone() };
    let runtime = match context::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return show(&error, format, OWN_ERROR),
    };
    let (result, interrupted) = runtime.block_on(async {
        let run = request.carry_out(context::of(pyro, io));
        tokio::pin!(run);
        tokio::select! {
            biased;
            result = &mut run => (result, None),
            signal = interrupted() => {
                cancel.cancel();
                (run.await, Some(signal))
            }
        }
    });
    runtime.shutdown_background();
    let written = writer.join();
    match (result, interrupted) {
        (Ok(record), _) => finish(&record, format, written),
        (Err(Error::Cancelled), Some(signal)) => {
            say!("[run] interrupted; the command was ended and its machine removed");
            128 + signal
        }
        (Err(Error::Cancelled), None) if written == Written::Closed => stdio::unwritten(OWN_ERROR),
        (Err(error), _) => show(&error, format, OWN_ERROR),
    }
}

fn finish(record: &RunRecord, format: Format, written: Written) -> i32 {
    if written == Written::Closed {
        return stdio::unwritten(OWN_ERROR);
    }
    if format == Format::Json {
        return if print_json(record) { record.exit_code } else { stdio::unwritten(OWN_ERROR) };
    }
    if record.out_of_memory {
        say!("[run] notice: the guest ran out of memory and its kernel killed a process; use a larger --mem-mib");
    }
    let RunRecord { environment, execution_mode, exit_code, duration_ms, .. } = record;
    say!(
        "[run] environment={environment} execution_mode={execution_mode} exit_code={exit_code} duration_ms={duration_ms}"
    );
    *exit_code
}

/// Resolves with the number of a signal that asks this program to end.
pub async fn interrupted() -> i32 {
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        // Without handlers the signals end the program the usual way.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => 2,
        _ = terminate.recv() => 15,
        _ = hang_up.recv() => 1,
    }
}

fn request(arguments: &RunArguments) -> RunInVm {
    RunInVm {
        environment: arguments.environment.clone(),
        command: pyro_api::shell_join(&arguments.command),
        machine: arguments.machine.options.clone(),
        timeout_seconds: arguments.timeout_seconds,
        ttl_seconds: arguments.machine.ttl_seconds,
        stdin: None,
    }
}
