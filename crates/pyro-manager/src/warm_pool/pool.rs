//! The machines that wait for a run, one of a kind.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;

use crate::session::Session;

/// WarmMachines that wait at once, each of another kind.
const MAX_WAITING: usize = 2;

/// The machines that wait.
#[derive(Clone)]
pub struct WarmPool(Arc<Mutex<WarmMachines>>);

/// What a pool holds.
pub struct WarmMachines {
    /// A process that was forked from this one has none of these: they are its parent's.
    owner: u32,
    /// No others are made from now on.
    pub ended: bool,
    pub waiting: HashMap<PoolKey, Waiting>,
    made: u64,
}

/// WarmMachines of one kind are as good as each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    pub environment: String,
    pub template: String,
}

/// One that is being made, or is ready.
pub struct Waiting {
    pub number: u64,
    pub machine: JoinHandle<Option<Session>>,
}

impl WarmMachines {
    fn new() -> Self {
        Self { owner: std::process::id(), ended: false, waiting: HashMap::new(), made: 0 }
    }
}

impl Default for WarmPool {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(WarmMachines::new())))
    }
}

impl WarmPool {
    /// What it holds now, locked.
    pub fn state(&self) -> MutexGuard<'_, WarmMachines> {
        // It is changed in single steps; a panic elsewhere leaves it whole.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.owner != std::process::id() {
            // Not dropped: that would end the parent's machines.
            std::mem::forget(std::mem::replace(&mut *state, WarmMachines::new()));
        }
        state
    }

    /// Lets one be made, where none of its kind is there. The one that has waited longest goes when there
    /// are too many: its task ends it when nobody holds its handle.
    pub fn make(&self, kind: &PoolKey, making: impl Future<Output = Option<Session>> + Send + 'static) -> Option<u64> {
        let mut state = self.state();
        if state.ended || state.waiting.contains_key(kind) {
            return None;
        }
        let oldest = state.waiting.iter().min_by_key(|(_, waiting)| waiting.number).map(|(kind, _)| kind.clone());
        if let Some(oldest) = oldest.filter(|_| state.waiting.len() >= MAX_WAITING) {
            state.waiting.remove(&oldest);
        }
        state.made += 1;
        let number = state.made;
        state.waiting.insert(kind.clone(), Waiting { number, machine: tokio::spawn(making) });
        Some(number)
    }

    /// Takes the one with this number out, if it still waits.
    pub fn take_out(&self, kind: &PoolKey, number: u64) -> Option<Waiting> {
        let mut state = self.state();
        let same = state.waiting.get(kind).is_some_and(|waiting| waiting.number == number);
        if same { state.waiting.remove(kind) } else { None }
    }
}
