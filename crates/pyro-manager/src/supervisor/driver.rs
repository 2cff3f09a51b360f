//! One command of a supervised machine, followed to its end. Its output goes to the journal and then to its client.
//!
//! A client who reads slowly slows the command down, as a pipe does, but only until the command is
//! cancelled or its time is up: then it goes on without that client.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use pyro_guest::{Exit, GuestError};
use pyro_store::journal::{
    CommandRecord, EndRecord, Journal, OutputLog, StartRecord, Status, Stream as OutputStream, StreamEnd,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::mailbox::{Message, Piece};
use super::table::{Cancel, Progress, Table};
use crate::clock::now;
use crate::error::host;
use crate::follow::{Broken, Follow, Machine, Sink};
use crate::threads::lock;
use crate::workspace::CommandStream;
use crate::{Error, Pyro};

/// How long after its time limit a command waits for a client that reads slowly.
const CLIENT_GRACE: Duration = Duration::from_secs(1);

/// Follows one command.
pub(super) struct Driver {
    pub pyro: Arc<Pyro>,
    pub journal: Arc<Mutex<Journal>>,
    pub table: Arc<Table>,
    pub mailbox: mpsc::Sender<Message>,
    pub began: StartRecord,
    pub stdout: OutputLog,
    pub stderr: OutputLog,
    pub progress: watch::Sender<Progress>,
    pub cancel: Cancel,
    /// The client who reads the output as it comes.
    pub live: Option<mpsc::Sender<Piece>>,
    pub timeout: Duration,
    /// When the time limit is over.
    pub limit: Instant,
    pub last: bool,
    pub machine_ends: watch::Receiver<u64>,
}

impl Driver {
    /// To the command's end, and until everybody knows of it.
    pub async fn drive(mut self, mut stream: CommandStream, feeding: JoinSet<()>) {
        let token = self.cancel.token.clone();
        let follow = Follow { machine: Machine::Shared, timeout: self.timeout, cancel: &token };
        let followed = follow.to_end(&mut stream, &mut self, std::future::pending()).await;
        let came = followed.map_err(|broken| match broken {
            Broken::Guest(error) => error,
            Broken::Sink(never) => match never {},
            // The owner watches a shared machine, and its commands are not given up.
            Broken::Cancelled | Broken::Died(_) => GuestError::Gone,
        });
        drop((stream, feeding));
        match &came {
            Ok(_) | Err(GuestError::Refused(_)) => {}
            Err(GuestError::Gone) => self.machine_end_is_recorded(Message::ChannelClosed).await,
            Err(error) => self.machine_end_is_recorded(Message::Trouble { what: nonsense(error) }).await,
        }
        let end = self.what_came(came);
        self.finish(end).await;
    }

    /// Waits until the record says that the machine ended: a client that hears of it may ask for the record next.
    async fn machine_end_is_recorded(&mut self, message: Message) {
        // The owner knows already where the machine's process has ended, and ignores this.
        let mailbox = self.mailbox.clone();
        tokio::spawn(async move { mailbox.send(message).await });
        // An owner that is gone tells nobody anything any more.
        let _ = self.machine_ends.changed().await;
    }

    /// What is to be written down; nothing is invented.
    fn what_came(&self, came: Result<Exit, GuestError>) -> EndRecord {
        let cancelled = self.cancel.token.is_cancelled();
        let why = || Some(self.cancel.why());
        let unknown = EndRecord { reason: None, ..EndRecord::lost(now(), 0, 0) };
        match came {
            // One that was over just before it was cancelled ended by itself.
            Ok(exit) if cancelled && !exit.timed_out && exit.code == 128 + 9 => {
                let duration_ms = Some(millis(exit.duration));
                EndRecord { status: Status::Cancelled, duration_ms, reason: why(), ..unknown }
            }
            Ok(exit) => EndRecord {
                status: if exit.timed_out { Status::TimedOut } else { Status::Finished },
                exit_code: Some(exit.code),
                duration_ms: Some(millis(exit.duration)),
                out_of_memory: exit.out_of_memory,
                ..unknown
            },
            Err(GuestError::Refused(refusal)) => {
                EndRecord { status: Status::Refused, reason: Some(refusal.message), ..unknown }
            }
            Err(_) if cancelled => EndRecord { status: Status::Cancelled, reason: why(), ..unknown },
            Err(GuestError::Gone) => EndRecord { reason: Some("the machine ended while it ran".into()), ..unknown },
            Err(error) => EndRecord { reason: Some(nonsense(&error)), ..unknown },
        }
    }

    /// Output to disk, then the end, then everybody is told.
    async fn finish(self, end: EndRecord) {
        let Self { pyro, journal, table, mailbox, began, stdout, stderr, progress, live, last, .. } = self;
        let sequence = began.sequence;
        let failpoints = pyro.failpoints.clone();
        let write = move || -> (EndRecord, Result<(), Error>) {
            let (stdout, stderr) = (stdout.finish(), stderr.finish());
            let end = EndRecord { stdout, stderr, ..end };
            failpoints.reached("ended.before");
            let written = lock(&journal).end(sequence, &end);
            failpoints.reached("ended.after");
            let handle = lock(&journal).handle();
            let flushed = written.and(handle).map_err(Error::from);
            let flushed = flushed.and_then(|log| log.sync_data().map_err(host("flush the journal")));
            (end, flushed)
        };
        let Ok((mut end, written)) = tokio::task::spawn_blocking(write).await else { return };
        if let Err(error) = written {
            // Its client still hears the truth; the journal will say that it was lost.
            let note = format!("the journal could not be written: {}", error.failure().error);
            note_cut(&mut end.stdout, &note);
        }
        let entry = Arc::new(CommandRecord { began, end: Some(end) });
        table.remove(sequence);
        progress.send_modify(|progress| progress.end = Some(entry));
        drop(live);
        pyro.failpoints.reached("told");
        if last {
            let _ = mailbox.send(Message::LastCommandEnded).await;
        }
    }

    fn step(&self, step: &'static str) {
        self.pyro.failpoints.reached(step);
    }
}

impl Sink for Driver {
    type Error = std::convert::Infallible;

    /// Into the journal, and then to the client.
    async fn output(&mut self, stream: OutputStream, bytes: Bytes) -> Result<(), Self::Error> {
        self.step("output.before");
        match stream {
            OutputStream::Stdout => self.stdout.push(&bytes),
            OutputStream::Stderr => self.stderr.push(&bytes),
        }
        self.step("output.after");
        let (stdout, stderr) = (self.stdout.kept(), self.stderr.kept());
        self.progress.send_modify(|progress| (progress.stdout, progress.stderr) = (stdout, stderr));
        let Some(live) = &self.live else { return Ok(()) };
        let taken = tokio::select! {
            biased;
            sent = live.send((stream, bytes)) => sent.is_ok(),
            () = self.cancel.token.cancelled() => false,
            () = tokio::time::sleep_until(self.limit + CLIENT_GRACE) => false,
        };
        if !taken {
            self.live = None;
        }
        Ok(())
    }

    async fn guest_hangs(&mut self) {
        let what = "the guest did not end a command that reached its time limit, so its machine was ended".to_owned();
        let _ = self.mailbox.send(Message::Trouble { what }).await;
    }
}

fn nonsense(error: &GuestError) -> String {
    format!("the guest broke the protocol ({error}), so its machine was ended")
}

fn note_cut(stream: &mut StreamEnd, note: &str) {
    stream.cut.get_or_insert(note.to_owned());
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
