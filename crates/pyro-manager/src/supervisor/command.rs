//! The commands of one machine: begun in the journal, sent, followed to their end.
//!
//! ```text
//! begin (journal) ─▶ sent ─▶ output: journal first, then the client who waits for it
//!                       └─▶ over: output flushed ─▶ end (journal) ─▶ flushed ─▶ client told
//! ```
//!
//! A client who reads slowly slows the command down, as a pipe does, but only until the command is
//! cancelled or its time is up: then it goes on without that client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pyro_guest::{Exit, GuestError, OutputEvent};
use pyro_protocol::frame::Kind as FrameKind;
use pyro_store::journal::{CommandRecord, EndRecord, Journal, OutputLog, StartRecord, Started, Status, StreamEnd};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::mailbox::{Attached, Joined, Message, Piece};
use super::rpc::{ExecRequest, digest};
use super::table::{Cancel, Handle, Progress, Table};
use crate::clock::now;
use crate::error::{Unavailable, host};
use crate::execution::Execution;
use crate::limits::host_time_limit;
use crate::{Error, Pyro};

/// The guest enforces a command's time limit, and is told to when it is late ([`host_time_limit`]). This long after
/// that, the guest is given up.
const GUEST_GRACE: Duration = Duration::from_secs(30);
/// How long after its time limit a command waits for a client that reads slowly.
const CLIENT_GRACE: Duration = Duration::from_secs(1);
/// Pieces of output on their way to a client.
const IN_FLIGHT: usize = 16;

/// All commands of a machine.
pub struct Commands {
    pyro: Arc<Pyro>,
    journal: Arc<Mutex<Journal>>,
    table: Arc<Table>,
    attempts: HashMap<String, (u64, String)>,
    mailbox: mpsc::Sender<Message>,
    drivers: JoinSet<()>,
    /// How many machines' ends the record says.
    machine_ends: watch::Sender<u64>,
}

impl Commands {
    /// `entries` are the commands that an earlier supervisor had: an attempt stays one.
    pub fn new(pyro: Arc<Pyro>, journal: Journal, entries: &[CommandRecord], mailbox: mpsc::Sender<Message>) -> Self {
        let attempts = entries.iter().filter_map(|CommandRecord { began, .. }| {
            Some((began.attempt_id.clone()?, (began.sequence, began.request_digest.clone())))
        });
        let table = Table::new();
        Self {
            pyro,
            journal: Arc::new(Mutex::new(journal)),
            table: Arc::new(table),
            attempts: attempts.collect(),
            mailbox,
            drivers: JoinSet::new(),
            machine_ends: watch::Sender::new(0),
        }
    }

    pub fn table(&self) -> Arc<Table> {
        self.table.clone()
    }

    /// The command that this attempt has started before, if it has.
    pub fn attempt(&self, request: &ExecRequest) -> Result<Option<Joined>, Error> {
        let Some(attempt_id) = &request.attempt_id else { return Ok(None) };
        match self.attempts.get(attempt_id) {
            None => Ok(None),
            Some((sequence, known)) if *known == digest(request) => {
                Ok(Some(Joined { sequence: *sequence, attached: None, joined: true }))
            }
            Some(_) => Err(Unavailable::AttemptConflict { attempt_id: attempt_id.clone() }.into()),
        }
    }

    /// Writes down that it is about to be sent.
    pub fn begin(&mut self, began: StartRecord) -> Result<Started, Error> {
        self.step("begin.before");
        let begun = lock(&self.journal).begin(began)?;
        self.step("begin.after");
        Ok(begun)
    }

    /// Follows a command that was sent, or ends one that could not be.
    pub fn follow(
        &mut self,
        begun: Started,
        mut began: StartRecord,
        sent: Result<Execution, Error>,
        request: &ExecRequest,
    ) -> Result<Joined, Error> {
        let sequence = begun.sequence;
        began.sequence = sequence;
        let mut execution = match sent {
            Ok(execution) => execution,
            Err(error) => {
                let reason = error.failure().error;
                let end = EndRecord { status: Status::Refused, reason: Some(reason), ..EndRecord::lost(now(), 0, 0) };
                lock(&self.journal).end(sequence, &end)?;
                return Err(error);
            }
        };
        if let Some(attempt_id) = &request.attempt_id {
            self.attempts.insert(attempt_id.clone(), (sequence, digest(request)));
        }
        let (live, pieces) = mpsc::channel(IN_FLIGHT);
        let (input, to_feed) = mpsc::channel(IN_FLIGHT);
        let (progress, watched) = watch::channel(Progress::default());
        let cancel = Cancel::default();
        let handle = Handle { progress: watched.clone(), cancel: cancel.clone() };
        self.table.insert(sequence, handle);
        let limit = Instant::now() + Duration::from_micros(request.timeout_us);
        let driver = Driver {
            pyro: self.pyro.clone(),
            journal: self.journal.clone(),
            table: self.table.clone(),
            mailbox: self.mailbox.clone(),
            began,
            stdout: begun.stdout,
            stderr: begun.stderr,
            progress,
            cancel,
            live: request.attached.then_some(live),
            limit,
            last: request.then_delete,
            machine_ends: self.machine_ends.subscribe(),
        };
        let mut feeding = JoinSet::new();
        execution.input().feed((request.attached && request.stdin).then_some(to_feed), &mut feeding);
        self.drivers.spawn(driver.drive(execution, feeding));
        self.table.latest.send_replace(sequence);
        let attached = request.attached.then_some(Attached { pieces, progress: watched, input });
        Ok(Joined { sequence, attached, joined: false })
    }

    pub fn cancel_all(&self, why: &str) {
        self.table.cancel_all(why);
    }

    /// Resolves when a command's driver has ended; never while there is none. Cancel safe.
    pub async fn collect(&mut self) {
        if self.drivers.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until nothing runs any more. The machine is gone, and the record says so: that is soon. Whoever waits
    /// for a command that its machine took with it hears of it only now.
    pub async fn ended(&mut self) {
        self.machine_ends.send_modify(|ends| *ends += 1);
        while self.drivers.join_next().await.is_some() {}
    }

    fn step(&self, step: &'static str) {
        self.pyro.failpoints.reached(step);
    }
}

/// Follows one command.
struct Driver {
    pyro: Arc<Pyro>,
    journal: Arc<Mutex<Journal>>,
    table: Arc<Table>,
    mailbox: mpsc::Sender<Message>,
    began: StartRecord,
    stdout: OutputLog,
    stderr: OutputLog,
    progress: watch::Sender<Progress>,
    cancel: Cancel,
    live: Option<mpsc::Sender<Piece>>,
    limit: Instant,
    last: bool,
    machine_ends: watch::Receiver<u64>,
}

impl Driver {
    async fn drive(mut self, mut execution: Execution, feeding: JoinSet<()>) {
        let came = self.follow(&mut execution).await;
        drop((execution, feeding));
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

    /// To its end, or to the guest's.
    async fn follow(&mut self, execution: &mut Execution) -> Result<Exit, GuestError> {
        let (mut killed, mut late, mut gave_up) = (false, false, false);
        let began = Instant::now();
        let timeout = tokio::time::sleep_until(began + host_time_limit(self.limit - began));
        tokio::pin!(timeout);
        loop {
            // A guest that never stops talking must not keep the others from their turn.
            let event = tokio::select! {
                biased;
                () = self.cancel.token.cancelled(), if !killed => {
                    killed = true;
                    execution.kill();
                    continue;
                }
                () = &mut timeout, if !gave_up => {
                    if !late {
                        // The guest is late, or its clock is: the command's time is up, not the machine's.
                        late = true;
                        execution.kill();
                        timeout.as_mut().reset(Instant::now() + GUEST_GRACE);
                        continue;
                    }
                    gave_up = true;
                    let what = "the guest did not end a command that reached its time limit, so its machine was ended".to_owned();
                    let _ = self.mailbox.send(Message::Trouble { what }).await;
                    continue;
                }
                event = execution.next() => event,
            };
            let event = match event {
                // Its machine was ended for it: no process of it is left.
                Err(_) if gave_up => return Ok(timed_out(began.elapsed())),
                event => event?,
            };
            match event {
                OutputEvent::Started => {}
                OutputEvent::Stdout(bytes) => self.output(FrameKind::Stdout, bytes).await,
                OutputEvent::Stderr(bytes) => self.output(FrameKind::Stderr, bytes).await,
                // One that was over just before it was ended ended by itself.
                OutputEvent::Exited(exit) if late && !killed && exit.code == 128 + 9 => {
                    return Ok(Exit { out_of_memory: exit.out_of_memory, ..timed_out(exit.duration) });
                }
                OutputEvent::Exited(exit) => return Ok(exit),
            }
        }
    }

    /// Into the journal, and then to the client.
    async fn output(&mut self, kind: FrameKind, bytes: Bytes) {
        self.step("output.before");
        match kind {
            FrameKind::Stdout => self.stdout.push(&bytes),
            _ => self.stderr.push(&bytes),
        }
        self.step("output.after");
        let (stdout, stderr) = (self.stdout.kept(), self.stderr.kept());
        self.progress.send_modify(|progress| (progress.stdout, progress.stderr) = (stdout, stderr));
        let Some(live) = &self.live else { return };
        let taken = tokio::select! {
            biased;
            sent = live.send((kind, bytes)) => sent.is_ok(),
            () = self.cancel.token.cancelled() => false,
            () = tokio::time::sleep_until(self.limit + CLIENT_GRACE) => false,
        };
        if !taken {
            self.live = None;
        }
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

fn timed_out(duration: Duration) -> Exit {
    Exit { code: 124, timed_out: true, out_of_memory: false, duration }
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

/// What is behind the locks is changed in single steps; a panic elsewhere leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
