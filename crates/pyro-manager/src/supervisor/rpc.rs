//! What clients and supervisors say to one another (the form on the socket).
//!
//! Frames of `pyro-protocol`, all on one stream: messages are JSON, cut into frames of which the
//! last carries END; output and input are raw. A connection is one request and its answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pyro_protocol::frame::{Continuation, Decoder, Frame, Kind, MAX_BODY, StreamId, encode_parts};
use pyro_store::Record;
use pyro_store::journal::CommandRecord;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::host;
use crate::guest_command::check_command;
use crate::limits;
use crate::{Error, Failure};

/// The longest message in bytes; commands and entries are far shorter.
const MAX_MESSAGE: usize = 1 << 20;

/// The longest request in bytes: a command with its environment, every character of it escaped.
const MAX_REQUEST: usize = 512 * 1024;
/// Bytes of a caller's name for an attempt.
const MAX_ATTEMPT_ID: usize = 1024;
/// Bytes of environment entries and directory; a command has its own bound. Together they fit into one frame.
const MAX_ENVIRONMENT: usize = 16 * 1024;
/// What an entry costs in a message besides its name and value.
const ENTRY_OVERHEAD: usize = 6;

/// What a client asks, once on each connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Run a command.
    Exec(ExecRequest),
    /// Tell how a running command gets on, until it ends.
    Watch { sequence: u64 },
    /// Tell whenever a command begins.
    WatchTask,
    /// End a running command, and tell when it has ended.
    Cancel { sequence: u64 },
    /// Start the VM's machine.
    Start,
    /// Stop the VM's machine in an orderly way.
    Stop,
    /// Remove everything.
    Delete,
    /// Remove everything, because its time is up by the wall's clock.
    Expire,
    /// Count the life anew from now.
    Extend { ttl_seconds: u64 },
}

/// A command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecRequest {
    pub command: String,
    pub cwd: String,
    pub environment: Vec<(String, String)>,
    pub timeout_us: u64,
    pub attempt_id: Option<String>,
    /// Whether the client stays to read the output.
    pub attached: bool,
    /// Whether its standard input follows; otherwise it has none.
    pub stdin: bool,
    /// Whether everything is to be removed when the command is over.
    pub then_delete: bool,
}

impl ExecRequest {
    /// Whether a guest can be asked for it: a supervisor looks when it arrives, a client before it is sent. Afterwards
    /// it fits into one message to the guest, whatever is in it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], [`Error::OutOfRange`].
    pub fn check(&self) -> Result<(), Error> {
        check_command(&self.command)?;
        let refuse = |problem: String| Err(Error::InvalidArgument { problem });
        let unfit =
            |(key, value): &&(String, String)| key.is_empty() || key.contains(['=', '\0']) || value.contains('\0');
        if let Some((key, _)) = self.environment.iter().find(unfit) {
            return refuse(format!("{key:?} cannot be the name of an environment entry (KEY=VALUE)"));
        }
        if !self.cwd.starts_with('/') || self.cwd.contains('\0') {
            return refuse("the directory must be an absolute path without zero bytes".into());
        }
        if self.attempt_id.as_ref().is_some_and(|id| id.len() > MAX_ATTEMPT_ID) {
            return refuse(format!("the attempt id is longer than {MAX_ATTEMPT_ID} bytes"));
        }
        let entries = self.environment.iter().map(|(key, value)| key.len() + value.len() + ENTRY_OVERHEAD);
        let environment = self.cwd.len() + entries.sum::<usize>();
        if environment > MAX_ENVIRONMENT {
            let problem = format!(
                "directory and environment have {environment} bytes, {ENTRY_OVERHEAD} counted for each entry besides its own; \
                 {MAX_ENVIRONMENT} are allowed"
            );
            return refuse(problem);
        }
        limits::timeout(Duration::from_micros(self.timeout_us).as_secs_f64()).map(drop)
    }
}

/// Tells a repeated request from another one under the same attempt.
pub fn digest(request: &ExecRequest) -> String {
    let ExecRequest { command, cwd, environment, timeout_us, .. } = request;
    let text = serde_json::to_vec(&(command, cwd, environment, timeout_us)).expect("a request has string keys only");
    pyro_hostfs::digest::of_bytes(&text)
}

/// What a supervisor answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Reply {
    /// The command is in the journal. One that joined belongs to an earlier request.
    Accepted { sequence: u64, joined: bool },
    /// The journal has so many bytes of each stream.
    Grown { stdout: u64, stderr: u64 },
    /// The newest command's number.
    Latest { sequence: u64 },
    /// The command is over; nothing follows.
    Ended { entry: CommandRecord },
    /// It does not run; the journal has what there is to know. Nothing follows.
    NotRunning,
    /// The command goes on without this client, who reads too slowly.
    Detached,
    /// It was done.
    Done { record: Record },
    /// Everything was removed.
    Deleted,
    /// It was not done.
    Failed { failure: Failure },
    /// To the creator: something the user should know.
    Notice { text: String },
    /// To the creator: a template is being made.
    MakingTemplate,
    /// To the creator: it is there and waits to be taken.
    Ready { record: Record },
}

/// Something that arrived.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrived {
    /// A whole message.
    Message(Vec<u8>),
    /// Bytes of a stream.
    Data(Kind, Bytes),
    /// The end of the other side's input.
    InputEnd,
}

/// Both ends of a conversation.
pub struct Connection {
    pub reader: Reader,
    pub writer: Writer,
}

/// The listening end.
pub struct Reader {
    stream: OwnedReadHalf,
    decoder: Decoder,
    message: Vec<u8>,
    /// Bytes of a message at most.
    limit: usize,
    /// What several connections may hold together, and what this one holds of it.
    budget: Option<(Arc<Semaphore>, Vec<OwnedSemaphorePermit>)>,
}

/// The speaking end.
pub struct Writer {
    stream: OwnedWriteHalf,
}

impl Connection {
    pub fn new(stream: UnixStream) -> Self {
        let (reading, writing) = stream.into_split();
        let reader = Reader {
            stream: reading,
            decoder: Decoder::default(),
            message: Vec::new(),
            limit: MAX_MESSAGE,
            budget: None,
        };
        Self { reader, writer: Writer { stream: writing } }
    }

    pub async fn send(&mut self, message: &impl Serialize) -> Result<(), Error> {
        self.writer.send(message).await
    }

    /// The next message; `None` at the end of the conversation.
    pub async fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        self.reader.read().await
    }
}

impl Reader {
    /// The next thing that arrives, `None` at the end. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Arrived>, Error> {
        let broken = || host("read the socket")(std::io::ErrorKind::InvalidData.into());
        loop {
            while let Some(frame) = self.decoder.next_frame().map_err(|_| broken())? {
                let Frame { kind, continuation, body, .. } = frame;
                match kind {
                    Kind::Message => {
                        self.message.extend_from_slice(&body);
                        if self.message.len() > self.limit {
                            return Err(broken());
                        }
                        if continuation == Continuation::End {
                            return Ok(Some(Arrived::Message(std::mem::take(&mut self.message))));
                        }
                    }
                    Kind::Stdin if continuation == Continuation::End => return Ok(Some(Arrived::InputEnd)),
                    kind => return Ok(Some(Arrived::Data(kind, body))),
                }
            }
            if self.stream.readable().await.is_err() || !self.take_what_is_there() {
                return Ok(None);
            }
        }
    }

    /// Reads once, into a buffer that is not kept while the connection is waited for. False at the end.
    fn take_what_is_there(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => false,
            Ok(read) => {
                self.has_room_for(read) && {
                    self.decoder.push(&buffer[..read]);
                    true
                }
            }
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }

    fn has_room_for(&mut self, bytes: usize) -> bool {
        let Some((budget, held)) = &mut self.budget else { return true };
        let room = budget.clone().try_acquire_many_owned(bytes as u32);
        room.map(|room| held.push(room)).is_ok()
    }

    /// The first message, which may not be longer than [`MAX_REQUEST`]; all connections that read one share `budget`,
    /// in bytes.
    pub async fn read_request<T: DeserializeOwned>(&mut self, budget: Arc<Semaphore>) -> Result<Option<T>, Error> {
        (self.limit, self.budget) = (MAX_REQUEST, Some((budget, Vec::new())));
        let read = self.read().await;
        (self.limit, self.budget) = (MAX_MESSAGE, None);
        read
    }

    /// The next message; whatever else arrives is left out.
    pub async fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        loop {
            match self.next().await? {
                None => return Ok(None),
                Some(Arrived::Message(bytes)) => return parse(&bytes).map(Some),
                Some(_) => {}
            }
        }
    }
}

/// A message of this release.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|_| Error::InvalidArgument {
        problem: "the other side of the socket is another release of pyro; its message is not understood".into(),
    })
}

/// A message's bytes on the socket.
pub fn encoded(message: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_vec(message).expect("messages have string keys, and paths that are UTF-8");
    let mut bytes = Vec::with_capacity(text.len() + 16);
    let mut pieces = text.chunks(MAX_BODY).peekable();
    while let Some(piece) = pieces.next() {
        let more = if pieces.peek().is_some() { Continuation::More } else { Continuation::End };
        encode_parts(StreamId::CONTROL, Kind::Message, more, piece, &mut bytes);
    }
    bytes
}

impl Writer {
    pub async fn send(&mut self, message: &impl Serialize) -> Result<(), Error> {
        self.write(&encoded(message)).await
    }

    /// Sends bytes of a stream.
    pub async fn data(&mut self, kind: Kind, body: &[u8]) -> Result<(), Error> {
        let mut bytes = Vec::new();
        for piece in body.chunks(MAX_BODY) {
            bytes.clear();
            encode_parts(StreamId::CONTROL, kind, Continuation::More, piece, &mut bytes);
            self.write(&bytes).await?;
        }
        Ok(())
    }

    pub async fn end_input(&mut self) -> Result<(), Error> {
        let mut bytes = Vec::new();
        encode_parts(StreamId::CONTROL, Kind::Stdin, Continuation::End, &[], &mut bytes);
        self.write(&bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes).await.map_err(host("write to the socket"))
    }
}
