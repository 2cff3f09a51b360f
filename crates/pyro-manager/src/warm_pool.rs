//! Machines that are kept ready, in a process that lives long: the next command finds its machine restored
//! and waits for nothing.
//!
//! ```text
//! a run ends ──prepare──▶ being made ──▶ ready ──take──▶ a run's own machine, and gone with it
//!                             └── fails ──┬──── nobody came in time, or it died ──▶ gone
//!                                         └──────────────────────────────────────▶ the next run starts its own
//! ```
//!
//! There is one for each kind of machine that a run has had, a few at most, for as long as runs keep
//! coming. Each is used once: what a run did is never there for the next. One that waits takes no slot of the
//! capacity, and is not made where there would be none for it. It has run commands of our own, so
//! that under software emulation the way of a command is translated already.

pub mod pool;

use std::time::Duration;

use pyro_guest::{Guest, GuestError};
use tokio::sync::mpsc;

use crate::clock::wall_clock_ns;
use crate::id::VmId;
use crate::run::RunRequest;
use crate::session::Session;
use crate::template::run_quietly;
use crate::threads::off_thread;
use crate::{Error, Pyro, Settings, VmOptions};
use pool::{PoolKey, WarmPool};

/// How long one waits for its run.
const MAX_IDLE: Duration = Duration::from_secs(300);
/// What it has run. Under software emulation the first commands of a restored guest take several times as
/// long as later ones: what is seldom passed is translated by the second and third.
const WARM_UP: [&str; 4] = ["true", "sh -c true", "true", "true"];
/// A run that comes meanwhile waits for it.
const WARM_UP_LIMIT: Duration = Duration::from_secs(30);

impl Pyro {
    /// The same, and it keeps machines ready for the runs that come. For processes that live long, inside a
    /// tokio runtime whose threads do.
    #[must_use]
    pub fn with_warm_pool(mut self) -> Self {
        self.warm_pool = Some(WarmPool::default());
        self
    }

    /// A machine that waits for a run like this one; `None` where none does, or there is no slot for
    /// it any more.
    pub(crate) async fn take_warm(&self, request: &RunRequest) -> Option<Session> {
        let warm_pool = self.warm_pool.as_ref()?;
        let kind = self.kind(&request.environment, request.options).await?;
        let waiting = warm_pool.state().waiting.remove(&kind)?;
        let mut session = waiting.machine.await.ok().flatten()?;
        if session.has_died().await || self.take_slot_for(session.id.clone(), request.options).await.is_err() {
            end(session).await;
            return None;
        }
        session.created = Duration::ZERO;
        // The host may have slept while it waited.
        session.guest().set_clock(wall_clock_ns());
        Some(session)
    }

    async fn take_slot_for(&self, id: VmId, options: VmOptions) -> Result<(), Error> {
        let (machines, admission) = (self.machines(), self.admission(options.size));
        off_thread(move || Ok(machines.take_slot(&id, admission)?)).await
    }

    /// Begins to make a machine ready for the next run like this one. It is made while nobody waits; a run that
    /// comes meanwhile gets it when it is ready.
    pub(crate) async fn prepare_warm(&self, environment: &str, options: VmOptions) {
        let Some(warm_pool) = self.warm_pool.clone() else { return };
        let Some(kind) = self.kind(environment, options).await else { return };
        let (pyro, environment) = (self.clone(), environment.to_owned());
        let making = async move { pyro.make_warm(&environment, options).await };
        let Some(number) = warm_pool.make(&kind, making) else { return };
        tokio::spawn(async move {
            tokio::time::sleep(MAX_IDLE).await;
            if let Some(unwanted) = warm_pool.take_out(&kind, number)
                && let Ok(Some(session)) = unwanted.machine.await
            {
                end(session).await;
            }
        });
    }

    /// Ends the machines that wait, and those that are being made; no others are made from then on.
    pub async fn end_warm_pool(&self) {
        let Some(warm_pool) = &self.warm_pool else { return };
        let waiting = {
            let mut state = warm_pool.state();
            state.ended = true;
            std::mem::take(&mut state.waiting)
        };
        for one in waiting.into_values() {
            one.machine.abort();
            if let Ok(Some(session)) = one.machine.await {
                end(session).await;
            }
        }
    }

    async fn make_warm(&self, environment: &str, options: VmOptions) -> Option<Session> {
        // Nobody hears of it.
        let (events, mut unheard) = mpsc::channel(1);
        let hearing = async { while unheard.recv().await.is_some() {} };
        let making = async {
            let session = self.session(environment, options, &events).await.ok();
            drop(events);
            session
        };
        let (session, ()) = tokio::join!(making, hearing);
        let mut session = session?;
        let (machines, id) = (self.machines(), session.id.clone());
        let left = off_thread(move || {
            machines.release_slot(&id);
            Ok(())
        });
        let _ = left.await;
        if tokio::time::timeout(WARM_UP_LIMIT, warm_up(session.guest())).await != Ok(Ok(())) {
            end(session).await;
            return None;
        }
        session.workspace.permit = None;
        Some(session)
    }

    /// The kind of machine a run gets; `None` where it gets one of its own in any case.
    async fn kind(&self, environment: &str, options: VmOptions) -> Option<PoolKey> {
        if options.settings != Settings::default() {
            return None;
        }
        let installed = self.installed(environment).await.ok()?;
        let accelerator = self.accelerator(&installed).await.ok()?;
        let template = self.template_key(&installed, accelerator, options.size).await.ok()?.digest();
        Some(PoolKey { environment: environment.to_owned(), template })
    }
}

async fn warm_up(guest: &Guest) -> Result<(), GuestError> {
    for command in WARM_UP {
        run_quietly(guest, command).await?;
    }
    Ok(())
}

async fn end(session: Session) {
    // What could not be removed is removed by the next command.
    let _ = session.end().await;
}
