//! One command in a machine of its own.
//!
//! ```text
//! prepare: a session, see session.rs; or the host itself, where no guest can be had and the caller
//!          asked for that, see run/on_host.rs
//! execute: command sent ─▶ output as it arrives ─▶ exit
//! remove:  machine ended, directory gone; also when anything above failed or the caller gave up
//! ```

mod capture;
mod on_host;
mod record;
mod request;

pub(crate) use capture::Executed;
pub(crate) use record::{How, record};
pub use request::RunRequest;

use std::convert::Infallible;
use std::time::Instant;

use pyro_guest::Guest;
use pyro_network::Uplink;
use tokio::sync::mpsc;

use crate::clock::{WallClock, wall_clock_ns};
use crate::events::{Phase, RunEvent, RunIo, tell};
use crate::network::lost;
use crate::payload::{GUEST_AGENT, Isolation, RunRecord, WORKSPACE};
use crate::session::Session;
use crate::workspace::{CommandSpec, GuestWorkspace, check_command};
use crate::{Error, Pyro};
use capture::{Failed, end_of_life, execute};

impl Pyro {
    /// Runs one command in a machine of its own, and removes the machine.
    ///
    /// # Errors
    /// [`Error`]; then the command was not run, or how it ended is unknown and the error says so.
    /// In every case nothing of the machine is left.
    pub async fn run(&self, request: RunRequest, io: RunIo) -> Result<RunRecord, Error> {
        check_command(&request.command)?;
        let cancel = io.cancel.clone();
        let began = Instant::now();
        let (environment, options) = (request.environment.clone(), request.options);
        let session = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Cancelled),
            session = self.session_for_run(&request, &io.events) => session,
        };
        let session = match session {
            Err(error) if request.options.settings.allow_host_compat && error.means_no_guest() => {
                return on_host::run(self, request, io, &error).await;
            }
            session => session?,
        };
        let executed = session.execute(request, io, began).await;
        self.prepare_warm(&environment, options).await;
        executed
    }

    /// One that was kept ready, or a new one.
    async fn session_for_run(&self, request: &RunRequest, events: &mpsc::Sender<RunEvent>) -> Result<Session, Error> {
        let Some(session) = self.take_warm(request).await else {
            return self.session(&request.environment, request.options, events).await;
        };
        tell(events, RunEvent::Phase(Phase::Create { environment: request.environment.clone() })).await?;
        tell(events, RunEvent::Phase(Phase::Start { vm_id: session.id.to_string() })).await?;
        Ok(session)
    }
}

impl Session {
    async fn execute(mut self, request: RunRequest, io: RunIo, began: Instant) -> Result<RunRecord, Error> {
        let (created, life) = (self.created, request.options.ttl);
        let start = began.elapsed().saturating_sub(created);
        let spec = CommandSpec { text: &request.command, cwd: WORKSPACE, environment: &[], timeout: request.timeout };
        let stream = self.workspace.open(&spec);
        let executed = match tell(&io.events, RunEvent::Phase(Phase::Execute { vm_id: self.id.to_string() })).await {
            Ok(()) => {
                let GuestWorkspace { machine, guest, uplink, permit, .. } = &mut self.workspace;
                let events = io.events.clone();
                let command = execute(stream, machine.died(), permit.take(), request.timeout, io);
                tokio::select! {
                    biased;
                    executed = command => executed,
                    error = end_of_life(life) => Err(Failed::Error(error)),
                    never = tell_of_loss(uplink, events) => match never {},
                    never = keep_clock(guest) => match never {},
                }
            }
            Err(error) => Err(Failed::Error(error)),
        };
        let executed = match executed {
            Ok(executed) => Ok(executed),
            Err(Failed::ChannelClosed) => Err(Error::MachineLost { death: self.workspace.death_of_closed().await }),
            Err(Failed::Error(error)) => Err(error),
        };
        let accelerator = self.workspace.machine.accelerator();
        let layers = self.workspace.machine.layers().iter().map(|layer| (*layer).to_owned()).collect();
        let (vm_id, version, mode) = (self.id.to_string(), self.installed.entry.version, self.mode);
        self.end().await?;
        let boundary = accelerator.name().to_owned();
        let how = How {
            vm_id,
            version: version.into(),
            execution_mode: GUEST_AGENT.into(),
            accelerator: Some(boundary.clone()),
            start_mode: Some(mode),
            isolation: Isolation { boundary, layers },
            created,
            start,
            deleted: "post_exec_cleanup",
        };
        Ok(record(request.environment, request.command, how, executed?))
    }
}

/// The command goes on when its machine has lost its network, and the caller is told.
async fn tell_of_loss(uplink: &mut Option<Uplink>, events: mpsc::Sender<RunEvent>) -> Infallible {
    let why = lost(uplink).await;
    let _ = tell(&events, RunEvent::Notice(why)).await;
    drop(events);
    std::future::pending().await
}

/// The guest hears when the host's clock was set.
async fn keep_clock(guest: &Guest) -> Infallible {
    // Where the clock cannot be watched, commands run all the same.
    if let Ok(wall_clock) = WallClock::listen() {
        loop {
            wall_clock.was_set().await;
            guest.set_clock(wall_clock_ns());
        }
    }
    std::future::pending().await
}
