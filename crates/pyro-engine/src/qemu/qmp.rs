//! The needed part of QMP: JSON lines over one socket, one owner, answers in order.
//!
//! There is only one caller and there are few requests, so there are no tasks here: the caller reads, and
//! events that arrive meanwhile are kept until it waits for them. Lines are bounded.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Maximum line length in bytes; QEMU's real answers and events are much shorter.
const LONGEST_LINE: u64 = 1 << 20;
/// Maximum number of kept events; the oldest are dropped first.
const EVENTS_KEPT: usize = 64;

/// A request: its name and arguments.
pub type Request = (&'static str, Value);

/// Errors of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum QmpError {
    /// The socket was closed: QEMU is gone.
    Gone,
    /// QEMU sent something that is not QMP.
    Nonsense,
    /// QEMU refused.
    Refused { command: &'static str, message: String },
}

/// The connection.
#[derive(Debug)]
pub struct Qmp {
    reading: BufReader<OwnedReadHalf>,
    writing: OwnedWriteHalf,
    events: VecDeque<String>,
    heard: bool,
}

impl Qmp {
    pub fn new(stream: UnixStream) -> Self {
        let (reading, writing) = stream.into_split();
        Self { reading: BufReader::new(reading), writing, events: VecDeque::new(), heard: false }
    }

    /// Sends all requests at once and awaits their answers in order; the first refusal ends it.
    pub async fn ask(&mut self, requests: &[Request]) -> Result<Vec<Value>, QmpError> {
        let mut lines = String::new();
        for (command, arguments) in requests {
            let mut request = json!({"execute": command});
            if !arguments.is_null() {
                request["arguments"] = arguments.clone();
            }
            lines.push_str(&format!("{request}\n"));
        }
        self.writing.write_all(lines.as_bytes()).await.map_err(|_| QmpError::Gone)?;
        let mut answers = Vec::new();
        for (command, _) in requests {
            answers.push(self.answer(command).await?);
        }
        Ok(answers)
    }

    async fn answer(&mut self, command: &'static str) -> Result<Value, QmpError> {
        loop {
            let mut line = self.line().await?;
            if let Some(answer) = line.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = line.get("error") {
                let message = error["desc"].as_str().unwrap_or("no reason was given").to_owned();
                return Err(QmpError::Refused { command, message });
            }
            self.keep(&line);
        }
    }

    /// Whether QEMU has sent its greeting. It does so after it has found all its files.
    pub fn was_heard(&self) -> bool {
        self.heard
    }

    /// Awaits one of the named events, and returns its name.
    pub async fn event(&mut self, names: &[&str]) -> Result<String, QmpError> {
        loop {
            if let Some(at) = self.events.iter().position(|event| names.contains(&event.as_str())) {
                return Ok(self.events.remove(at).unwrap_or_default());
            }
            let line = self.line().await?;
            self.keep(&line);
        }
    }

    fn keep(&mut self, line: &Value) {
        if let Some(event) = line["event"].as_str() {
            if self.events.len() == EVENTS_KEPT {
                self.events.pop_front();
            }
            self.events.push_back(event.to_owned());
        }
    }

    async fn line(&mut self) -> Result<Value, QmpError> {
        let mut line = Vec::new();
        let read = (&mut self.reading).take(LONGEST_LINE).read_until(b'\n', &mut line).await;
        match read {
            Ok(0) | Err(_) => Err(QmpError::Gone),
            Ok(_) if line.last() != Some(&b'\n') => Err(QmpError::Nonsense),
            Ok(_) => {
                self.heard = true;
                serde_json::from_slice(&line).map_err(|_| QmpError::Nonsense)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered_with(script: &'static [u8], requests: &[Request]) -> (Result<Vec<Value>, QmpError>, Qmp) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(script).await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut qmp = Qmp::new(ours);
        let answers = qmp.ask(requests).await;
        (answers, qmp)
    }

    #[tokio::test]
    async fn greetings_and_events_between_answers_are_stepped_over() {
        let script = b"{\"QMP\":{}}\n{\"return\":{}}\n{\"event\":\"RESUME\"}\n{\"return\":{\"x\":1}}\n";
        let (answers, mut qmp) = answered_with(script, &[("a", Value::Null), ("b", json!({}))]).await;
        assert_eq!(answers.unwrap(), [json!({}), json!({"x": 1})]);
        assert_eq!(qmp.event(&["STOP", "RESUME"]).await.unwrap(), "RESUME");
        assert_eq!(qmp.event(&["STOP"]).await, Err(QmpError::Gone));
    }

    #[tokio::test]
    async fn a_refusal_carries_qemus_words() {
        let script = b"{\"error\":{\"class\":\"GenericError\",\"desc\":\"no such thing\"}}\n";
        let (answers, _) = answered_with(script, &[("cont", Value::Null)]).await;
        assert_eq!(answers, Err(QmpError::Refused { command: "cont", message: "no such thing".into() }));
    }

    #[tokio::test]
    async fn nonsense_and_an_early_end_are_errors() {
        let requests: &[Request] = &[("a", Value::Null)];
        assert_eq!(answered_with(b"not json\n", requests).await.0, Err(QmpError::Nonsense));
        assert_eq!(answered_with(b"{\"return\":", requests).await.0, Err(QmpError::Nonsense));
        assert_eq!(answered_with(b"", requests).await.0, Err(QmpError::Gone));
    }
}
