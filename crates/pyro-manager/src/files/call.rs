//! One file operation, from its request to its end.

use std::time::Duration;

use pyro_guest::files::{Done, FileRequest, Operation, frame};
use pyro_protocol::frame::Kind as FrameKind;
use pyro_store::{Kind, Record};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::answers::{Answers, FileSink};
use super::input::FileInput;
use crate::error::Error;
use crate::events::RunEvent;
use crate::pyro::Pyro;
use crate::supervisor::rpc::{Arrived, Connection, Reply, Request};

/// How long one operation may take. Large trees on a slow machine take minutes.
const TIME_LIMIT: Duration = Duration::from_secs(6 * 3600);

/// A file operation.
#[derive(Clone, Debug, PartialEq)]
pub struct FileCall {
    /// The task.
    pub task_id: String,
    /// The directory that no path leads out of: absolute, in the guest.
    pub root: Vec<u8>,
    /// What is to be done below it.
    pub operation: Operation,
}

/// How a file operation talks to its caller.
#[derive(Debug)]
pub struct FileIo {
    /// Gets notices and progress. A receiver that is gone is no reason to stop.
    pub events: mpsc::Sender<RunEvent>,
    /// Cancelling it ends the operation.
    pub cancel: CancellationToken,
}

impl Pyro {
    /// Carries out a file operation in a started task.
    ///
    /// # Errors
    /// [`Error::File`] with the reason of the guest; otherwise as for a command. A file that was to be replaced as a
    /// whole is then the old one, unless the answer was lost on its way back.
    pub async fn task_file(
        &self,
        call: FileCall,
        input: FileInput,
        sink: &mut impl FileSink,
        io: &FileIo,
    ) -> Result<Done, Error> {
        let record = self.record_of(Kind::Task, &call.task_id).await?;
        let request = FileRequest { root: call.root, operation: Some(call.operation) };
        tokio::select! {
            biased;
            () = io.cancel.cancelled() => Err(Error::FileCancelled),
            done = self.carried_out(&record, &request, input, sink, io) => done,
        }
    }

    async fn carried_out(
        &self,
        record: &Record,
        request: &FileRequest,
        input: FileInput,
        sink: &mut impl FileSink,
        io: &FileIo,
    ) -> Result<Done, Error> {
        let timeout_us = u64::try_from(TIME_LIMIT.as_micros()).unwrap_or(u64::MAX);
        let Some(mut connection) = self.put(record, &Request::Files { timeout_us }).await? else {
            return Err(self.why_stopped(record).await);
        };
        match connection.reply().await? {
            Some(Reply::FilesBegun) => {}
            Some(Reply::Failed { failure }) => return Err(failure.into()),
            _ => return Err(self.why_stopped(record).await),
        }
        let Connection { mut reader, mut writer } = connection;
        writer.data(FrameKind::Stdin, &frame(request)).await?;
        let mut feeding = JoinSet::new();
        feeding.spawn(input.feed(writer));
        let mut answers = Answers::default();
        let ended = loop {
            match reader.next().await? {
                Some(Arrived::Data(FrameKind::Stdout, bytes)) => sink.take(bytes).await?,
                Some(Arrived::Data(_, bytes)) => answers.push(&bytes, &io.events).await?,
                Some(Arrived::Message(bytes)) => break reader.parse_reply(&bytes)?,
                Some(Arrived::InputEnd) => {}
                None => return Err(self.why_stopped(record).await),
            }
        };
        answers.end(ended)
    }
}
