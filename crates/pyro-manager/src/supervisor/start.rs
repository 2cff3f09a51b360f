//! A supervisor's machine: started from a template, started again from its own disk, stopped.
//!
//! ```text
//! None ──start──▶ Guest ──stop──▶ None ──start again: booted from its own disk──▶ Guest
//!   └─no guest can be had, and the creator allowed it──▶ Host
//! ```

use std::path::Path;
use std::time::{Duration, Instant};

use pyro_engine::{Accelerator, Death};
use pyro_environment::Installed;
use pyro_store::record::Addresses;
use pyro_store::{Kind, Record};
use tokio::sync::mpsc;

use super::request::ExecRequest;
use crate::clock::{millis, wall_clock_ns};
use crate::environments::{Disk, disk_over};
use crate::error::Unavailable;
use crate::events::{EnvironmentProgress, RunEvent};
use crate::execution::Execution;
use crate::guest_command::command;
use crate::host_command::{HostCommand, notice};
use crate::host_processes::end_marked;
use crate::id::VmId;
use crate::limits::{MachineSize, NetworkPolicy};
use crate::network::{UplinkPlan, lost};
use crate::payload::{GUEST_AGENT, HOST_COMPAT, StartMode};
use crate::session::Live;
use crate::template::{Base, RestoreTarget};
use crate::{Error, Pyro};

/// How long a guest may take to end in an orderly way.
const SHUT_DOWN_LIMIT: Duration = Duration::from_secs(10);
/// Notices on their way to the creator.
const NOTICES: usize = 16;

/// Where commands run.
pub enum Workspace {
    /// Nowhere.
    None,
    /// In a guest.
    Guest(Box<Live>),
    /// On the host.
    Host,
}

/// What may become of a machine.
pub enum News {
    /// It has ended.
    Died(Death),
    /// It goes on, and reaches nothing any more; why.
    NetworkLost(String),
}

impl Workspace {
    /// Resolves when something has become of the machine by itself. Cancel safe.
    pub async fn news(&mut self) -> News {
        let Self::Guest(live) = self else { return std::future::pending().await };
        let Live { machine, uplink, loss_told, .. } = &mut **live;
        tokio::select! {
            biased;
            death = machine.died() => News::Died(death),
            why = lost(uplink), if !*loss_told => {
                *loss_told = true;
                News::NetworkLost(why)
            }
        }
    }

    /// Sends a command off.
    pub fn send(&self, id: &VmId, directory: &Path, request: &ExecRequest) -> Result<Execution, Error> {
        let limit = Duration::from_micros(request.timeout_us);
        match self {
            Self::Guest(live) => {
                let mut command =
                    command(&live.guest, &request.command).current_dir(request.cwd.as_str()).timeout(limit);
                for (key, value) in &request.environment {
                    command = command.env(key, value);
                }
                Ok(Execution::Guest(command.spawn()))
            }
            Self::Host => {
                let (text, cwd) = (&request.command, &request.cwd);
                let command = HostCommand::new(id, directory, text, cwd, &request.environment, limit)?;
                Ok(Execution::Host(command.spawn()?))
            }
            Self::None => Err(Unavailable::NotStarted { id: id.to_string(), state: "stopped" }.into()),
        }
    }

    /// Tells the guest what time it is. The host needs no telling.
    pub fn tell_time(&self) {
        if let Self::Guest(live) = self {
            live.guest.set_clock(wall_clock_ns());
        }
    }

    /// Ends the machine at once, with everything that runs in it.
    pub async fn end(&mut self, id: &VmId) {
        match std::mem::replace(self, Self::None) {
            Self::Guest(live) => live.end().await,
            Self::Host => end_marked(id).await,
            Self::None => {}
        }
    }

    /// Lets the guest write its disks first. One that does not answer is ended all the same.
    pub async fn shut_down(&mut self, id: &VmId) {
        if let Self::Guest(live) = self {
            let orderly = async {
                if live.guest.shut_down().await.is_ok() {
                    live.machine.died().await;
                }
            };
            let _ = tokio::time::timeout(SHUT_DOWN_LIMIT, orderly).await;
        }
        self.end(id).await;
    }
}

impl Pyro {
    /// Starts the machine of a record, and notes in it how. What the creator should know goes to
    /// `notices`.
    pub(super) async fn start_workspace(
        &self,
        record: &mut Record,
        directory: &Path,
        notices: &mpsc::Sender<RunEvent>,
    ) -> Result<Workspace, Error> {
        let began = Instant::now();
        let started = match self.start_guest(record, directory, notices).await {
            Err(error) if record.allow_host_compat && error.means_no_guest() => {
                let _ = notices.send(RunEvent::Notice(notice(&error))).await;
                record.execution_mode = HOST_COMPAT.into();
                record.boundary = Some("none".into());
                (record.accelerator, record.start_mode, record.layers) = (None, None, Vec::new());
                Workspace::Host
            }
            started => {
                let (mut live, mode, addresses) = started?;
                live.permit = None;
                let accelerator = live.machine.accelerator().name();
                record.addresses = addresses;
                record.execution_mode = GUEST_AGENT.into();
                record.boundary = Some(accelerator.into());
                record.accelerator = Some(accelerator.into());
                record.start_mode = Some(mode.as_str().into());
                record.layers = live.machine.layers().iter().map(|layer| (*layer).to_owned()).collect();
                Workspace::Guest(Box::new(live))
            }
        };
        record.start_ms = millis(began.elapsed());
        Ok(started)
    }

    async fn start_guest(
        &self,
        record: &mut Record,
        directory: &Path,
        notices: &mpsc::Sender<RunEvent>,
    ) -> Result<(Live, StartMode, Option<Addresses>), Error> {
        let (policy, mac_address) = (NetworkPolicy::of(record), record.id.mac_address());
        let network = self.off_thread(move |pyro| UplinkPlan::for_policy(&pyro.config, policy, mac_address)).await?;
        let installed = match self.installed(&record.environment).await {
            Ok(installed) => installed,
            Err(error) => return Err(self.off_thread(Pyro::check_engine).await.err().unwrap_or(error.into())),
        };
        let disk = disk_over(record, &installed)?;
        let accelerator = self.accelerator(&installed).await?;
        let started = match disk {
            Disk::Own => self.start_again(record, directory, &installed, accelerator, network.as_ref()).await,
            Disk::None => self.start_first(record, directory, &installed, accelerator, network.as_ref(), notices).await,
        };
        let addresses = network.as_ref().map(UplinkPlan::addresses);
        match started {
            Ok((live, mode)) => Ok((live, mode, addresses)),
            Err(error) => Err(self.reason(error).await),
        }
    }

    async fn start_first(
        &self,
        record: &mut Record,
        directory: &Path,
        installed: &Installed,
        accelerator: Accelerator,
        network: Option<&UplinkPlan>,
        notices: &mpsc::Sender<RunEvent>,
    ) -> Result<(Live, StartMode), Error> {
        let (events, mut heard) = mpsc::channel(NOTICES);
        let base = if record.kind == Kind::Vm { Base::Own } else { Base::Templates };
        let (size, id) = (MachineSize::of(record), record.id.clone());
        let start = async {
            let events = events;
            self.start(installed, accelerator, size, RestoreTarget { id: &id, directory, base, network }, &events).await
        };
        let relay = async {
            while let Some(event) = heard.recv().await {
                if matches!(event, RunEvent::Notice(_) | RunEvent::Environment(EnvironmentProgress::Template)) {
                    let _ = notices.send(event).await;
                }
            }
        };
        let (started, ()) = tokio::join!(start, relay);
        if started.is_ok() && record.kind == Kind::Vm {
            record.environment_digest = Some(installed.system_digest.clone());
        }
        started
    }

    /// Boots a VM that ran before from its own disk.
    async fn start_again(
        &self,
        record: &Record,
        directory: &Path,
        installed: &Installed,
        accelerator: Accelerator,
        network: Option<&UplinkPlan>,
    ) -> Result<(Live, StartMode), Error> {
        let key = self.template_key(installed, accelerator, MachineSize::of(record)).await?;
        let spec = crate::template::boot_again_spec(&record.id, directory, &key, installed)?;
        Ok((self.boot(spec, &record.id, network).await?, StartMode::Cold))
    }
}
