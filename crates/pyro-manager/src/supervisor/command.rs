//! The commands of one machine: begun in the journal, sent, followed to their end.
//!
//! ```text
//! begin (journal) ─▶ sent ─▶ output: journal first, then the client who waits for it
//!                       └─▶ over: output flushed ─▶ end (journal) ─▶ flushed ─▶ client told
//! ```
//!
//! [`super::driver`] follows each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyro_store::journal::{CommandRecord, EndRecord, Journal, StartRecord, Started, Status};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::driver::Driver;
use super::mailbox::{Attached, Joined, Message, Transfer};
use super::request::{ExecRequest, digest};
use super::table::{Cancel, Handle, Progress, Table};
use super::transfer::transfer;
use crate::clock::now;
use crate::error::Unavailable;
use crate::threads::lock;
use crate::workspace::CommandStream;
use crate::{Error, Pyro};

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
    /// Ends all file operations.
    transfers: CancellationToken,
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
            transfers: CancellationToken::new(),
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
        sent: Result<CommandStream, Error>,
        request: &ExecRequest,
    ) -> Result<Joined, Error> {
        let sequence = begun.sequence;
        began.sequence = sequence;
        let mut stream = match sent {
            Ok(stream) => stream,
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
        let timeout = Duration::from_micros(request.timeout_us);
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
            timeout,
            limit: Instant::now() + timeout,
            last: request.then_delete,
            machine_ends: self.machine_ends.subscribe(),
        };
        let mut feeding = JoinSet::new();
        stream.input().feed((request.attached && request.stdin).then_some(to_feed), &mut feeding);
        self.drivers.spawn(driver.drive(stream, feeding));
        self.table.latest.send_replace(sequence);
        let attached = request.attached.then_some(Attached { pieces, progress: watched, input });
        Ok(Joined { sequence, attached, joined: false })
    }

    /// Follows a file operation that was begun.
    pub fn transfer(&mut self, stream: CommandStream, timeout: Duration) -> Transfer {
        let (transfer, worker) = transfer(stream, timeout, self.transfers.child_token(), self.mailbox.clone());
        self.drivers.spawn(worker.drive());
        transfer
    }

    pub fn cancel_all(&mut self, why: &str) {
        self.table.cancel_all(why);
        std::mem::take(&mut self.transfers).cancel();
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
