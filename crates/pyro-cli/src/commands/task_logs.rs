//! `pyro task logs`: the journal, with all of its output and as it grows.

use pyro_api::{Error, LogEntry, LogsRequest, Pyro, RunEvent, RunIo, Stream, TaskJournal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::arguments::TaskLogsArguments;
use crate::context;
use crate::failure::{Format, print_json, warn};
use crate::pager::Pager;
use crate::stdio::print;
use crate::terminal::{escaped, say};

/// Bytes that are read from the journal at once.
const PIECE: usize = 256 * 1024;
/// Events on their way.
const IN_FLIGHT: usize = 16;

pub fn run(pyro: &Pyro, arguments: &TaskLogsArguments, format: Format) -> Result<i32, Error> {
    let TaskLogsArguments { sequence, tail_bytes, last, .. } = *arguments;
    let runtime = context::runtime()?;
    let result = runtime.block_on(async {
        let id = pyro.complete_task_id(&arguments.task_id).await?;
        if arguments.follow {
            return follow(pyro, &id, sequence, last).await;
        }
        if format == Format::Json {
            let request = LogsRequest { sequence, tail_bytes, last, max_bytes: None };
            print_json(&pyro.logs_task(&id, request).await?);
            return Ok(());
        }
        let journal = pyro.journal_of_task(&id, LogsRequest { sequence, last, ..LogsRequest::default() }).await?;
        warn("task-logs", &journal.problems);
        let mut pager = if arguments.no_pager { Pager::none() } else { Pager::on_a_terminal() };
        for entry in &journal.entries {
            if !show(&journal, entry, tail_bytes, &mut pager)? {
                break; // the user has closed the pager
            }
        }
        Ok(())
    });
    runtime.shutdown_background();
    result.map(|()| 0)
}

/// One entry, with all of its output or the end of it. Returns whether the reader still reads.
fn show(journal: &TaskJournal, entry: &LogEntry, tail_bytes: Option<usize>, pager: &mut Pager) -> Result<bool, Error> {
    let mut read = pager.print(&heading(entry));
    for stream in [Stream::Stdout, Stream::Stderr] {
        let (bytes, cut) = match stream {
            Stream::Stdout => (entry.stdout_bytes, &entry.stdout_cut),
            Stream::Stderr => (entry.stderr_bytes, &entry.stderr_cut),
        };
        let kept =
            if cut.is_some() { std::fs::metadata(file(entry, stream)).map_or(0, |file| file.len()) } else { bytes };
        let mut last = b'\n';
        let mut offset = tail_bytes.map_or(0, |tail| kept.saturating_sub(tail as u64));
        while read {
            let piece = journal.read_output(entry.sequence, stream, offset, PIECE)?;
            let Some(end) = piece.last() else { break };
            last = *end;
            offset += piece.len() as u64;
            read = write(pager, stream, &piece);
        }
        if last != b'\n' {
            read = read && write(pager, stream, b"\n"); // the next heading stands on a line of its own
        }
        if let Some(why) = cut {
            let text = format!(
                "[task-logs] {} of command {} ends after {kept} bytes: {why}\n",
                stream.as_str(),
                entry.sequence
            );
            pager.write_err(escaped(&text).as_bytes());
        }
    }
    Ok(read)
}

fn file(entry: &LogEntry, stream: Stream) -> &std::path::Path {
    if stream == Stream::Stdout { &entry.stdout_file } else { &entry.stderr_file }
}

/// Every command in turn, each until it is over, and then the next that begins. What is over already is
/// shown from one look at the journal.
async fn follow(pyro: &Pyro, id: &str, sequence: Option<u64>, last: Option<usize>) -> Result<(), Error> {
    if let Some(sequence) = sequence {
        return follow_command(pyro, id, sequence).await;
    }
    let mut next = show_finished(pyro, id, 1, last).await?;
    let (newest, mut heard) = mpsc::channel(IN_FLIGHT);
    let watch = pyro.watch_task(id, newest);
    let show = async {
        while let Some(latest) = heard.recv().await {
            while next <= latest {
                follow_command(pyro, id, next).await?;
                next += 1;
            }
        }
        // A task that is stopped has no supervisor to tell of anything.
        show_finished(pyro, id, next, None).await.map(drop)
    };
    let (watched, shown) = tokio::join!(watch, show);
    watched.and(shown)
}

/// Shows the commands from a number on, up to the first that is not over. Returns the number of that, or of
/// the one after the last.
async fn show_finished(pyro: &Pyro, id: &str, from: u64, last: Option<usize>) -> Result<u64, Error> {
    let journal = pyro.journal_of_task(id, LogsRequest { last, ..LogsRequest::default() }).await?;
    let mut next = from;
    for entry in journal.entries.iter().filter(|entry| entry.sequence >= from) {
        next = entry.sequence;
        if entry.finished_at.is_none() {
            return Ok(next);
        }
        show(&journal, entry, None, &mut Pager::none())?;
        next += 1;
    }
    Ok(next)
}

/// One command, from its first byte to its end.
async fn follow_command(pyro: &Pyro, id: &str, sequence: u64) -> Result<(), Error> {
    let request = LogsRequest { sequence: Some(sequence), ..LogsRequest::default() };
    let journal = pyro.journal_of_task(id, request).await?;
    let Some(entry) = journal.entries.first() else { return Ok(()) };
    let mut pager = Pager::none();
    if entry.finished_at.is_some() {
        return show(&journal, entry, None, &mut pager).map(drop);
    }
    print(&heading(entry));
    let (events, mut heard) = mpsc::channel(IN_FLIGHT);
    let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
    let write = async {
        while let Some(event) = heard.recv().await {
            match event {
                RunEvent::Stdout(bytes) => drop(write(&mut pager, Stream::Stdout, &bytes)),
                RunEvent::Stderr(bytes) => drop(write(&mut pager, Stream::Stderr, &bytes)),
                _ => {}
            }
        }
    };
    let (came, ()) = tokio::join!(pyro.wait_task(id, sequence, io), write);
    match came {
        Ok(record) => {
            say!("[task-logs] #{sequence} exit_code={} duration_ms={}", record.exit_code, record.duration_ms)
        }
        Err(error) => say!("[task-logs] #{sequence} {error}"),
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

fn write(pager: &mut Pager, stream: Stream, bytes: &[u8]) -> bool {
    match stream {
        Stream::Stdout => pager.write_out(bytes),
        Stream::Stderr => pager.write_err(bytes),
    }
}
