//! Commands in VMs and tasks, from the client's side.
//!
//! ```text
//! Exec ─▶ Accepted(sequence) ─▶ output ─▶ Ended(entry)
//!             │ joined an earlier attempt, or read too slowly ─▶ follow: read the journal's files,
//!             │                                                  told by the supervisor how far
//!             └ supervisor gone ─▶ settle, read the journal: what it says is what came of it, also for an
//!                                  attempt that is repeated then
//! ```

mod behind;
mod earlier;

use std::time::Duration;

use bytes::Bytes;
use pyro_protocol::frame::Kind as FrameKind;
use pyro_store::Record;
use pyro_store::journal::{CommandRecord, Status, Stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::Unavailable;
use crate::events::{Phase, RunEvent, RunIo, tell};
use crate::output::{Capture, Captured};
use crate::payload::WORKSPACE;
use crate::supervisor::request::ExecRequest as RpcExec;
use crate::supervisor::rpc::{Arrived, Connection, Reader, Reply, Request, Writer};
use crate::{Error, Pyro};

/// Bytes of a journal's file that are read at once.
const PIECE: usize = 256 * 1024;

/// A command for a VM or task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecRequest {
    /// A text for the guest's shell.
    pub command: String,
    /// Its time limit, see [`crate::timeout`].
    pub timeout: Duration,
    /// An absolute directory of the guest's, or one below the workspace.
    pub cwd: String,
    /// Added to the guest's default environment.
    pub environment: Vec<(String, String)>,
    /// The caller's name for this attempt. A second call with the same name gets the result of the
    /// first one, or joins it.
    pub attempt_id: Option<String>,
}

impl ExecRequest {
    /// A command in the workspace.
    #[must_use]
    pub fn new(command: impl Into<String>, timeout: Duration) -> Self {
        let command = command.into();
        Self { command, timeout, cwd: WORKSPACE.into(), environment: Vec::new(), attempt_id: None }
    }

    pub(crate) fn to_rpc(&self, attached: bool, then_delete: bool) -> Result<RpcExec, Error> {
        let cwd = match self.cwd.as_str() {
            "" => WORKSPACE.to_owned(),
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            below => format!("{WORKSPACE}/{below}"),
        };
        let request = RpcExec {
            command: self.command.clone(),
            cwd,
            environment: self.environment.clone(),
            timeout_us: u64::try_from(self.timeout.as_micros()).unwrap_or(u64::MAX).max(1),
            attempt_id: self.attempt_id.clone(),
            attached,
            stdin: false,
            then_delete,
        };
        request.check()?;
        Ok(request)
    }
}

/// A command that is over, and its output as a payload carries it.
pub(crate) struct Over {
    pub entry: CommandRecord,
    pub stdout: Captured,
    pub stderr: Captured,
}

/// What the client has of a command's output.
#[derive(Default)]
struct Seen {
    stdout: Capture,
    stderr: Capture,
    /// Bytes, which are offsets in the journal's files as well.
    stdout_bytes: u64,
    stderr_bytes: u64,
}

/// Tells the caller; one that does not listen any more is gone, and the command is not.
struct Listener {
    events: mpsc::Sender<RunEvent>,
    sequence: u64,
}

impl Listener {
    async fn tell(&self, event: RunEvent) -> Result<(), Error> {
        tell(&self.events, event).await.map_err(|_| Error::CallerGone { sequence: self.sequence })
    }
}

impl Seen {
    async fn take(&mut self, stream: Stream, bytes: Bytes, listener: &Listener) -> Result<(), Error> {
        match stream {
            Stream::Stdout => {
                self.stdout.push(&bytes);
                self.stdout_bytes += bytes.len() as u64;
                listener.tell(RunEvent::Stdout(bytes)).await
            }
            Stream::Stderr => {
                self.stderr.push(&bytes);
                self.stderr_bytes += bytes.len() as u64;
                listener.tell(RunEvent::Stderr(bytes)).await
            }
        }
    }

    /// Bytes taken so far.
    fn bytes(&self, stream: Stream) -> u64 {
        if stream == Stream::Stdout { self.stdout_bytes } else { self.stderr_bytes }
    }

    fn over(self, entry: CommandRecord) -> Over {
        let missing = |captured: Captured, seen: u64, known: Option<u64>| Captured {
            truncated: captured.truncated || known.is_some_and(|known| known > seen),
            bytes: known.unwrap_or(captured.bytes).max(captured.bytes),
            ..captured
        };
        let (out, err) = entry.end.as_ref().map(|end| (end.stdout.bytes, end.stderr.bytes)).unzip();
        let stdout = missing(self.stdout.finish(), self.stdout_bytes, out);
        let stderr = missing(self.stderr.finish(), self.stderr_bytes, err);
        Over { entry, stdout, stderr }
    }
}

impl Pyro {
    /// Sends a command off and follows it to its end. The caller's cancellation ends the command;
    /// a caller that stops listening does not.
    pub(crate) async fn send(&self, record: &Record, request: &RpcExec, io: RunIo) -> Result<Over, Error> {
        let request = RpcExec { stdin: io.stdin.is_some(), ..request.clone() };
        let Some(mut connection) = self.put(record, &Request::Exec(request.clone().into())).await? else {
            return match Box::pin(self.made_earlier(record, &request)).await? {
                Some(entry) => Box::pin(self.join(record, entry.began.sequence, io)).await,
                None => Err(self.why_stopped(record).await),
            };
        };
        let (sequence, joined) = match connection.reply().await? {
            Some(Reply::Accepted { sequence, joined }) => (sequence, joined),
            Some(Reply::Failed { failure }) => return Err(failure.into()),
            _ => {
                let unanswered = Box::pin(self.unanswered(record)).await;
                return match Box::pin(self.made_earlier(record, &request)).await? {
                    Some(entry) => Box::pin(self.join(record, entry.began.sequence, io)).await,
                    None => Err(unanswered),
                };
            }
        };
        let RunIo { events, stdin, cancel } = io;
        let listener = Listener { events, sequence };
        listener.tell(RunEvent::Phase(Phase::Accepted { id: record.id.to_string(), sequence })).await?;
        let mut seen = Seen::default();
        if !joined {
            let Connection { reader, writer } = connection;
            let mut feeding = JoinSet::new();
            feeding.spawn(feed(writer, stdin));
            if let Some(entry) = self.listen(record, reader, &mut seen, &listener, &cancel).await? {
                let directory = self.machines().directory(&record.id);
                self.pass_on_the_rest(&directory, &mut seen, &listener, &entry).await?;
                return self.result(record, seen.over(entry));
            }
        }
        Box::pin(self.follow(record, seen, &listener, &cancel)).await
    }

    /// Follows a command that was sent before, from its first byte.
    pub(crate) async fn join(&self, record: &Record, sequence: u64, io: RunIo) -> Result<Over, Error> {
        let listener = Listener { events: io.events, sequence };
        Box::pin(self.follow(record, Seen::default(), &listener, &io.cancel)).await
    }

    /// Hears the output as it comes; `None` when the rest is to be read from the journal.
    async fn listen(
        &self,
        record: &Record,
        mut reader: Reader,
        seen: &mut Seen,
        listener: &Listener,
        cancel: &CancellationToken,
    ) -> Result<Option<CommandRecord>, Error> {
        let mut cancelled = false;
        loop {
            let arrived = tokio::select! {
                biased;
                arrived = reader.next() => arrived?,
                () = cancel.cancelled(), if !cancelled => {
                    cancelled = true;
                    self.cancel_command(record, listener.sequence).await?;
                    continue;
                }
            };
            match arrived {
                Some(Arrived::Data(FrameKind::Stdout, bytes)) => seen.take(Stream::Stdout, bytes, listener).await?,
                Some(Arrived::Data(_, bytes)) => seen.take(Stream::Stderr, bytes, listener).await?,
                Some(Arrived::Message(bytes)) => match reader.parse_reply(&bytes)? {
                    Reply::Ended { entry } => return Ok(Some(entry.into())),
                    _ => return Ok(None),
                },
                Some(Arrived::InputEnd) => {}
                None => return Ok(None),
            }
        }
    }

    /// Reads the journal's files as they grow, until the command is over.
    async fn follow(
        &self,
        record: &Record,
        mut seen: Seen,
        listener: &Listener,
        cancel: &CancellationToken,
    ) -> Result<Over, Error> {
        let sequence = listener.sequence;
        let directory = self.machines().directory(&record.id);
        let mut connection = self.put(record, &Request::Watch { sequence }).await?;
        let mut cancelled = false;
        let entry = loop {
            let reply = match &mut connection {
                None => None,
                Some(connection) => tokio::select! {
                    biased;
                    reply = connection.reply() => reply?,
                    () = cancel.cancelled(), if !cancelled => {
                        cancelled = true;
                        self.cancel_command(record, sequence).await?;
                        continue;
                    }
                },
            };
            match reply {
                Some(Reply::Grown { stdout, stderr }) => {
                    self.catch_up(&directory, &mut seen, listener, stdout, stderr).await?;
                }
                Some(Reply::Ended { entry }) => break entry.into(),
                Some(_) => break Box::pin(self.entry(record, sequence)).await?,
                None => {
                    // It is dead, or dying: what it still holds tells nothing any more.
                    self.wait_for_end(record).await?;
                    break Box::pin(self.entry(record, sequence)).await?;
                }
            }
        };
        self.pass_on_the_rest(&directory, &mut seen, listener, &entry).await?;
        self.result(record, seen.over(entry))
    }

    /// Ends a running command. One that is over is left as it is.
    pub(crate) async fn cancel_command(&self, record: &Record, sequence: u64) -> Result<(), Error> {
        let Some(mut connection) = self.put(record, &Request::Cancel { sequence }).await? else { return Ok(()) };
        while let Some(reply) = connection.reply().await? {
            if !matches!(reply, Reply::Grown { .. }) {
                break;
            }
        }
        Ok(())
    }

    /// A command's entry as the journal has it, after a look at whether its writer lives.
    pub(crate) async fn entry(&self, record: &Record, sequence: u64) -> Result<CommandRecord, Error> {
        let record = self.record_of(record.kind, record.id.as_str()).await?;
        let entries = Box::pin(self.journal_of(&record)).await?.entries;
        let found = entries.into_iter().find(|entry| entry.began.sequence == sequence);
        found.ok_or_else(|| Unavailable::UnknownSequence { id: record.id.to_string(), sequence }.into())
    }

    /// What the caller gets for what came of a command.
    fn result(&self, record: &Record, over: Over) -> Result<Over, Error> {
        let (id, sequence) = (record.id.to_string(), over.entry.began.sequence);
        let why = || over.entry.end.as_ref().and_then(|end| end.reason.clone()).unwrap_or_default();
        match over.entry.status() {
            Status::Finished | Status::TimedOut => Ok(over),
            Status::Cancelled => Err(Unavailable::CommandCancelled { id, sequence, why: why() }.into()),
            Status::Refused => Err(Unavailable::CommandNotRun { id, sequence, why: why() }.into()),
            Status::Lost => Err(Unavailable::CommandLost { id, sequence, why: why() }.into()),
            Status::Running => {
                let why = "its supervisor no longer knows it".into();
                Err(Unavailable::CommandLost { id, sequence, why }.into())
            }
        }
    }

    /// Why a machine that is there takes no commands.
    pub(crate) async fn why_stopped(&self, record: &Record) -> Error {
        match self.record_of(record.kind, record.id.as_str()).await {
            Err(error) => error,
            Ok(record) => Unavailable::without_machine(&record).into(),
        }
    }

    /// The supervisor ended before it answered: whether the command was sent is for the journal to
    /// tell.
    async fn unanswered(&self, record: &Record) -> Error {
        if let Err(error) = self.wait_for_end(record).await {
            return error;
        }
        match self.why_stopped(record).await {
            Error::Unavailable(Unavailable::Stopped { id, why, .. }) => Unavailable::Unanswered { id, why }.into(),
            other => other,
        }
    }
}

/// Passes the caller's input on to its end.
async fn feed(mut writer: Writer, stdin: Option<mpsc::Receiver<Bytes>>) {
    if let Some(mut stdin) = stdin {
        while let Some(bytes) = stdin.recv().await {
            if writer.data(FrameKind::Stdin, &bytes).await.is_err() {
                return;
            }
        }
        let _ = writer.end_input().await;
    }
    // The conversation is open in this direction until the command is over.
    std::future::pending().await
}
