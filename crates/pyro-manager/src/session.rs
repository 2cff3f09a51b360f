//! A machine of this process, from its template to an answering guest.
//!
//! ```text
//! environment (pulled when not there) ─▶ accelerator ─▶ directory ─▶ template ─▶ restored ─▶ answers
//! ```
//!
//! The caller's process owns the machine: no daemon, no supervisor. When that process dies, the
//! kernel kills the machine, and the next command removes the directory.

mod own;

pub use own::Session;

use std::future::Future;
use std::time::{Duration, Instant};

use pyro_engine::{Accelerator, BootSpec, Machine, RestoreSpec, StartError};
use pyro_environment::Installed;
use pyro_guest::Identity;
use tokio::sync::mpsc;

use crate::events::{EnvironmentProgress, Phase, RunEvent, tell};
use crate::id::{VmId, identity};
use crate::limits::NetworkPolicy;
use crate::network::UplinkPlan;
use crate::payload::StartMode;
use crate::template::{Base, Lookup, RestoreTarget};
use crate::unpacker::{BOOT_LIMIT, attach, await_guest, in_time};
use crate::vm_directory::VmDirectory;
use crate::workspace::GuestWorkspace;
use crate::{Error, MachineSize, Pyro, VmOptions};

/// How long a restored guest may take to answer.
const RESTORE_LIMIT: Duration = Duration::from_secs(30);

impl Pyro {
    /// A machine of the environment, with its guest up and nothing run in it yet. It lives in this
    /// process, and dies with the thread that called this.
    ///
    /// # Errors
    /// [`Error`]; then nothing is left of it.
    pub async fn session(
        &self,
        environment: &str,
        options: VmOptions,
        events: &mpsc::Sender<RunEvent>,
    ) -> Result<Session, Error> {
        let began = Instant::now();
        let id = VmId::random()?;
        let mac_address = id.mac_address();
        let network = self
            .off_thread(move |pyro| {
                UplinkPlan::for_policy(&pyro.config, NetworkPolicy::of(options.settings), mac_address)
            })
            .await?;
        tell(events, RunEvent::Phase(Phase::Create { environment: environment.to_owned() })).await?;
        let installed = self.environment_for_run(environment, events).await?;
        let accelerator = self.accelerator(&installed).await?;
        let directory = VmDirectory::create(&self.machines(), &id, self.admission(options.size)).await?;
        let created = began.elapsed();
        tell(events, RunEvent::Phase(Phase::Start { vm_id: id.to_string() })).await?;
        let target =
            RestoreTarget { id: &id, directory: directory.path(), base: Base::Templates, network: network.as_ref() };
        let started = self.start(&installed, accelerator, options.size, target, events).await;
        let (workspace, mode) = match started {
            Ok(started) => started,
            Err(error) => {
                // The first error is the one to tell; what is left is removed by the next command.
                let _ = directory.remove().await;
                return Err(self.reason(error).await);
            }
        };
        Ok(Session { id, installed, workspace, mode, created, directory })
    }

    /// A QEMU that is too old fails in many ways; its version is the reason to tell.
    pub(crate) async fn reason(&self, error: Error) -> Error {
        if !error.means_no_guest() {
            return error;
        }
        self.off_thread(Pyro::check_engine).await.err().unwrap_or(error)
    }

    /// Restores a machine from its template. A template that is not there is made first; one that
    /// is damaged, or cannot be restored from, is dropped and made again, once.
    pub(crate) async fn start(
        &self,
        installed: &Installed,
        accelerator: Accelerator,
        size: MachineSize,
        target: RestoreTarget<'_>,
        events: &mpsc::Sender<RunEvent>,
    ) -> Result<(GuestWorkspace, StartMode), Error> {
        let key = self.template_key(installed, accelerator, size).await?;
        let mut mode = StartMode::Template;
        for _ in 0..3 {
            let permit = self.restore_permit().await;
            let problem = match self.find_template(installed, &key).await? {
                Lookup::Found(template) => {
                    let spec = template.restore_spec(target).await?;
                    match self.restore(spec, target.id, target.network).await {
                        Ok(live) => return Ok((GuestWorkspace { permit, ..live }, mode)),
                        Err(error) if mode == StartMode::Cold => return Err(error),
                        // What the host refused says nothing against the template.
                        Err(error @ Error::Start(StartError::Host { .. } | StartError::Program(_))) => {
                            return Err(error);
                        }
                        Err(error @ (Error::Start(_) | Error::DiedEarly { .. } | Error::GuestNotUp { .. })) => {
                            let failure = error.failure().error;
                            Some(failure.lines().next().unwrap_or_default().to_owned())
                        }
                        Err(error) => return Err(error),
                    }
                }
                Lookup::Missing => None,
                Lookup::Damaged(problem) => Some(problem),
            };
            drop(permit);
            match problem {
                Some(problem) => {
                    let notice = format!("the template was unusable; making it again: {problem}");
                    tell(events, RunEvent::Notice(notice)).await?;
                    self.drop_template(installed, &key).await?;
                }
                None => {
                    let _ = events.try_send(RunEvent::Environment(EnvironmentProgress::Template));
                    self.make_template(installed, &key).await?;
                    mode = StartMode::Cold;
                }
            }
        }
        Err(Error::Host {
            attempt: "make a template".into(),
            source: std::io::Error::other("another process removes it each time"),
        })
    }

    /// Restores a machine and gives it its identity. No command was sent when this fails.
    async fn restore(
        &self,
        spec: RestoreSpec,
        id: &VmId,
        network: Option<&UplinkPlan>,
    ) -> Result<GuestWorkspace, Error> {
        let mut spec = spec;
        spec.machine.nic = network.is_some();
        let started = in_time(self.engine.restore(spec), RESTORE_LIMIT);
        self.greet(started, id, network, RESTORE_LIMIT).await
    }

    /// The same for a machine that is booted from its own disk.
    pub(crate) async fn boot(
        &self,
        spec: BootSpec,
        id: &VmId,
        network: Option<&UplinkPlan>,
    ) -> Result<GuestWorkspace, Error> {
        let mut spec = spec;
        spec.machine.nic = network.is_some();
        let started = in_time(self.engine.boot(spec), BOOT_LIMIT);
        self.greet(started, id, network, BOOT_LIMIT).await
    }

    /// passt comes up while the machine does.
    async fn greet(
        &self,
        started: impl Future<Output = Result<Box<dyn Machine>, Error>>,
        id: &VmId,
        network: Option<&UplinkPlan>,
        limit: Duration,
    ) -> Result<GuestWorkspace, Error> {
        let mut uplink = network.map(UplinkPlan::open).transpose()?;
        let mut machine = started.await?;
        if let (Some(uplink), Some(nic)) = (&mut uplink, machine.take_nic_stream()) {
            uplink.connect(nic);
        }
        let guest = attach(&mut *machine);
        guest.start_handshake(Identity { network: network.map(UplinkPlan::for_the_guest), ..identity(id)? });
        let answered = await_guest(&mut *machine, guest.ready(), limit).await;
        let answered = match (answered, &mut uplink) {
            (Ok(()), Some(uplink)) => uplink.ready().await.map_err(Error::from),
            (answered, _) => answered,
        };
        let live = GuestWorkspace { machine, guest, uplink, loss_told: false, permit: None };
        match answered {
            Ok(()) => Ok(live),
            Err(error) => {
                live.end().await;
                Err(error)
            }
        }
    }
}
