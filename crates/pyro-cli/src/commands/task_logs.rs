//! `pyro task logs`: the journal, with all of its output and as it grows.

use std::io::{self, Write};

use pyro_manager::{Error, LogEntry, LogsRequest, OutputPiece, Pyro, RunEvent, RunIo, Stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::arguments::TaskLogsArguments;
use crate::context;
use crate::failure::{Format, print_json};
use crate::stderr::note;
use crate::stdio::print;

/// Bytes that are read from the journal at once.
const PIECE: usize = 256 * 1024;
/// Events on their way.
const IN_FLIGHT: usize = 16;

pub fn run(pyro: &Pyro, arguments: &TaskLogsArguments, format: Format) -> Result<i32, Error> {
    let request = LogsRequest { sequence: arguments.sequence, tail_bytes: arguments.tail_bytes, most_bytes: None };
    let runtime = context::runtime()?;
    let result = runtime.block_on(async {
        let id = pyro.complete_task_id(&arguments.task_id).await?;
        if arguments.follow {
            return follow(pyro, &id, request).await;
        }
        let logs = pyro.logs_task(&id, request).await?;
        if format == Format::Json {
            print_json(&logs);
            return Ok(());
        }
        super::task::warn("task-logs", &logs.problems);
        for entry in &logs.entries {
            show(pyro, &id, entry, arguments.tail_bytes).await?;
        }
        Ok(())
    });
    runtime.shutdown_background();
    result.map(|()| 0)
}

/// One entry, with all of its output or the end of it.
async fn show(pyro: &Pyro, id: &str, entry: &LogEntry, tail_bytes: Option<usize>) -> Result<(), Error> {
    print(&heading(entry));
    for stream in [Stream::Stdout, Stream::Stderr] {
        let (bytes, cut) = match stream {
            Stream::Stdout => (entry.stdout_bytes, &entry.stdout_cut),
            Stream::Stderr => (entry.stderr_bytes, &entry.stderr_cut),
        };
        let kept =
            if cut.is_some() { std::fs::metadata(file(entry, stream)).map_or(0, |file| file.len()) } else { bytes };
        let mut last = b'\n';
        let mut offset = tail_bytes.map_or(0, |tail| kept.saturating_sub(tail as u64));
        loop {
            let piece = pyro.read_output(id, entry.sequence, stream, offset, PIECE).await?;
            let OutputPiece { bytes, next_offset, .. } = piece;
            if bytes.is_empty() || !write(stream, &bytes) {
                break;
            }
            last = bytes[bytes.len() - 1];
            offset = next_offset;
        }
        if last != b'\n' {
            write(stream, b"\n"); // the next heading stands on a line of its own
        }
        if let Some(why) = cut {
            note!("[task-logs] {} of command {} is cut after {kept} bytes: {why}", stream.word(), entry.sequence);
        }
    }
    Ok(())
}

fn file(entry: &LogEntry, stream: Stream) -> &std::path::Path {
    if stream == Stream::Stdout { &entry.stdout_file } else { &entry.stderr_file }
}

/// Every command in turn, each until it is over, and then the next that begins.
async fn follow(pyro: &Pyro, id: &str, request: LogsRequest) -> Result<(), Error> {
    if let Some(sequence) = request.sequence {
        return follow_command(pyro, id, sequence).await;
    }
    let (newest, mut heard) = mpsc::channel(IN_FLIGHT);
    let watch = pyro.watch_task(id, newest);
    let show = async {
        let mut next = 1;
        while let Some(latest) = heard.recv().await {
            while next <= latest {
                follow_command(pyro, id, next).await?;
                next += 1;
            }
        }
        // A task that is stopped has no supervisor to tell of anything.
        let logs = pyro.logs_task(id, LogsRequest::default()).await?;
        for entry in logs.entries.iter().filter(|entry| entry.sequence >= next) {
            show(pyro, id, entry, None).await?;
        }
        Ok(())
    };
    let (watched, shown) = tokio::join!(watch, show);
    watched.and(shown)
}

/// One command, from its first byte to its end.
async fn follow_command(pyro: &Pyro, id: &str, sequence: u64) -> Result<(), Error> {
    let logs =
        pyro.logs_task(id, LogsRequest { sequence: Some(sequence), tail_bytes: Some(0), most_bytes: None }).await?;
    let Some(entry) = logs.entries.first() else { return Ok(()) };
    if entry.finished_at.is_some() {
        return show(pyro, id, entry, None).await;
    }
    print(&heading(entry));
    let (events, mut heard) = mpsc::channel(IN_FLIGHT);
    let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
    let write = async {
        while let Some(event) = heard.recv().await {
            match event {
                RunEvent::Stdout(bytes) => drop(write(Stream::Stdout, &bytes)),
                RunEvent::Stderr(bytes) => drop(write(Stream::Stderr, &bytes)),
                _ => {}
            }
        }
    };
    let (came, ()) = tokio::join!(pyro.wait_task(id, sequence, io), write);
    match came {
        Ok(record) => {
            note!("[task-logs] #{sequence} exit_code={} duration_ms={}", record.exit_code, record.duration_ms)
        }
        Err(error) => note!("[task-logs] #{sequence} {error}"),
    }
    Ok(())
}

fn heading(entry: &LogEntry) -> String {
    let LogEntry { sequence, cwd, command, status, .. } = entry;
    let came = match (entry.exit_code, entry.duration_ms) {
        (Some(code), duration) => format!("exit_code={code} duration_ms={}", duration.unwrap_or_default()),
        (None, _) => format!("status={status}"),
    };
    let why = entry.reason.as_ref().map(|reason| format!(" reason={reason:?}")).unwrap_or_default();
    format!("#{sequence} {came} cwd={cwd}{why}\n$ {command}\n")
}

fn write(stream: Stream, bytes: &[u8]) -> bool {
    match stream {
        Stream::Stdout => io::stdout().lock().write_all(bytes).is_ok() && io::stdout().flush().is_ok(),
        Stream::Stderr => io::stderr().lock().write_all(bytes).is_ok(),
    }
}
