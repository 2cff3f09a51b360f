//! Changes of a task: its supervisor makes them, or, where that is dead, whoever asks.

use std::time::Duration;

use pyro_store::machines::Machines;
use pyro_store::{Kind, Record};

use crate::client::{MAX_TAKE_OVERS, does_not_listen};
use crate::clock::now;
use crate::error::Unavailable;
use crate::naming::{self, NamingChange};
use crate::payload::TaskRecord;
use crate::supervisor::rpc::{Reply, Request};
use crate::threads::off_thread;
use crate::{Error, Pyro, limits};

/// How often a start is asked for: a supervisor may have been about to end when it was asked, and its successor is not.
const START_TRIES: usize = 2;

/// A change of a task whose supervisor is dead.
#[derive(Clone)]
enum Change {
    Nothing,
    Life(Duration),
    Naming(NamingChange),
}

impl Pyro {
    /// Stops its machine in an orderly way. What runs in it is cancelled; its disk and its journal stay. `ttl_seconds`
    /// counts its life anew from now; 0 is one without an end, until it is started again. One that is stopped stays so.
    ///
    /// # Errors
    /// [`Error`], when there is no such task, or the seconds are out of bounds.
    pub async fn stop_task(&self, task_id: &str, ttl_seconds: Option<i64>) -> Result<TaskRecord, Error> {
        let ttl = ttl_seconds.map(limits::stopped_ttl).transpose()?;
        let request = Request::StopTask { ttl_seconds: ttl.map(|ttl| ttl.as_secs()) };
        self.change(task_id, request, ttl.map_or(Change::Nothing, Change::Life)).await
    }

    /// Starts its machine again from its own disk. Its life is counted anew: `ttl_seconds`, or what it had, or where it
    /// had no end, the default. One that runs is left as it is.
    ///
    /// # Errors
    /// [`Error`]; then it is stopped, and lives as long as it did.
    pub async fn start_task(&self, task_id: &str, ttl_seconds: Option<i64>) -> Result<TaskRecord, Error> {
        let ttl = ttl_seconds.map(limits::ttl).transpose()?;
        let request = Request::StartTask { ttl_seconds: ttl.map(|ttl| ttl.as_secs()) };
        let mut record = self.record_of(Kind::Task, task_id).await?;
        for _ in 0..START_TRIES {
            self.supervised(&record).await?;
            if let Some(Reply::Done { record }) = self.ask(&record, &request).await? {
                return self.task_record(Record::try_from(record)?.into()).await;
            }
            // It may have been deleted, or have expired.
            record = self.record_of(Kind::Task, record.id.as_str()).await?;
        }
        let (id, what) = (record.id.to_string(), "ended before its machine was started");
        Err(Unavailable::Supervisor { id, what, log: String::new() }.into())
    }

    /// Calls it otherwise.
    ///
    /// # Errors
    /// [`Error`], when there is no such task, or another one has the name.
    pub async fn update_task(&self, task_id: &str, change: NamingChange) -> Result<TaskRecord, Error> {
        self.change(task_id, Request::Update(change.clone().into()), Change::Naming(change)).await
    }

    /// Counts its life anew from now.
    ///
    /// # Errors
    /// [`Error`], when there is no such task, or the seconds are out of bounds.
    pub async fn extend_task(&self, task_id: &str, ttl_seconds: i64) -> Result<TaskRecord, Error> {
        let ttl = limits::ttl(ttl_seconds)?;
        self.change(task_id, Request::Extend { ttl_seconds: ttl.as_secs() }, Change::Life(ttl)).await
    }

    /// Asked of a supervisor that ends meanwhile, it is made again: twice is as good as once.
    async fn change(&self, task_id: &str, request: Request, change: Change) -> Result<TaskRecord, Error> {
        let record = self.record_of(Kind::Task, task_id).await?;
        for _ in 0..MAX_TAKE_OVERS {
            if let Some(Reply::Done { record }) = self.ask(&record, &request).await? {
                return self.task_record(Record::try_from(record)?.into()).await;
            }
            let (machines, id, change) = (self.machines(), record.id.clone(), change.clone());
            let changed = off_thread(move || match machines.take_over(&id)? {
                Some((record, _lock)) => changed(&machines, record, change).map(Some),
                None => Ok(None),
            });
            if let Some(record) = changed.await? {
                return self.task_record(record.into()).await;
            }
            // Another supervisor has taken it over, or it is gone.
            self.record_of(Kind::Task, record.id.as_str()).await?;
        }
        Err(does_not_listen(&record))
    }
}

/// The caller holds the lock of its directory.
fn changed(machines: &Machines, mut record: Record, change: Change) -> Result<Record, Error> {
    match change {
        Change::Nothing => {}
        Change::Life(ttl) => {
            record.live_for(ttl, now());
            record.write(&machines.directory(&record.id))?;
            machines.registry()?.put(&record)?;
        }
        Change::Naming(change) => {
            record.naming = change.applied_to(&record.naming)?;
            naming::write(machines, &record)?;
        }
    }
    Ok(record)
}
