//! The running commands of a machine, as connections may look at them: how far each is, and how to end it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use pyro_store::journal::CommandRecord;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::threads::lock;

/// How far a command is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Bytes in the journal.
    pub stdout: u64,
    /// Bytes in the journal.
    pub stderr: u64,
    /// What came of it.
    pub end: Option<Arc<CommandRecord>>,
}

/// Ends a command, for a reason.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    pub token: CancellationToken,
    why: Arc<OnceLock<String>>,
}

impl Cancel {
    /// The first reason that was given; empty where there is none.
    pub fn why(&self) -> String {
        self.why.get().cloned().unwrap_or_default()
    }

    pub fn cancel(&self, why: &str) {
        let _ = self.why.set(why.to_owned());
        self.token.cancel();
    }
}

/// A running command, for everybody but its driver.
#[derive(Clone, Debug)]
pub struct Handle {
    pub progress: watch::Receiver<Progress>,
    pub cancel: Cancel,
}

/// What connections may look at.
#[derive(Debug)]
pub struct Table {
    running: Mutex<HashMap<u64, Handle>>,
    /// The newest command's number; 0 for none.
    pub latest: watch::Sender<u64>,
}

impl Table {
    pub fn new() -> Self {
        Self { running: Mutex::default(), latest: watch::Sender::new(0) }
    }

    pub fn insert(&self, sequence: u64, handle: Handle) {
        self.lock().insert(sequence, handle);
    }

    pub fn remove(&self, sequence: u64) {
        self.lock().remove(&sequence);
    }

    pub fn cancel_all(&self, why: &str) {
        self.lock().values().for_each(|handle| handle.cancel.cancel(why));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Handle>> {
        lock(&self.running)
    }

    pub fn find(&self, sequence: u64) -> Option<Handle> {
        self.lock().get(&sequence).cloned()
    }
}
