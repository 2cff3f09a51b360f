//! The conversation over two pipes: one message a line, and every message that is wrong is answered.
//!
//! ```text
//! stdin ─▶ line (bounded; a longer one is skipped) ─▶ message ─▶ server ─▶ answer ─▶ stdout
//!                                                       └ wrong ─────────────┘
//! ```
//!
//! Nothing here grows with what a client sends or leaves unread: while too many requests are without an
//! answer, or too many answers without a reader, nothing more is read.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ClientNotification, JsonRpcMessage, RequestId};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{Mutex as AsyncMutex, watch};

use crate::message::{self, Line};

/// Bytes of a message at most.
const MOST_BYTES: usize = 16 << 20;
/// Bytes of a longer one that are looked at for its id.
const BEGINNING: usize = 64 * 1024;
/// Requests without an answer at most.
const MOST_REQUESTS: usize = 256;
/// Answers without a reader at most.
const MOST_ANSWERS: usize = 64;
/// How long a client that has said all may take to read the last answers.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The pending messages in both directions.
#[derive(Debug, Default)]
struct UnderWay {
    requests: HashSet<RequestId>,
    answers: usize,
}

/// The conversation.
pub struct Stdio<R, W> {
    lines: Lines<R>,
    writer: Arc<AsyncMutex<W>>,
    under_way: watch::Sender<UnderWay>,
    /// A request was passed on: what comes before it begins no conversation.
    begun: bool,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin + Send + 'static> Stdio<R, W> {
    pub fn new(reader: R, writer: W) -> Self {
        Self {
            lines: Lines { reader: BufReader::with_capacity(64 * 1024, reader), line: Vec::new(), too_long: false },
            writer: Arc::new(AsyncMutex::new(writer)),
            under_way: watch::Sender::default(),
            begun: false,
        }
    }

    /// Writes a line. What is said is on its way from here on, whether or not the result is waited for.
    fn write(&self, line: Result<Vec<u8>, serde_json::Error>) -> impl Future<Output = io::Result<()>> + Send + 'static {
        self.under_way.send_modify(|under_way| under_way.answers += 1);
        let on_its_way = OnItsWay(self.under_way.clone());
        let writer = self.writer.clone();
        async move {
            let _on_its_way = on_its_way;
            let mut line = line.map_err(io::Error::other)?;
            line.push(b'\n');
            let mut writer = writer.lock().await;
            writer.write_all(&line).await?;
            writer.flush().await
        }
    }

    fn answer(&self, answer: &Value) {
        drop(tokio::spawn(self.write(serde_json::to_vec(answer))));
    }

    /// Notes what is passed on; false where it must not be.
    fn admit(&mut self, message: &RxJsonRpcMessage<RoleServer>) -> bool {
        match message {
            JsonRpcMessage::Request(request) => {
                self.begun = true;
                let new = self.note(|under_way| under_way.requests.insert(request.id.clone()));
                if !new {
                    self.answer(&message::id_in_use(request.id.clone().into_json_value()));
                }
                new
            }
            JsonRpcMessage::Notification(told) => {
                if let ClientNotification::CancelledNotification(cancelled) = &told.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    // It gets no answer any more.
                    self.note(|under_way| under_way.requests.remove(id));
                }
                self.begun
            }
            _ => self.begun,
        }
    }

    fn note(&self, change: impl FnOnce(&mut UnderWay) -> bool) -> bool {
        let mut result = false;
        self.under_way.send_modify(|under_way| result = change(under_way));
        result
    }
}

/// Something that is being written.
struct OnItsWay(watch::Sender<UnderWay>);

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.send_modify(|under_way| under_way.answers -= 1);
    }
}

impl<R, W> Transport<RoleServer> for Stdio<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    type Error = io::Error;

    fn send(&mut self, message: TxJsonRpcMessage<RoleServer>) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let id = match &message {
            JsonRpcMessage::Response(response) => Some(&response.id),
            JsonRpcMessage::Error(error) => error.id.as_ref(),
            _ => None,
        };
        if let Some(id) = id {
            self.note(|under_way| under_way.requests.remove(id));
        }
        self.write(serde_json::to_vec(&message))
    }

    /// Cancel safe.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let mut under_way = self.under_way.subscribe();
            let room = |it: &UnderWay| it.answers < MOST_ANSWERS && it.requests.len() < MOST_REQUESTS;
            under_way.wait_for(room).await.ok()?;
            match self.lines.next().await {
                Ok(Some(Ok(line))) => match message::read(&line) {
                    Line::Message(message) => {
                        if self.admit(&message) {
                            return Some(*message);
                        }
                    }
                    Line::Wrong(answer) => self.answer(&answer),
                    Line::Nothing => {}
                },
                Ok(Some(Err(beginning))) => self.answer(&message::too_long(&beginning, MOST_BYTES)),
                Ok(None) | Err(_) => {
                    let nothing = under_way.wait_for(|it| it.answers == 0);
                    let _ = tokio::time::timeout(LAST_WORDS, nothing).await;
                    return None;
                }
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines of bounded length.
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    /// The line was longer; only its beginning is kept.
    too_long: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// The next line, or the beginning of one that is too long. The last one need not be ended. Cancel
    /// safe: what was read stays here.
    async fn next(&mut self) -> io::Result<Option<Result<Vec<u8>, Vec<u8>>>> {
        loop {
            let read = self.reader.fill_buf().await?;
            let end = read.iter().position(|byte| *byte == b'\n');
            let piece = &read[..end.unwrap_or(read.len())];
            if !self.too_long {
                self.line.extend_from_slice(piece);
            }
            let taken = piece.len() + usize::from(end.is_some());
            let is_over = end.is_some() || read.is_empty();
            self.reader.consume(taken);
            if self.line.len() > MOST_BYTES {
                self.too_long = true;
                self.line.truncate(BEGINNING);
                self.line.shrink_to_fit();
            }
            if is_over {
                let (line, too_long) = (std::mem::take(&mut self.line), std::mem::take(&mut self.too_long));
                return Ok(match (end, line.is_empty(), too_long) {
                    (None, true, _) => None,
                    (_, _, true) => Some(Err(line)),
                    (_, _, false) => Some(Ok(line)),
                });
            }
        }
    }
}
