//! A supervisor's machine: started from a template, started again from its own disk, stopped.
//!
//! [`Workspace`] says what it may be.

use std::path::Path;
use std::time::Instant;

use pyro_engine::Accelerator;
use pyro_environment::Installed;
use pyro_store::record::Addresses;
use pyro_store::{Kind, Record};
use tokio::sync::mpsc;

use crate::clock::millis;
use crate::environments::{Disk, disk_over};
use crate::error::host;
use crate::events::{EnvironmentProgress, RunEvent};
use crate::limits::{MachineSize, NetworkPolicy};
use crate::network::UplinkPlan;
use crate::payload::{GUEST_AGENT, HOST_COMPAT, StartMode};
use crate::template::{Base, RestoreTarget};
use crate::vm_directory::SEED_MANIFEST;
use crate::workspace::{GuestWorkspace, HostWorkspace, Workspace, notice};
use crate::{Error, Pyro};

/// Notices on their way to the creator.
const NOTICES: usize = 16;

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
        if record.kind == Kind::Task && record.execution_mode == HOST_COMPAT {
            // Its workspace is on the host, and no guest has it.
            record.start_ms = millis(began.elapsed());
            return Ok(Workspace::Host(HostWorkspace::new(record.id.clone(), directory.to_owned())));
        }
        let started = match self.start_guest(record, directory, notices).await {
            Err(error) if record.settings.allow_host_compat && error.means_no_guest() => {
                let _ = notices.send(RunEvent::Notice(notice(&error))).await;
                record.execution_mode = HOST_COMPAT.into();
                record.boundary = Some("none".into());
                (record.accelerator, record.start_mode, record.layers) = (None, None, Vec::new());
                Workspace::Host(HostWorkspace::new(record.id.clone(), directory.to_owned()))
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
    ) -> Result<(GuestWorkspace, StartMode, Option<Addresses>), Error> {
        let (policy, mac_address) = (NetworkPolicy::of(record.settings), record.id.mac_address());
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
    ) -> Result<(GuestWorkspace, StartMode), Error> {
        let (events, mut heard) = mpsc::channel(NOTICES);
        let (size, id) = (MachineSize::of(record), record.id.clone());
        let start = async {
            let events = events;
            self.start(
                installed,
                accelerator,
                size,
                RestoreTarget { id: &id, directory, base: Base::Own, network },
                &events,
            )
            .await
        };
        let relay = async {
            while let Some(event) = heard.recv().await {
                if matches!(event, RunEvent::Notice(_) | RunEvent::Environment(EnvironmentProgress::Template)) {
                    let _ = notices.send(event).await;
                }
            }
        };
        let (started, ()) = tokio::join!(start, relay);
        if started.is_ok() {
            record.environment_digest = Some(installed.system_digest.clone());
        }
        started
    }

    /// Boots a machine that ran before from its own disk.
    async fn start_again(
        &self,
        record: &Record,
        directory: &Path,
        installed: &Installed,
        accelerator: Accelerator,
        network: Option<&UplinkPlan>,
    ) -> Result<(GuestWorkspace, StartMode), Error> {
        let key = self.template_key(installed, accelerator, MachineSize::of(record)).await?;
        let spec = crate::template::boot_again_spec(&record.id, directory, &key, installed)?;
        let workspace = self.boot(spec, &record.id, network).await?;
        let seeded = directory.join(SEED_MANIFEST).try_exists().map_err(host("look for the seed's manifest"))?;
        if seeded && let Err(error) = workspace.mount_seed().await {
            workspace.end().await;
            return Err(error);
        }
        Ok((workspace, StartMode::Cold))
    }
}
