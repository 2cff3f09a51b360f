//! Commands in the guest, shaped like `std::process::Command`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pyro_protocol::frame::{Kind, MAX_BODY, StreamId};
use pyro_protocol::message::{Argv, Event, Exec, Exited, Request, Signal};
use tokio::sync::{Semaphore, mpsc};

use crate::link::{Arrival, Link, OUTPUT_WINDOW};
use crate::{GuestError, Refusal};

/// Consumed output is granted anew in steps of this many bytes.
const GRANT_STEP: u32 = OUTPUT_WINDOW / 4;

/// A command being put together.
#[derive(Debug)]
pub struct Command<'a> {
    link: &'a Link,
    exec: Exec,
}

impl<'a> Command<'a> {
    pub(crate) fn new(link: &'a Link, program: Vec<u8>) -> Self {
        let exec = Exec {
            candidates: vec![Argv { words: vec![program] }],
            environment: Vec::new(),
            working_directory: b"/".to_vec(),
            timeout_us: 0,
            stdout_credit: OUTPUT_WINDOW,
            stderr_credit: OUTPUT_WINDOW,
            file_worker: false,
        };
        Self { link, exec }
    }

    /// The agent's own file worker.
    pub(crate) fn file_worker(link: &'a Link) -> Self {
        let mut command = Self::new(link, Vec::new());
        command.exec.candidates.clear();
        command.exec.file_worker = true;
        command
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: Into<Vec<u8>>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        if let Some(last) = self.exec.candidates.last_mut() {
            last.words.extend(arguments.into_iter().map(Into::into));
        }
        self
    }

    /// What to run instead when the program so far cannot be executed (not found, not executable).
    /// Arguments added from here on belong to it.
    #[must_use]
    pub fn or_else(mut self, program: impl Into<Vec<u8>>) -> Self {
        self.exec.candidates.push(Argv { words: vec![program.into()] });
        self
    }

    /// Adds to the guest's default environment.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        let mut entry = key.as_bytes().to_vec();
        entry.push(b'=');
        entry.extend_from_slice(value.as_ref());
        self.exec.environment.push(entry);
        self
    }

    /// The directory to run in, absolute; `/` by default.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<Vec<u8>>) -> Self {
        self.exec.working_directory = directory.into();
        self
    }

    /// The guest ends the command, with all its descendants, after this time. At least one
    /// microsecond; none by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.exec.timeout_us = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX).max(1);
        self
    }

    /// Sends the command off.
    #[must_use]
    pub fn spawn(self) -> Running {
        let (id, arrivals, stdin_credit) = self.link.open();
        self.link.send(id, Request::Exec(self.exec));
        let link = self.link.clone();
        Running { id, link, arrivals, stdin_credit, stdout_owed: 0, stderr_owed: 0 }
    }
}

/// What a running command reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputEvent {
    /// It runs.
    Started,
    /// Bytes of its standard output.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// It ended; nothing follows.
    Exited(Exit),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, 128 plus the signal's number when a signal ended it, or 124 when its time
    /// was up.
    pub code: i32,
    /// It reached its time limit.
    pub timed_out: bool,
    /// The kernel killed one of its processes because memory ran out.
    pub out_of_memory: bool,
    /// From start to end, by the guest's clock.
    pub duration: Duration,
}

impl Exit {
    fn from_wire(exited: Exited) -> Result<Self, GuestError> {
        let code = match (exited.timed_out, exited.code, exited.signal) {
            (true, ..) => pyro_protocol::TIMED_OUT_EXIT_CODE,
            (false, Some(code @ 0..=255), None) => code as i32,
            (false, None, Some(signal @ 1..=127)) => 128 + signal as i32,
            _ => return Err(GuestError::Nonsense { what: "an impossible exit status" }),
        };
        Ok(Self {
            code,
            timed_out: exited.timed_out,
            out_of_memory: exited.out_of_memory,
            duration: Duration::from_micros(exited.duration_us),
        })
    }
}

/// A command that was sent off. Dropping it does not end the command.
#[derive(Debug)]
pub struct Running {
    id: StreamId,
    link: Link,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    stdin_credit: Arc<Semaphore>,
    stdout_owed: u32,
    stderr_owed: u32,
}

impl Running {
    /// What happens next. Asking for it says that the caller is done with what it got before. May
    /// be dropped and asked again (cancel safe).
    ///
    /// # Errors
    /// [`GuestError::Refused`] when the command was not run at all, others when the guest is gone.
    pub async fn next(&mut self) -> Result<OutputEvent, GuestError> {
        if self.stdout_owed >= GRANT_STEP || self.stderr_owed >= GRANT_STEP {
            let (stdout, stderr) = (std::mem::take(&mut self.stdout_owed), std::mem::take(&mut self.stderr_owed));
            self.link.grant(self.id, stdout, stderr);
        }
        match self.arrivals.recv().await {
            None => Err(self.link.end()),
            Some(Arrival::Data(Kind::Stderr, data)) => {
                self.stderr_owed += data.len() as u32;
                Ok(OutputEvent::Stderr(data))
            }
            Some(Arrival::Data(_, data)) => {
                self.stdout_owed += data.len() as u32;
                Ok(OutputEvent::Stdout(data))
            }
            Some(Arrival::Event(Event::Started(_))) => Ok(OutputEvent::Started),
            Some(Arrival::Event(Event::Exited(exited))) => Exit::from_wire(exited).map(OutputEvent::Exited),
            Some(Arrival::Event(Event::Refused(refused))) => Err(Refusal::from_wire(&refused).into()),
            Some(Arrival::Event(_)) => {
                Err(GuestError::Nonsense { what: "a message that does not belong to a command" })
            }
        }
    }

    /// The way to its standard input. Without writing the end, the command waits for more.
    #[must_use]
    pub fn stdin(&self) -> StdinWriter {
        StdinWriter { id: self.id, link: self.link.clone(), credit: self.stdin_credit.clone() }
    }

    /// Sends a signal; 9 ends every process of the command.
    pub fn signal(&self, number: u32) {
        self.link.send(self.id, Request::Signal(Signal { number }));
    }
}

/// Writes a command's standard input, no faster than it reads.
#[derive(Clone, Debug)]
pub struct StdinWriter {
    id: StreamId,
    link: Link,
    credit: Arc<Semaphore>,
}

impl StdinWriter {
    /// Sends all of `data`, waiting for the command to read. Returns whether the command still exists
    /// to read more.
    pub async fn write(&self, data: &[u8]) -> bool {
        for piece in data.chunks(MAX_BODY) {
            match self.credit.acquire_many(piece.len() as u32).await {
                Ok(permits) => permits.forget(),
                Err(_) => return false,
            }
            if !self.link.send_stdin(self.id, piece).await {
                return false;
            }
        }
        true
    }

    /// Sends the end of the input.
    pub fn end(&self) {
        self.link.end_stdin(self.id);
    }
}
