//! What clients change of a machine's life and of its record.
//!
//! ```text
//! started ──stop──▶ stopped, its place free, its disk kept; a task's life counts on, or has no end
//! stopped ──start──▶ started from its own disk; a task's life counts anew
//!     └─it cannot be started ──▶ stopped, as it was
//! ```
//!
//! The owner alone does so. What could not be written down is not so.

use std::time::Duration;

use pyro_store::{Ended, Kind, Record, State};
use tokio::sync::mpsc;

use super::actor::{Actor, End, timer};
use super::mailbox::Message;
use crate::Error;
use crate::clock::{Timer, now};
use crate::error::STOPPED;
use crate::limits::{MachineSize, started_ttl};
use crate::naming::{self, NamingChange};
use crate::threads::off_thread;

/// A life as it was, to be put back.
pub(super) struct Life {
    ttl_seconds: u64,
    expires_at: f64,
    timer: Timer,
}

impl Actor {
    /// Starts its machine. It can be deleted, and expires, meanwhile.
    pub(super) async fn start(&mut self, ttl: Option<Duration>) -> Result<Result<Record, Error>, End> {
        if !self.workspace.is_none() {
            return Ok(Ok(self.record.clone()));
        }
        let (machines, id) = (self.machines.clone(), self.record.id.clone());
        let admission = self.pyro.admission(MachineSize::of(&self.record));
        if let Err(error) = off_thread(move || Ok(machines.take_slot(&id, admission)?)).await {
            return Ok(Err(error));
        }
        let before = self.record.clone();
        let life = match self.record.kind {
            Kind::Vm => None,
            Kind::Task => match self.live_for(started_ttl(ttl, &before)) {
                Ok(life) => Some(life),
                Err(error) => {
                    self.machines.release_slot(&before.id);
                    return Ok(Err(error));
                }
            },
        };
        self.step("start.before");
        let result = match self.boot().await? {
            Ok(()) => {
                (self.record.state, self.record.last_error) = (State::Started, None);
                self.step("start.booted");
                self.save().await
            }
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.workspace.end().await;
            self.record = before;
            if let Some(life) = life {
                self.put_back(life);
            }
            self.machines.release_slot(&self.record.id);
        }
        self.step("start.after");
        Ok(result.map(|()| self.record.clone()))
    }

    /// What is asked meanwhile, but for its removal, is asked again afterwards: it is in time then.
    async fn boot(&mut self) -> Result<Result<(), Error>, End> {
        let (notices, _nobody) = mpsc::channel(16);
        let mut later = Vec::new();
        let started = {
            let start = self.pyro.start_workspace(&mut self.record, &self.directory, &notices);
            tokio::pin!(start);
            loop {
                tokio::select! {
                    started = &mut start => break started,
                    () = self.timer.rung() => return Err(End::Remove(Ended::Expired, None)),
                    message = self.mailbox.recv() => match message.expect("the actor holds a sender itself") {
                        Message::Remove { reason, answer } => return Err(End::Remove(reason, Some(answer))),
                        other => later.push(other),
                    },
                }
            }
        };
        let sender = self.sender.clone();
        tokio::spawn(async move {
            for message in later {
                let _ = sender.send(message).await;
            }
        });
        Ok(started.map(|workspace| self.workspace = workspace))
    }

    /// Stops its machine in an orderly way. One that has none may get another life all the same.
    pub(super) async fn stop(&mut self, ttl: Option<Duration>) -> Result<Record, Error> {
        let life = ttl.map(|ttl| self.live_for(ttl)).transpose()?;
        if self.workspace.is_none() {
            return match life {
                Some(life) => self.saved_or_as_before(life).await,
                None => Ok(self.record.clone()),
            };
        }
        self.step("stop.before");
        self.commands.cancel_all(STOPPED);
        self.workspace.shut_down().await;
        (self.record.state, self.record.addresses, self.record.last_error) = (State::Stopped, None, None);
        self.step("stop.halted");
        self.machines.release_slot(&self.record.id);
        let saved = self.save().await;
        self.commands.ended().await;
        self.step("stop.after");
        saved.map(|()| self.record.clone())
    }

    /// Counts its life anew.
    pub(super) async fn extend(&mut self, ttl_seconds: u64) -> Result<Record, Error> {
        let life = self.live_for(Duration::from_secs(ttl_seconds))?;
        self.saved_or_as_before(life).await
    }

    /// Calls it otherwise.
    pub(super) async fn update(&mut self, change: &NamingChange) -> Result<Record, Error> {
        let naming = change.applied_to(&self.record.naming)?;
        let record = Record { naming, ..self.record.clone() };
        let (machines, written) = (self.machines.clone(), record.clone());
        self.step("update.before");
        if let Err(error) = off_thread(move || naming::write(&machines, &written)).await {
            // Part of it may be written.
            self.unsaved = true;
            return Err(error);
        }
        self.step("update.after");
        self.record = record;
        Ok(self.record.clone())
    }

    async fn saved_or_as_before(&mut self, life: Life) -> Result<Record, Error> {
        match self.save().await {
            Ok(()) => Ok(self.record.clone()),
            Err(error) => {
                self.put_back(life);
                Err(error)
            }
        }
    }

    /// Gives it another life, and tells what it was.
    fn live_for(&mut self, ttl: Duration) -> Result<Life, Error> {
        let mut record = self.record.clone();
        record.live_for(ttl, now());
        let timer = timer(&record)?;
        let before = std::mem::replace(&mut self.record, record);
        let timer = std::mem::replace(&mut self.timer, timer);
        Ok(Life { ttl_seconds: before.ttl_seconds, expires_at: before.expires_at, timer })
    }

    fn put_back(&mut self, life: Life) {
        (self.record.ttl_seconds, self.record.expires_at) = (life.ttl_seconds, life.expires_at);
        self.timer = life.timer;
    }
}
