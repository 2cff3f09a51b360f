//! How messages travel: frames in, frames out.

use std::sync::Arc;

use bytes::Bytes;
use pyro_protocol::frame::{Continuation, Decoder, Frame, Kind, MAX_BODY, StreamId, encode_parts};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::messages::{Reply, Request};
use super::peer::Peer;
use crate::Error;
use crate::error::host;

/// The longest message in bytes; commands and entries are far shorter.
const MAX_MESSAGE: usize = 1 << 20;
/// The longest request in bytes: a command with its environment, every character of it escaped.
const MAX_REQUEST: usize = 512 * 1024;

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
    /// Who speaks, as far as that is known.
    pub(super) peer: Peer,
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
            peer: Peer::silent(),
        };
        Self { reader, writer: Writer { stream: writing } }
    }

    pub async fn send(&mut self, message: &impl Serialize) -> Result<(), Error> {
        self.writer.send(message).await
    }

    /// The next answer; `None` at the end of the conversation.
    pub async fn reply(&mut self) -> Result<Option<Reply>, Error> {
        match self.reader.message().await? {
            Some(bytes) => self.reader.parse_reply(&bytes).map(Some),
            None => Ok(None),
        }
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

    /// From here on messages may not be longer than [`MAX_REQUEST`], and what arrives is taken from `budget`, in bytes.
    pub(super) fn bound(&mut self, budget: Arc<Semaphore>) {
        (self.limit, self.budget) = (MAX_REQUEST, Some((budget, Vec::new())));
    }

    /// Gives back what was taken.
    pub(super) fn unbound(&mut self) {
        (self.limit, self.budget) = (MAX_MESSAGE, None);
    }

    /// The next request; `None` at the end of the conversation.
    pub(super) async fn request(&mut self) -> Result<Option<Request>, Error> {
        let Some(bytes) = self.message().await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| self.peer.request_not_understood())
    }

    /// An answer.
    pub fn parse_reply(&self, bytes: &[u8]) -> Result<Reply, Error> {
        serde_json::from_slice(bytes).map_err(|_| self.peer.answer_not_understood())
    }

    /// The next message; whatever else arrives is left out. `None` at the end of the conversation.
    pub async fn message(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            match self.next().await? {
                None => return Ok(None),
                Some(Arrived::Message(bytes)) => return Ok(Some(bytes)),
                Some(_) => {}
            }
        }
    }
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

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes).await.map_err(host("write to the socket"))
    }
}
