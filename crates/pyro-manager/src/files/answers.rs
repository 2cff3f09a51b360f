//! What a file worker says: replies and bytes on its output, notices and its end on its error stream.

use bytes::{Buf, Bytes, BytesMut};
use pyro_guest::GuestError;
use pyro_guest::files::{Done, Event, FileEvent, FileReply, Reply as Found, next_message};
use tokio::sync::mpsc;

use crate::Error;
use crate::events::RunEvent;
use crate::supervisor::rpc::Reply;

/// Takes a worker's output.
pub trait FileSink: Send {
    /// Takes the next bytes; the worker waits meanwhile.
    ///
    /// # Errors
    /// Why no more is taken. The operation ends then.
    fn take(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), Error>> + Send;
}

impl FileSink for mpsc::Sender<Bytes> {
    async fn take(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.send(bytes).await.map_err(|_| Error::SourceStream)
    }
}

/// Collects all bytes.
impl FileSink for Vec<u8> {
    async fn take(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.extend_from_slice(&bytes);
        Ok(())
    }
}

/// Entries and matches, in the order of the guest.
#[derive(Debug, Default)]
pub struct FileReplies {
    /// What was found.
    pub found: Vec<Found>,
    unread: BytesMut,
}

impl FileSink for FileReplies {
    async fn take(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.unread.extend_from_slice(&bytes);
        while let Some((message, length)) = next_message::<FileReply>(&self.unread).map_err(|_| nonsense())? {
            self.unread.advance(length);
            self.found.extend(message.reply);
        }
        Ok(())
    }
}

/// What the worker says beside its output.
#[derive(Default)]
pub(super) struct Answers {
    unread: BytesMut,
    end: Option<Result<Done, Error>>,
}

impl Answers {
    pub async fn push(&mut self, bytes: &[u8], events: &mpsc::Sender<RunEvent>) -> Result<(), Error> {
        self.unread.extend_from_slice(bytes);
        while let Some((message, length)) = next_message::<FileEvent>(&self.unread).map_err(|_| nonsense())? {
            self.unread.advance(length);
            match message.event {
                Some(Event::Notice(notice)) => {
                    let text = format!("{}: {}", String::from_utf8_lossy(&notice.path), notice.problem);
                    let _ = events.send(RunEvent::Notice(text)).await;
                }
                Some(Event::Progress(progress)) => {
                    let (entries, bytes) = (progress.entries, progress.bytes);
                    let _ = events.try_send(RunEvent::Transferred { entries, bytes });
                }
                Some(Event::Done(done)) => self.end = Some(Ok(done)),
                Some(Event::Failed(failed)) => {
                    self.end = Some(Err(Error::File {
                        reason: failed.reason,
                        path: String::from_utf8_lossy(&failed.path).into_owned(),
                        message: failed.message,
                    }));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// What came of it, now that the supervisor says that the worker has ended.
    pub fn end(self, ended: Reply) -> Result<Done, Error> {
        let Reply::FilesEnded { timed_out, problem, .. } = ended else { return Err(nonsense()) };
        match (self.end, problem) {
            (Some(end), _) => end,
            (None, Some(problem)) => Err(Error::FileUnknown { problem }),
            (None, None) if timed_out => Err(Error::FileUnknown { problem: "it reached its time limit".into() }),
            (None, None) => Err(Error::FileUnknown { problem: "its worker was killed in the guest".into() }),
        }
    }
}

fn nonsense() -> Error {
    Error::GuestNonsense(GuestError::Nonsense { what: "a file worker's message that cannot be read" })
}

/// A sink for operations that have no output.
pub struct NoOutput;

impl FileSink for NoOutput {
    async fn take(&mut self, _: Bytes) -> Result<(), Error> {
        Err(Error::InvalidArgument { problem: "the guest's file worker says more than it was asked for".into() })
    }
}
