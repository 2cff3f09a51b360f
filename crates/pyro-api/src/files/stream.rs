//! One file of a task as a stream, for front ends that copy.

use bytes::Bytes;
use pyro_manager::file_protocol::{Done, Operation as Asked, Read, Write};
use pyro_manager::{Error, FileCall, FileInput, FileIo, FilePiece, NoOutput, Pyro, RunIo};
use tokio::sync::mpsc;

use super::write::permission_bits;

/// One file of a task, by its absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInTask {
    /// The task.
    pub task_id: String,
    /// Absolute, in the guest.
    pub path: String,
}

impl FileInTask {
    fn call(&self, operation: impl FnOnce(Vec<u8>) -> Asked) -> Result<FileCall, Error> {
        let Some(below) = self.path.strip_prefix('/') else {
            return Err(Error::InvalidArgument { problem: format!("{:?} is not an absolute path", self.path) });
        };
        let operation = operation(below.as_bytes().to_vec());
        Ok(FileCall { task_id: self.task_id.clone(), root: b"/".to_vec(), operation })
    }

    /// Reads it as a stream.
    ///
    /// # Errors
    /// As [`ReadFile`](super::ReadFile). `sink` has had a part of it then.
    pub async fn download(&self, pyro: &Pyro, sink: mpsc::Sender<Bytes>, io: RunIo) -> Result<Done, Error> {
        let call = self.call(|path| Asked::Read(Read { path, offset: 0, length: 0 }))?;
        let (mut sink, io) = (sink, FileIo { events: io.events, cancel: io.cancel });
        Box::pin(pyro.task_file(call, FileInput::None, &mut sink, &io)).await
    }

    /// Replaces it by what comes. Only [`FilePiece::End`] commits it.
    ///
    /// # Errors
    /// As [`WriteFile`](super::WriteFile).
    pub async fn upload(
        &self,
        pyro: &Pyro,
        pieces: mpsc::Receiver<FilePiece>,
        mode: Option<&str>,
        io: RunIo,
    ) -> Result<Done, Error> {
        let mode = mode.map(permission_bits).transpose()?;
        let call = self.call(|path| {
            Asked::Write(Write { path, mode, if_digest: String::new(), create_parents: true, offset: None })
        })?;
        let io = FileIo { events: io.events, cancel: io.cancel };
        Box::pin(pyro.task_file(call, FileInput::Content(pieces), &mut NoOutput, &io)).await
    }
}
