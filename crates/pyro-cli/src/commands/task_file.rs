//! `pyro task file …`, `task push` and `task export`.

use std::fmt::Write as _;

use bytes::Bytes;
use clap::Args;
use pyro_api::{
    Error, FileEntry, FileInTask, FileListing, FilePiece, GrepResult, Operation, Pyro, RunIo, TreeMoved, WriteOptions,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::run::interrupted;
use crate::arguments::{Asked, FileCommand, FileReadArguments, FileWriteArguments};
use crate::context;
use crate::failure::{ERROR, Format, print_json, show};
use crate::stdio::{self, print, read_input, write_events, write_stdout};
use crate::terminal::say;

/// Pieces of a file on their way.
const IN_FLIGHT: usize = 16;

pub fn run(command: FileCommand) -> i32 {
    match command {
        FileCommand::List(asked) => carry_out(asked, |request| &mut request.task_id, listing),
        FileCommand::Find(asked) => carry_out(asked, |request| &mut request.task_id, names),
        FileCommand::Stat(asked) => carry_out(asked, |request| &mut request.task_id, line),
        FileCommand::Grep(asked) => carry_out(asked, |request| &mut request.task_id, matches),
        FileCommand::Mkdir(asked) => carry_out(asked, |request| &mut request.task_id, |_| String::new()),
        FileCommand::Mv(asked) => carry_out(asked, |request| &mut request.task_id, |_| String::new()),
        FileCommand::Rm(asked) => carry_out(asked, |request| &mut request.task_id, |_| String::new()),
        FileCommand::Read(arguments) => ended(read(&arguments), Format::Human),
        FileCommand::Write(arguments) => ended(write(&arguments), Format::from_flag(arguments.json)),
    }
}

/// Moves a tree into a task or out of it.
pub fn move_tree<O>(asked: Asked<O>, id: impl FnOnce(&mut O) -> &mut String) -> i32
where
    O: Operation<Result = TreeMoved> + Args,
{
    carry_out(asked, id, |moved| format!("{} entries, {} bytes: {}\n", moved.entries, moved.bytes, moved.destination))
}

/// Carries an operation out in the task that its id is the beginning of, and shows the result.
fn carry_out<O: Operation + Args>(
    asked: Asked<O>,
    id: impl FnOnce(&mut O) -> &mut String,
    text: impl FnOnce(&O::Result) -> String,
) -> i32 {
    let Asked { mut request, json } = asked;
    let format = Format::from_flag(json);
    let result = attended(format, async |pyro, io| {
        let task_id = id(&mut request);
        *task_id = pyro.complete_task_id(task_id).await?;
        request.carry_out(context::of(pyro, io)).await
    });
    let shown = result.map(|result| {
        match format {
            Format::Json => print_json(&result),
            Format::Human => print(&text(&result)),
        };
        0
    });
    ended(shown, format)
}

/// The end of a command: a signal's exit code, or an error that is shown.
pub fn ended(result: Result<i32, Ended>, format: Format) -> i32 {
    match result {
        Ok(code) => stdio::exit_code(code, ERROR),
        Err(Ended::Failed(error)) => show(&error, format, ERROR),
        Err(Ended::Interrupted(signal)) => {
            say!("[task-file] interrupted; a file that was being replaced is the old one or the new one");
            128 + signal
        }
    }
}

/// Why a command did not come to its end.
pub enum Ended {
    Failed(Error),
    Interrupted(i32),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Does work whose notices are shown, until a signal comes.
pub fn attended<T>(format: Format, work: impl AsyncFnOnce(&Pyro, RunIo) -> Result<T, Error>) -> Result<T, Ended> {
    let pyro = context::pyro();
    let (events, writer) = write_events("task-file", format);
    let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
    let runtime = context::runtime()?;
    let result = runtime.block_on(async {
        tokio::select! {
            biased;
            result = work(&pyro, io) => result.map_err(Ended::from),
            signal = interrupted() => Err(Ended::Interrupted(signal)),
        }
    });
    runtime.shutdown_background();
    let _ = writer.join();
    result
}

fn read(arguments: &FileReadArguments) -> Result<i32, Ended> {
    let FileReadArguments { task_id, path, offset, max_bytes, root } = arguments;
    attended(Format::Human, async |pyro, io| {
        let task_id = pyro.complete_task_id(task_id).await?;
        let file = FileInTask { task_id, root: root.clone(), path: path.clone() };
        to_stdout(pyro, &file, (*offset, *max_bytes), io).await
    })
}

/// A file of a task on stdout, on a thread of its own.
pub async fn to_stdout(pyro: &Pyro, file: &FileInTask, range: (u64, u64), io: RunIo) -> Result<i32, Error> {
    let (sink, mut pieces) = mpsc::channel::<Bytes>(IN_FLIGHT);
    let writing = tokio::task::spawn_blocking(move || {
        while let Some(bytes) = pieces.blocking_recv() {
            if write_stdout(&bytes).is_err() {
                return false; // dropping the receiver ends the reading
            }
        }
        true
    });
    let read = file.read(pyro, range, sink, io).await;
    if !writing.await.unwrap_or(false) {
        return Ok(stdio::unwritten(ERROR));
    }
    read.map(|_| 0)
}

fn write(arguments: &FileWriteArguments) -> Result<i32, Ended> {
    let FileWriteArguments { task_id, path, mode, if_digest, offset, root, json } = arguments;
    let format = Format::from_flag(*json);
    attended(format, async |pyro, io| {
        let task_id = pyro.complete_task_id(task_id).await?;
        let file = FileInTask { task_id, root: root.clone(), path: path.clone() };
        let options = WriteOptions { mode: mode.clone(), if_digest: if_digest.clone(), offset: *offset };
        let done = file.write(pyro, options, stdin_pieces(), io).await?;
        if format == Format::Json {
            print_json(&serde_json::json!({"path": path, "bytes": done.bytes, "digest": done.digest}));
        }
        Ok(0)
    })
}

/// Stdin as the content of a file. Its end commits it.
pub fn stdin_pieces() -> mpsc::Receiver<FilePiece> {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let input = read_input();
    tokio::spawn(async move {
        if let Some(mut input) = input {
            while let Some(bytes) = input.recv().await {
                if sender.send(FilePiece::Data(bytes)).await.is_err() {
                    return;
                }
            }
        }
        let _ = sender.send(FilePiece::End).await;
    });
    receiver
}

fn line(entry: &FileEntry) -> String {
    let FileEntry { path, kind, size, mode, link_target, .. } = entry;
    let target = link_target.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
    format!("{kind:<9}  {mode}  {size:>12}  {path}{target}\n")
}

fn listing(found: &FileListing) -> String {
    let text: String = found.entries.iter().map(line).collect();
    text + if found.truncated { "… and more: --max-entries shows them\n" } else { "" }
}

fn names(found: &FileListing) -> String {
    let text: String = found.entries.iter().map(|entry| format!("{}\n", entry.path)).collect();
    text + if found.truncated { "… and more: --max-entries shows them\n" } else { "" }
}

fn matches(found: &GrepResult) -> String {
    let mut text = String::new();
    for found in &found.matches {
        let _ = writeln!(text, "{}:{}:{}", found.path, found.line_number, found.line);
    }
    text + if found.truncated { "… and more: --max-matches shows them\n" } else { "" }
}
