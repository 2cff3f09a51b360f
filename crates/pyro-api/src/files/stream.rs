//! One file of a task as a stream, for front ends that copy.

use bytes::Bytes;
use pyro_manager::file_protocol::{Done, Operation as Asked, Read, Write};
use pyro_manager::{Error, FileCall, FileInput, FileIo, FilePiece, NoOutput, Pyro, RunIo};
use tokio::sync::mpsc;

use super::target::Target;
use super::write::permission_bits;

/// One file of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInTask {
    /// The task.
    pub task_id: String,
    /// The directory that the path does not lead out of.
    pub root: String,
    /// The path, below the root.
    pub path: String,
}

/// How a file is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Permission bits in octal.
    pub mode: Option<String>,
    /// SHA-256 of what is replaced, or `absent`.
    pub if_digest: Option<String>,
    /// Where it is written over instead.
    pub offset: Option<u64>,
}

impl FileInTask {
    fn call(&self, operation: impl FnOnce(Vec<u8>) -> Asked) -> Result<FileCall, Error> {
        let path = Target { task_id: &self.task_id, root: &self.root }.below(&self.path)?;
        let (task_id, root) = (self.task_id.clone(), self.root.clone().into_bytes());
        Ok(FileCall { task_id, root, operation: operation(path) })
    }

    /// Reads it as a stream, from `offset` on, at most `length` bytes; 0 means to its end.
    ///
    /// # Errors
    /// As [`ReadFile`](super::ReadFile). `sink` has had a part of it then.
    pub async fn read(
        &self,
        pyro: &Pyro,
        (offset, length): (u64, u64),
        sink: mpsc::Sender<Bytes>,
        io: RunIo,
    ) -> Result<Done, Error> {
        let call = self.call(|path| Asked::Read(Read { path, offset, length }))?;
        let (mut sink, io) = (sink, FileIo { events: io.events, cancel: io.cancel });
        Box::pin(pyro.task_file(call, FileInput::None, &mut sink, &io)).await
    }

    /// Replaces it by what comes. Only [`FilePiece::End`] commits it.
    ///
    /// # Errors
    /// As [`WriteFile`](super::WriteFile).
    pub async fn write(
        &self,
        pyro: &Pyro,
        options: WriteOptions,
        pieces: mpsc::Receiver<FilePiece>,
        io: RunIo,
    ) -> Result<Done, Error> {
        let WriteOptions { mode, if_digest, offset } = options;
        let (mode, if_digest) = (mode.as_deref().map(permission_bits).transpose()?, if_digest.unwrap_or_default());
        let call = self.call(|path| Asked::Write(Write { path, mode, if_digest, create_parents: true, offset }))?;
        let io = FileIo { events: io.events, cancel: io.cancel };
        Box::pin(pyro.task_file(call, FileInput::Content(pieces), &mut NoOutput, &io)).await
    }
}
