//! A machine of this process, from its template to an answering guest.
//!
//! ```text
//! environment (pulled when not there) ─▶ accelerator ─▶ directory ─▶ template ─▶ restored ─▶ answers
//! ```
//!
//! The caller's process owns the machine: no daemon, no supervisor. When that process dies, the
//! kernel kills the machine, and the next command removes the directory.

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use pyro_engine::{Accelerator, BootSpec, Death, Machine, RestoreSpec, StartError};
use pyro_environment::{EnvironmentError, Installed};
use pyro_guest::{Guest, Identity};
use pyro_hostfs::turn::Turn;
use pyro_network::Way;
use tokio::sync::mpsc;

use crate::clock::wall_clock_ns;
use crate::environments::EnvironmentProgress;
use crate::network::Connection;
use crate::payload::StartMode;
use crate::run::{Phase, RunEvent, tell};
use crate::template::{Base, Lookup};
use crate::unpacker::{BOOT_LIMIT, attach, await_guest, in_time};
use crate::vm::{VmDirectory, VmId, hex, random_bytes};
use crate::{Error, MachineSize, Pyro, VmOptions};

/// How long a restored guest may take to answer.
const RESTORE_LIMIT: Duration = Duration::from_secs(30);

/// A machine of this process whose guest has answered. Dropping it removes it.
pub struct Session {
    pub(crate) id: VmId,
    pub(crate) installed: Installed,
    pub(crate) live: Live,
    pub(crate) mode: StartMode,
    pub(crate) created: Duration,
    // Last, so that the machine is ended before its files go.
    directory: VmDirectory,
}

/// A machine whose guest answers. Dropping it ends it.
pub(crate) struct Live {
    pub machine: Box<dyn Machine>,
    pub guest: Guest,
    /// Its network. One that has ended still tells the guest so.
    pub way: Option<Way>,
    /// Its owner knows that the network has ended.
    pub loss_told: bool,
    /// Held until it has done its first work, so that others start no sooner.
    pub turn: Option<Turn>,
}

/// Where a machine is started.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub id: &'a VmId,
    pub directory: &'a Path,
    pub base: Base,
    /// The network it gets.
    pub connection: Option<&'a Connection>,
}

impl Live {
    /// Ends it, and waits until it is gone.
    pub async fn end(self) {
        self.machine.halt().await;
        if let Some(way) = self.way {
            way.close().await;
        }
    }
}

impl Session {
    /// The way to the guest.
    #[must_use]
    pub fn guest(&self) -> &Guest {
        &self.live.guest
    }

    /// Resolves when the machine has ended by itself.
    pub async fn died(&mut self) -> Death {
        self.live.machine.died().await
    }

    /// Whether the machine has ended by itself.
    pub(crate) async fn has_died(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.died() => true,
            () = std::future::ready(()) => false,
        }
    }

    /// Ends the machine and removes everything of it.
    ///
    /// # Errors
    /// [`Error::Host`] when something could not be removed.
    pub async fn end(self) -> Result<(), Error> {
        self.live.end().await;
        self.directory.remove().await
    }
}

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
        let connection = self.off_thread(move |pyro| pyro.connection(options.network, mac_address)).await?;
        tell(events, RunEvent::Phase(Phase::Create { environment: environment.to_owned() })).await?;
        let installed = self.environment_for_run(environment, events).await?;
        let accelerator = self.accelerator(&installed).await?;
        let directory = VmDirectory::create(&self.machines(), &id, self.admission(options.size)).await?;
        let created = began.elapsed();
        tell(events, RunEvent::Phase(Phase::Start { vm_id: id.to_string() })).await?;
        let place =
            Place { id: &id, directory: directory.path(), base: Base::Templates, connection: connection.as_ref() };
        let started = self.start(&installed, accelerator, options.size, place, events).await;
        let (live, mode) = match started {
            Ok(started) => started,
            Err(error) => {
                // The first error is the one to tell; what is left is swept by the next command.
                let _ = directory.remove().await;
                return Err(self.reason(error).await);
            }
        };
        Ok(Session { id, installed, live, mode, created, directory })
    }

    /// A QEMU that is too old fails in many ways; its version is the reason to tell.
    pub(crate) async fn reason(&self, error: Error) -> Error {
        if !error.means_no_guest() {
            return error;
        }
        self.off_thread(Pyro::check_engine).await.err().unwrap_or(error)
    }

    /// The installed environment. Where files have changed, their digests are taken: that may take long.
    pub(crate) async fn installed(&self, name: &str) -> Result<Installed, EnvironmentError> {
        let owned = name.to_owned();
        // An error of the outer result is none of the environment's.
        let looked = self.off_thread(move |pyro| Ok(pyro.store.installed(&owned))).await;
        looked.unwrap_or_else(|error| {
            let (attempt, source) = ("look at the environment".into(), std::io::Error::other(error));
            Err(EnvironmentError::Host { attempt, source })
        })
    }

    /// The environment, pulled when it is not installed, and made again when it is damaged.
    pub(crate) async fn environment_for_run(
        &self,
        name: &str,
        events: &mpsc::Sender<RunEvent>,
    ) -> Result<Installed, Error> {
        match self.installed(name).await {
            Ok(installed) => return Ok(installed),
            Err(EnvironmentError::NotInstalled { .. }) => {
                tell(events, RunEvent::Notice(format!("{name} is not installed; pulling it, once"))).await?;
            }
            Err(error @ EnvironmentError::Damaged { .. }) => {
                tell(events, RunEvent::Notice(format!("{error}; pulling it again"))).await?;
            }
            Err(error) => return Err(error.into()),
        }
        self.off_thread(Pyro::check_engine).await?;
        let mut report = |progress| drop(events.try_send(RunEvent::Environment(progress)));
        self.install(name, &mut report).await
    }

    /// Restores a machine from its template. A template that is not there is made first; one that
    /// is damaged, or cannot be restored from, is dropped and made again, once.
    pub(crate) async fn start(
        &self,
        installed: &Installed,
        accelerator: Accelerator,
        size: MachineSize,
        place: Place<'_>,
        events: &mpsc::Sender<RunEvent>,
    ) -> Result<(Live, StartMode), Error> {
        let key = self.template_key(installed, accelerator, size).await?;
        let mut mode = StartMode::Template;
        for _ in 0..3 {
            let turn = self.turn().await;
            let problem = match self.find_template(installed, &key).await? {
                Lookup::Found(template) => {
                    let spec = template.restore_spec(place).await?;
                    match self.restore(spec, place.id, place.connection).await {
                        Ok(live) => return Ok((Live { turn, ..live }, mode)),
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
            drop(turn);
            match problem {
                Some(problem) => {
                    let notice = format!("the template was unusable and is made again: {problem}");
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
            attempt: "make a template that stays".into(),
            source: std::io::Error::other("another process keeps removing it"),
        })
    }

    /// Restores a machine and gives it its identity. No command was sent when this fails.
    async fn restore(&self, spec: RestoreSpec, id: &VmId, connection: Option<&Connection>) -> Result<Live, Error> {
        let mut spec = spec;
        spec.machine.wire = connection.is_some();
        let started = in_time(self.engine.restore(spec), RESTORE_LIMIT);
        self.greet(started, id, connection, RESTORE_LIMIT).await
    }

    /// The same for a machine that is booted from its own disk.
    pub(crate) async fn boot(&self, spec: BootSpec, id: &VmId, connection: Option<&Connection>) -> Result<Live, Error> {
        let mut spec = spec;
        spec.machine.wire = connection.is_some();
        let started = in_time(self.engine.boot(spec), BOOT_LIMIT);
        self.greet(started, id, connection, BOOT_LIMIT).await
    }

    /// passt comes up while the machine does.
    async fn greet(
        &self,
        started: impl Future<Output = Result<Box<dyn Machine>, Error>>,
        id: &VmId,
        connection: Option<&Connection>,
        limit: Duration,
    ) -> Result<Live, Error> {
        let mut way = connection.map(Connection::open).transpose()?;
        let mut machine = started.await?;
        if let (Some(way), Some(wire)) = (&mut way, machine.take_wire()) {
            way.connect(wire);
        }
        let guest = attach(&mut *machine);
        guest.introduce(Identity { network: connection.map(Connection::for_the_guest), ..identity(id)? });
        let answered = await_guest(&mut *machine, guest.ready(), limit).await;
        let answered = match (answered, &mut way) {
            (Ok(()), Some(way)) => way.ready().await.map_err(Error::from),
            (answered, _) => answered,
        };
        let live = Live { machine, guest, way, loss_told: false, turn: None };
        match answered {
            Ok(()) => Ok(live),
            Err(error) => {
                live.end().await;
                Err(error)
            }
        }
    }
}

/// Who a machine is from now on.
pub(crate) fn identity(id: &VmId) -> Result<Identity, Error> {
    Ok(Identity {
        wall_clock_ns: wall_clock_ns(),
        entropy: random_bytes::<64>()?.to_vec(),
        host_name: id.to_string(),
        machine_id: hex(&random_bytes::<16>()?),
        network: None,
        mac_address: id.mac_address().to_vec(),
    })
}
