//! `pyro task cp`: a file or a directory, between this host and a task.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pyro_api::{Error, ExportFiles, FileInTask, FilePiece, Operation, PushFiles, Pyro, RunIo, StatFile, WriteOptions};
use tokio::sync::mpsc;

use super::task_file::{attended, ended, stdin_pieces, to_stdout};
use crate::arguments::CopyArguments;
use crate::context;
use crate::failure::Format;

const IN_FLIGHT: usize = 16;
const PIECE: usize = 256 * 1024;

/// One end of a copy.
enum End {
    Task { id: String, path: String },
    Host(PathBuf),
    Stream,
}

pub fn run(arguments: &CopyArguments) -> i32 {
    let result = attended(Format::Human, async |pyro, io| {
        let (source, destination) =
            (End::of(pyro, &arguments.source).await?, End::of(pyro, &arguments.destination).await?);
        match (source, destination) {
            (End::Host(source), End::Task { id, path }) => into_task(pyro, &source, id, path, io).await,
            (End::Stream, End::Task { id, path }) => {
                let pieces = stdin_pieces();
                in_task(id, path).write(pyro, WriteOptions::default(), pieces, io).await.map(|_| 0)
            }
            (End::Task { id, path }, End::Host(destination)) => out_of_task(pyro, id, path, &destination, io).await,
            (End::Task { id, path }, End::Stream) => to_stdout(pyro, &in_task(id, path), (0, 0), io).await,
            (End::Task { id, path }, End::Task { id: to_id, path: to_path }) => {
                between(pyro, in_task(id, path), in_task(to_id, to_path), io).await
            }
            _ => Err(refuse("one side must be in a task: ID:PATH".into())),
        }
    });
    ended(result, Format::Human)
}

impl End {
    /// `ID:PATH`, where nothing but a name is before the colon; `-`; otherwise a path of this host.
    async fn of(pyro: &Pyro, text: &str) -> Result<Self, Error> {
        if text == "-" {
            return Ok(Self::Stream);
        }
        match text.split_once(':') {
            Some((id, path)) if !id.is_empty() && !id.contains('/') && !id.starts_with('.') => {
                let id = pyro.complete_task_id(id).await?;
                let path = if path.starts_with('/') { path.to_owned() } else { format!("/workspace/{path}") };
                Ok(Self::Task { id, path })
            }
            _ => Ok(Self::Host(text.into())),
        }
    }
}

fn in_task(task_id: String, path: String) -> FileInTask {
    FileInTask { task_id, root: "/".into(), path }
}

fn refuse(problem: String) -> Error {
    Error::InvalidArgument { problem }
}

fn failed(attempt: String) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Host { attempt, source }
}

/// What a path of a task stands for; `None` where there is nothing.
async fn kind(pyro: &Pyro, id: &str, path: &str) -> Result<Option<&'static str>, Error> {
    let stat = StatFile { task_id: id.into(), path: path.into(), root: "/".into() };
    match stat.carry_out(context::unheard(pyro)).await {
        Ok(entry) => Ok(Some(entry.kind)),
        Err(error) if error.code() == "file_not_found" => Ok(None),
        Err(error) => Err(error),
    }
}

/// The name of a path's last component.
fn base(path: &Path) -> Result<String, Error> {
    let name =
        fs::canonicalize(path).ok().and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
    name.ok_or_else(|| refuse(format!("{} has no name that can be kept", path.display())))
}

async fn into_task(pyro: &Pyro, source: &Path, id: String, path: String, io: RunIo) -> Result<i32, Error> {
    let metadata = fs::metadata(source).map_err(failed(format!("read {}", source.display())))?;
    let is_directory = path.ends_with('/') || kind(pyro, &id, &path).await? == Some("directory");
    let target = if is_directory { format!("{}/{}", path.trim_end_matches('/'), base(source)?) } else { path };
    if metadata.is_dir() {
        let source = source.to_string_lossy().into_owned();
        let push = PushFiles { task_id: id, source, destination: target, all: true, no_git: false };
        return push.carry_out(context::of(pyro, io)).await.map(|_| 0);
    }
    let file = File::open(source).map_err(failed(format!("read {}", source.display())))?;
    let mode = Some(format!("{:o}", metadata.permissions().mode() & 0o7777));
    let options = WriteOptions { mode, ..WriteOptions::default() };
    let (sender, pieces) = mpsc::channel(IN_FLIGHT);
    let reading = tokio::task::spawn_blocking(move || send(file, &sender));
    let written = in_task(id, target).write(pyro, options, pieces, io).await;
    let read = reading.await.unwrap_or(Ok(()));
    read.map_err(failed(format!("read {}", source.display())))?;
    written.map(|_| 0)
}

/// Sends a file on. Without its end mark, nothing of it is committed.
fn send(mut file: File, sender: &mpsc::Sender<FilePiece>) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let next = match file.read(&mut piece)? {
            0 => FilePiece::End,
            read => FilePiece::Data(Bytes::copy_from_slice(&piece[..read])),
        };
        let last = next == FilePiece::End;
        // A receiver that is gone has said why.
        if sender.blocking_send(next).is_err() || last {
            return Ok(());
        }
    }
}

async fn out_of_task(pyro: &Pyro, id: String, path: String, destination: &Path, io: RunIo) -> Result<i32, Error> {
    let stat = StatFile { task_id: id.clone(), path: path.clone(), root: "/".into() };
    let entry = stat.carry_out(context::unheard(pyro)).await?;
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let target = if destination.is_dir() { destination.join(&name) } else { destination.to_owned() };
    if entry.kind == "directory" {
        let output = target.to_string_lossy().into_owned();
        let export = ExportFiles { task_id: id, output, path, keep_links: true };
        return export.carry_out(context::of(pyro, io)).await.map(|_| 0);
    }
    let mode = u32::from_str_radix(&entry.mode, 8).unwrap_or(0o644) & 0o777;
    let (sink, pieces) = mpsc::channel(IN_FLIGHT);
    let place = target.clone();
    let writing = tokio::task::spawn_blocking(move || receive(&place, mode, pieces));
    let read = in_task(id, path).read(pyro, (0, 0), sink, io).await;
    let partial = writing.await.map_err(std::io::Error::other).and_then(|written| written);
    let partial = partial.map_err(failed(format!("write {}", target.display())))?;
    match read {
        Ok(_) => fs::rename(&partial, &target).map_err(failed(format!("write {}", target.display())))?,
        Err(error) => {
            let _ = fs::remove_file(&partial);
            return Err(error);
        }
    }
    Ok(0)
}

/// Writes what comes beside the target, and returns the name.
fn receive(target: &Path, mode: u32, mut pieces: mpsc::Receiver<Bytes>) -> std::io::Result<PathBuf> {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let partial = target.with_file_name(format!(".{name}.pyro-{}", std::process::id()));
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&partial)?;
    while let Some(bytes) = pieces.blocking_recv() {
        if let Err(error) = file.write_all(&bytes) {
            let _ = fs::remove_file(&partial);
            return Err(error);
        }
    }
    Ok(partial)
}

/// A file from one task to another.
async fn between(pyro: &Pyro, from: FileInTask, to: FileInTask, io: RunIo) -> Result<i32, Error> {
    if kind(pyro, &from.task_id, &from.path).await? == Some("directory") {
        return Err(refuse("a directory is copied between tasks by way of this host: export it, then push it".into()));
    }
    let (sink, mut bytes) = mpsc::channel(IN_FLIGHT);
    let (sender, pieces) = mpsc::channel(IN_FLIGHT);
    let other = RunIo { events: io.events.clone(), stdin: None, cancel: io.cancel.clone() };
    let reading = async {
        let passing = async {
            while let Some(piece) = bytes.recv().await {
                if sender.send(FilePiece::Data(piece)).await.is_err() {
                    break;
                }
            }
        };
        let (read, ()) = tokio::join!(from.read(pyro, (0, 0), sink, other), passing);
        // Only what was read to its end is committed.
        if read.is_ok() {
            let _ = sender.send(FilePiece::End).await;
        }
        drop(sender);
        read
    };
    let (read, written) = tokio::join!(reading, to.write(pyro, WriteOptions::default(), pieces, io));
    read?;
    written.map(|_| 0)
}
