//! What clients and supervisors say to one another (the form on the socket).
//!
//! Frames of `pyro-protocol`, all on one stream: messages are JSON, cut into frames of which the
//! last carries END; output and input are raw. A connection is one request and its answers.

use bytes::Bytes;
use pyro_protocol::frame::{Continuation, Decoder, Frame, Kind, MAX_BODY, StreamId, encode_parts};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::error::host;
use crate::journal::Entry;
use crate::registry::Record;
use crate::{Error, Failure};

/// The longest message in bytes; commands and entries are far shorter.
const MAX_MESSAGE: usize = 1 << 20;

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
    Ended { entry: Entry },
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
pub struct Talk {
    pub ear: Ear,
    pub mouth: Mouth,
}

/// The listening end.
pub struct Ear {
    stream: OwnedReadHalf,
    decoder: Decoder,
    message: Vec<u8>,
}

/// The speaking end.
pub struct Mouth {
    stream: OwnedWriteHalf,
}

impl Talk {
    pub fn new(stream: UnixStream) -> Self {
        let (reading, writing) = stream.into_split();
        let ear = Ear { stream: reading, decoder: Decoder::default(), message: Vec::new() };
        Self { ear, mouth: Mouth { stream: writing } }
    }

    pub async fn send(&mut self, message: &impl Serialize) -> Result<(), Error> {
        self.mouth.send(message).await
    }

    /// The next message; `None` at the end of the conversation.
    pub async fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        self.ear.read().await
    }
}

impl Ear {
    /// The next thing that arrives, `None` at the end. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Arrived>, Error> {
        let broken = || host("read the socket")(std::io::ErrorKind::InvalidData.into());
        loop {
            while let Some(frame) = self.decoder.next_frame().map_err(|_| broken())? {
                let Frame { kind, continuation, body, .. } = frame;
                match kind {
                    Kind::Message => {
                        self.message.extend_from_slice(&body);
                        if self.message.len() > MAX_MESSAGE {
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
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(read) => self.decoder.push(&buffer[..read]),
            }
        }
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
        problem: "the other side of the socket is of another release of pyro, and its message is not understood".into(),
    })
}

impl Mouth {
    pub async fn send(&mut self, message: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_vec(message).expect("messages have string keys only");
        let mut bytes = Vec::with_capacity(text.len() + 16);
        let mut pieces = text.chunks(MAX_BODY).peekable();
        while let Some(piece) = pieces.next() {
            let more = if pieces.peek().is_some() { Continuation::More } else { Continuation::End };
            encode_parts(StreamId::CONTROL, Kind::Message, more, piece, &mut bytes);
        }
        self.write(&bytes).await
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
