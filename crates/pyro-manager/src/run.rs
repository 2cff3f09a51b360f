//! One command in a machine of its own.
//!
//! ```text
//! prepare: environment ─▶ accelerator ─▶ directory ─▶ template ─▶ machine restored, guest answers
//! execute: command sent ─▶ output as it arrives ─▶ exit
//! remove:  machine ended, directory gone; also when anything above failed or the caller gave up
//! ```
//!
//! The caller's process owns the machine: no daemon, no supervisor. When that process dies, the
//! kernel kills the machine, and the next command removes the directory.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use pyro_engine::{Accelerator, Death, Machine};
use pyro_environment::Installed;
use pyro_guest::{Command, Exit, Guest, GuestError, Identity, OutputEvent, Running};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::environments::EnvironmentProgress;
use crate::limits::NetworkPolicy;
use crate::output::{Capture, Captured};
use crate::payload::{Cleanup, GUEST_AGENT, Isolation, RunRecord, StartMode, Timings};
use crate::template::Lookup;
use crate::unpacker::{attach, await_guest, in_time};
use crate::vm::{VmDirectory, VmId, hex, random_bytes};
use crate::{Error, MachineSize, Pyro, VmOptions, shell};

/// How long a restored guest may take to answer.
const RESTORE_LIMIT: Duration = Duration::from_secs(30);
/// The guest enforces a command's time limit; this long after it, the machine is ended instead.
const TIMEOUT_GRACE: Duration = Duration::from_secs(10);
/// How long the process of a machine whose channel has closed is waited for.
const DEATH_GRACE: Duration = Duration::from_secs(5);
/// Where commands run.
const WORKSPACE: &str = "/workspace";

/// A command to be run.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The environment's name.
    pub environment: String,
    /// A text for the guest's shell.
    pub command: String,
    /// Its time limit, see [`crate::limits`].
    pub timeout: Duration,
    /// The machine.
    pub options: VmOptions,
}

/// How a run talks to its caller.
#[derive(Debug)]
pub struct RunIo {
    /// Gets what happens, in order. A receiver that is gone cancels the run.
    pub events: mpsc::Sender<RunEvent>,
    /// The command's standard input; its end is the end of the input. None is an empty one.
    pub stdin: Option<mpsc::Receiver<Bytes>>,
    /// Cancelling it ends the command and removes the machine.
    pub cancel: CancellationToken,
}

/// What happens during a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// A phase begins.
    Phase(Phase),
    /// The environment is being made ready.
    Environment(EnvironmentProgress),
    /// Something the user should know.
    Notice(String),
    /// Bytes of standard output.
    Stdout(Bytes),
    /// Bytes of standard error.
    Stderr(Bytes),
}

/// The phases of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The environment is looked up.
    Create {
        /// Its name.
        environment: String,
    },
    /// The machine starts.
    Start {
        /// Its id.
        vm_id: String,
    },
    /// The command runs.
    Execute {
        /// The machine's id.
        vm_id: String,
    },
}

/// A machine of this process whose guest has answered. Dropping it removes it.
pub struct Session {
    id: VmId,
    installed: Installed,
    machine: Box<dyn Machine>,
    guest: Guest,
    mode: StartMode,
    created: Duration,
    // Last, so that the machine is ended before its files go.
    directory: VmDirectory,
}

impl Session {
    /// The way to the guest.
    #[must_use]
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Process id of the machine, where it is a process.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.machine.process_id()
    }

    /// Resolves when the machine has ended by itself.
    pub async fn died(&mut self) -> Death {
        self.machine.died().await
    }

    /// Ends the machine and removes everything of it.
    ///
    /// # Errors
    /// [`Error::Host`] when something could not be removed.
    pub async fn end(self) -> Result<(), Error> {
        self.machine.halt().await;
        self.directory.remove()
    }
}

impl Pyro {
    /// Runs one command in a machine of its own, and removes the machine.
    ///
    /// # Errors
    /// [`Error`]; then the command was not run, or how it ended is unknown and the error says so.
    /// In every case nothing of the machine is left.
    pub async fn run(&self, request: RunRequest, io: RunIo) -> Result<RunRecord, Error> {
        check(&request)?;
        let cancel = io.cancel.clone();
        let began = Instant::now();
        let mut session = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Cancelled),
            session = self.session(&request.environment, request.options, &io.events) => session?,
        };
        let created = session.created;
        let start = began.elapsed().saturating_sub(created);
        let executed = execute(&mut session, &request, io).await;
        let (accelerator, layers) = (session.machine.accelerator(), session.machine.layers().to_vec());
        let (vm_id, version, mode) = (session.id.to_string(), session.installed.entry.version, session.mode);
        session.end().await?;
        let Executed { exit, stdout, stderr, took } = executed?;
        Ok(RunRecord {
            environment: request.environment,
            environment_version: version.into(),
            command: request.command,
            stdout: stdout.text,
            stderr: stderr.text,
            stdout_truncated: stdout.truncated,
            stderr_truncated: stderr.truncated,
            exit_code: exit.code,
            timed_out: exit.timed_out,
            out_of_memory: exit.out_of_memory,
            duration_ms: u64::try_from(exit.duration.as_millis()).unwrap_or(u64::MAX),
            execution_mode: GUEST_AGENT,
            accelerator: Some(accelerator.name()),
            start_mode: Some(mode),
            isolation: Isolation { boundary: accelerator.name(), layers },
            timings_ms: Timings { create: millis(created), start: millis(start), exec: millis(took) },
            cleanup: Cleanup { vm_id: vm_id.clone(), deleted: true, reason: "post_exec_cleanup" },
            vm_id,
        })
    }

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
        tell(events, RunEvent::Phase(Phase::Create { environment: environment.to_owned() })).await?;
        let installed = self.environment_for_run(environment, events).await?;
        let accelerator = self.accelerator(&installed).await?;
        let id = VmId::random()?;
        let directory = VmDirectory::create(&self.vms(), &id)?;
        let created = began.elapsed();
        tell(events, RunEvent::Phase(Phase::Start { vm_id: id.to_string() })).await?;
        let started = self.start(&installed, accelerator, options.size, &id, &directory, events).await;
        // A QEMU that is too old fails in many ways; its version is the reason to tell.
        let (machine, guest, mode) = started.map_err(|error| match self.check_engine() {
            Err(reason) if error.means_no_guest() => reason,
            _ => error,
        })?;
        Ok(Session { id, installed, machine, guest, mode, created, directory })
    }

    /// The environment, pulled when it is not installed, and made again when it is damaged.
    async fn environment_for_run(&self, name: &str, events: &mpsc::Sender<RunEvent>) -> Result<Installed, Error> {
        match self.store.installed(name) {
            Ok(installed) => return Ok(installed),
            Err(pyro_environment::EnvironmentError::NotInstalled { .. }) => {
                tell(events, RunEvent::Notice(format!("{name} is not installed; pulling it, once"))).await?;
            }
            Err(error @ pyro_environment::EnvironmentError::Damaged { .. }) => {
                tell(events, RunEvent::Notice(format!("{error}; removing it and pulling it again"))).await?;
            }
            Err(error) => return Err(error.into()),
        }
        self.check_engine()?;
        let mut report = |progress| drop(events.try_send(RunEvent::Environment(progress)));
        self.install(name, &mut report).await
    }

    /// Restores a machine from its template. A template that is not there is made first; one that
    /// is damaged, or cannot be restored from, is dropped and made again, once.
    async fn start(
        &self,
        installed: &Installed,
        accelerator: Accelerator,
        size: MachineSize,
        id: &VmId,
        directory: &VmDirectory,
        events: &mpsc::Sender<RunEvent>,
    ) -> Result<(Box<dyn Machine>, Guest, StartMode), Error> {
        let key = self.template_key(installed, accelerator, size)?;
        let mut mode = StartMode::Template;
        for _ in 0..3 {
            let problem = match self.find_template(installed, &key).await? {
                Lookup::Found(template) => {
                    let spec = template.restore_spec(id, directory.path())?;
                    match self.restore(spec, id).await {
                        Ok((machine, guest)) => return Ok((machine, guest, mode)),
                        Err(error) if mode == StartMode::Cold => return Err(error),
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
    pub(crate) async fn restore(
        &self,
        spec: pyro_engine::RestoreSpec,
        id: &VmId,
    ) -> Result<(Box<dyn Machine>, Guest), Error> {
        let mut machine = in_time(self.engine.restore(spec), RESTORE_LIMIT).await?;
        let guest = attach(&mut *machine);
        guest.introduce(identity(id)?);
        match await_guest(&mut *machine, guest.ready(), RESTORE_LIMIT).await {
            Ok(()) => Ok((machine, guest)),
            Err(error) => {
                machine.halt().await;
                Err(error)
            }
        }
    }
}

fn check(request: &RunRequest) -> Result<(), Error> {
    if request.command.trim().is_empty() {
        return Err(Error::InvalidArgument { problem: "there is no command to run".into() });
    }
    if request.command.contains('\0') {
        return Err(Error::InvalidArgument { problem: "the command has a zero byte in it".into() });
    }
    match request.options.network {
        NetworkPolicy::Off => Ok(()),
        NetworkPolicy::Egress => Err(Error::NotInThisRelease { what: "a network for guests (--network)" }),
    }
}

struct Executed {
    exit: Exit,
    stdout: Captured,
    stderr: Captured,
    took: Duration,
}

async fn execute(session: &mut Session, request: &RunRequest, io: RunIo) -> Result<Executed, Error> {
    let began = Instant::now();
    let Session { machine, guest, id, .. } = session;
    let mut running = command(guest, &request.command).current_dir(WORKSPACE).timeout(request.timeout).spawn();
    let RunIo { events, stdin, cancel } = io;
    let feeding = feed(&running, stdin);
    tell(&events, RunEvent::Phase(Phase::Execute { vm_id: id.to_string() })).await?;
    let (mut stdout, mut stderr) = (Capture::default(), Capture::default());
    let backstop = tokio::time::sleep(request.timeout + TIMEOUT_GRACE);
    tokio::pin!(backstop);
    let exit = loop {
        let event = tokio::select! {
            biased;
            event = running.next() => event,
            () = cancel.cancelled() => break Err(Error::Cancelled),
            death = machine.died() => break Err(Error::MachineLost { death }),
            () = &mut backstop => break Ok(ended_by_host(request.timeout)),
        };
        match event {
            Ok(OutputEvent::Started) => {}
            Ok(OutputEvent::Stdout(bytes)) => {
                stdout.push(&bytes);
                tell_unless(&cancel, &events, RunEvent::Stdout(bytes)).await?;
            }
            Ok(OutputEvent::Stderr(bytes)) => {
                stderr.push(&bytes);
                tell_unless(&cancel, &events, RunEvent::Stderr(bytes)).await?;
            }
            Ok(OutputEvent::Exited(exit)) => break Ok(exit),
            Err(GuestError::Refused(refusal)) => break Err(Error::CommandRefused(refusal)),
            Err(GuestError::Gone) => break Err(Error::MachineLost { death: end_of(&mut **machine).await }),
            Err(error) => break Err(Error::GuestNonsense(error)),
        }
    };
    feeding.abort();
    Ok(Executed { exit: exit?, stdout: stdout.finish(), stderr: stderr.finish(), took: began.elapsed() })
}

/// The machine is ended with everything in it, so no process of the command is left either.
fn ended_by_host(timeout: Duration) -> Exit {
    Exit { code: 124, timed_out: true, out_of_memory: false, duration: timeout + TIMEOUT_GRACE }
}

/// Passes the caller's input on, no faster than the command reads.
fn feed(running: &Running, input: Option<mpsc::Receiver<Bytes>>) -> tokio::task::JoinHandle<()> {
    let stdin = running.stdin();
    tokio::spawn(async move {
        if let Some(mut input) = input {
            while let Some(bytes) = input.recv().await {
                if !stdin.write(&bytes).await {
                    return;
                }
            }
        }
        stdin.end();
    })
}

async fn end_of(machine: &mut dyn Machine) -> Death {
    match tokio::time::timeout(DEATH_GRACE, machine.died()).await {
        Ok(death) => death,
        Err(_) => Death {
            status: "the guest closed its channel".into(),
            complaints: Vec::new(),
            console: machine.console_tail(),
        },
    }
}

/// A command for the guest: its program directly where that is the same, else by the shell.
pub(crate) fn command<'a>(guest: &'a Guest, text: &str) -> Command<'a> {
    let by_shell = ["-c", text];
    match shell::direct(text) {
        Some(words) => {
            let (program, arguments) = words.split_first().expect("a direct command has a program");
            guest.command(program.as_str()).args(arguments.iter().map(String::as_str)).or_else("/bin/sh").args(by_shell)
        }
        None => guest.command("/bin/sh").args(by_shell),
    }
}

/// Who a machine is from now on.
pub(crate) fn identity(id: &VmId) -> Result<Identity, Error> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Identity {
        wall_clock_ns: u64::try_from(since.as_nanos()).unwrap_or(0),
        entropy: random_bytes::<64>()?.to_vec(),
        host_name: id.to_string(),
        machine_id: hex(&random_bytes::<16>()?),
    })
}

/// Tells the caller; one that does not listen any more has given up.
async fn tell(events: &mpsc::Sender<RunEvent>, event: RunEvent) -> Result<(), Error> {
    events.send(event).await.map_err(|_| Error::Cancelled)
}

async fn tell_unless(
    cancel: &CancellationToken,
    events: &mpsc::Sender<RunEvent>,
    event: RunEvent,
) -> Result<(), Error> {
    tokio::select! {
        biased;
        told = tell(events, event) => told,
        () = cancel.cancelled() => Err(Error::Cancelled),
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
