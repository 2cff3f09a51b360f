//! Whole trees: from the host into a task, and out of a task onto the host.
//!
//! ```text
//! push:    directory, Git checkout, archive ─▶ tar stream ─▶ the task's file worker unpacks it
//! export:  the task's file worker packs     ─▶ tar stream ─▶ checked, and received whole or not at all
//! ```
//!
//! The host's files are read and written on a thread of their own. What a guest sends is not trusted (`pyro-tree`).

use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::{Buf, Bytes, BytesMut};
use pyro_guest::files::{Done, MakeDirectory, Operation, Pack, Unpack};
use pyro_tree::manifest::Manifest;
use pyro_tree::pack::{PackOptions, Packed, Source};
use pyro_tree::receive::{Links, Policy, Received, receive};
use tokio::sync::mpsc;

use super::answers::NoOutput;
use super::call::{FileCall, FileIo};
use super::input::FileInput;
use crate::error::{Error, host};
use crate::events::RunEvent;
use crate::pyro::Pyro;
use crate::threads::off_thread;

/// Pieces of a stream on their way.
const IN_FLIGHT: usize = 8;
/// Bytes of a piece.
const PIECE: usize = 256 * 1024;

/// A tree to be sent into a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRequest {
    /// The task.
    pub task_id: String,
    /// A directory, a Git checkout, or a tar archive on the host.
    pub source: PathBuf,
    /// The directory of the guest that it goes to: absolute. It is made where it is missing.
    pub destination: String,
    /// Of a Git checkout: files that Git ignores too.
    pub all: bool,
    /// Of a checkout: without its `.git`.
    pub no_git: bool,
}

/// A tree to be taken out of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportRequest {
    /// The task.
    pub task_id: String,
    /// The directory of the guest: absolute.
    pub directory: String,
    /// Where it goes to on the host: a new directory, or an archive by its name.
    pub output: PathBuf,
    /// Keep symbolic links that lead out of it, as they are. Otherwise they are left out, with a notice.
    pub keep_links: bool,
}

impl Pyro {
    /// Sends a tree into a task. Returns what was sent, by digest, and what the guest says.
    ///
    /// # Errors
    /// [`Error::Source`]: the tree cannot be read. Otherwise as [`Pyro::task_file`]; what had arrived by then stays.
    pub async fn push(&self, request: PushRequest, io: &FileIo) -> Result<(Manifest, Done), Error> {
        let PushRequest { task_id, source, destination, all, no_git } = request;
        let options = PackOptions { all, no_git, search_path: self.config().search_path.clone() };
        let source = off_thread(move || Source::open(&source, &options).map_err(|error| source_error(&error))).await?;
        self.make_destination(&task_id, &destination, io).await?;
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        let events = io.events.clone();
        let packing = tokio::task::spawn_blocking(move || {
            let mut output = ToChannel { sender, buffer: BytesMut::new() };
            let mut progress = |progress: pyro_tree::pack::Progress| {
                let (entries, bytes) = (progress.entries, progress.bytes);
                let _ = events.try_send(RunEvent::Transferred { entries, bytes });
            };
            source.write(&mut output, &mut progress).map_err(|error| source_error(&error))
        });
        let unpack = Operation::Unpack(Unpack { path: Vec::new(), keep_owners: false });
        let call = FileCall { task_id, root: destination.into_bytes(), operation: unpack };
        let unpacked = self.task_file(call, FileInput::Archive(receiver), &mut NoOutput, io).await;
        let packed = packing.await.map_err(|error| host("read the source")(io::Error::other(error)))?;
        match (unpacked, packed) {
            // The worker's end is the reason that the stream could not be written.
            (Err(error @ (Error::File { .. } | Error::FileUnknown { .. })), Err(Error::SourceStream)) => Err(error),
            (_, Err(error)) if !matches!(error, Error::SourceStream) => Err(error),
            (unpacked, packed) => {
                let done = unpacked?;
                let Packed { manifest, notices } = packed?;
                for notice in notices {
                    let _ = io.events.send(RunEvent::Notice(notice.to_string())).await;
                }
                Ok((manifest, done))
            }
        }
    }

    async fn make_destination(&self, task_id: &str, destination: &str, io: &FileIo) -> Result<(), Error> {
        if !destination.starts_with('/') || destination.contains('\0') {
            let problem = format!("the destination {destination:?} is not an absolute path");
            return Err(Error::InvalidArgument { problem });
        }
        let path = destination.trim_matches('/').as_bytes().to_vec();
        if path.is_empty() {
            return Ok(());
        }
        let make = Operation::MakeDirectory(MakeDirectory { path, mode: None, parents: true });
        let call = FileCall { task_id: task_id.into(), root: b"/".to_vec(), operation: make };
        self.task_file(call, FileInput::None, &mut NoOutput, io).await.map(drop)
    }

    /// Takes a tree out of a task: everything, or nothing.
    ///
    /// # Errors
    /// [`Error::Export`]: what came is refused, or cannot be written. Otherwise as [`Pyro::task_file`].
    pub async fn export(&self, request: ExportRequest, io: &FileIo) -> Result<Received, Error> {
        let ExportRequest { task_id, directory, output, keep_links } = request;
        let (mut sender, receiver) = mpsc::channel(IN_FLIGHT);
        let links = if keep_links { Links::Keep } else { Links::Skip };
        let receiving = receive_from(receiver, output, Policy { links, ..Policy::default() });
        let pack = Operation::Pack(Pack { paths: vec![Vec::new()] });
        let call = FileCall { task_id, root: directory.into_bytes(), operation: pack };
        let packed = self.task_file(call, FileInput::None, &mut sender, io).await;
        drop(sender);
        received(packed, receiving.await)
    }
}

fn source_error(error: &pyro_tree::pack::PackError) -> Error {
    if matches!(error, pyro_tree::pack::PackError::Output(_)) {
        return Error::SourceStream;
    }
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    Error::Source { problem: format!("{}{hint}", crate::error::chain(error)) }
}

/// Receives a tar stream, whole or not at all, on a thread that begins at once.
pub(super) fn receive_from(
    receiver: mpsc::Receiver<Bytes>,
    output: PathBuf,
    policy: Policy,
) -> impl Future<Output = Result<Received, Error>> {
    let receiving = tokio::task::spawn_blocking(move || {
        let mut stream = FromChannel { receiver, bytes: Bytes::new() };
        receive(&mut stream, &output, policy)
    });
    async {
        let received = receiving.await.map_err(|error| host("write what came")(io::Error::other(error)))?;
        received.map_err(|error| Error::Export { problem: crate::error::chain(&error) })
    }
}

/// What came of a tree: the guest's end of it tells more than the host's, unless the host took no more.
pub(super) fn received(packed: Result<Done, Error>, received: Result<Received, Error>) -> Result<Received, Error> {
    match packed {
        Ok(_) | Err(Error::SourceStream) => received,
        Err(error) => Err(error),
    }
}

/// A writer whose bytes go to the event loop.
struct ToChannel {
    sender: mpsc::Sender<Bytes>,
    buffer: BytesMut,
}

impl Write for ToChannel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = self.buffer.split().freeze();
        self.sender.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// A reader of bytes that come from the event loop.
struct FromChannel {
    receiver: mpsc::Receiver<Bytes>,
    bytes: Bytes,
}

impl Read for FromChannel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            match self.receiver.blocking_recv() {
                Some(bytes) => self.bytes = bytes,
                None => return Ok(0),
            }
        }
        let length = self.bytes.len().min(buffer.len());
        self.bytes.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_is_received_before_anybody_waits_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let (sender, receiver) = mpsc::channel(1);
        let receiving = receive_from(receiver, directory.path().join("out"), Policy::default());
        // More than there is room for: without a reader this waits for ever.
        for _ in 0..4 {
            sender.send(Bytes::from_static(&[0; 512])).await.unwrap();
        }
        drop(sender);
        assert_eq!(receiving.await.unwrap().entries, 0);
    }

    #[test]
    fn the_reason_of_the_one_who_stopped_is_told() {
        let cut = || Err(Error::Export { problem: "cut off".into() });
        let gone = received(Err(Error::FileUnknown { problem: "the machine ended".into() }), cut());
        assert_eq!(gone.unwrap_err().code(), "file_unknown", "the guest stopped");
        assert_eq!(received(Err(Error::SourceStream), cut()).unwrap_err().code(), "export_refused", "the host stopped");
    }
}
