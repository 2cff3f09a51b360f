//! One command in a machine of its own.
//!
//! ```text
//! prepare: a session, see session.rs; or the host itself, where no guest can be had and the caller
//!          asked for that, see host_compat.rs
//! execute: command sent ─▶ output as it arrives ─▶ exit
//! remove:  machine ended, directory gone; also when anything above failed or the caller gave up
//! ```

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pyro_engine::{Death, Machine};
use pyro_guest::{Command, Exit, Guest, GuestError, OutputEvent};
use pyro_hostfs::turn::Turn;
use pyro_network::Way;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{Timer, WallClock, wall_clock_ns};
use crate::environments::EnvironmentProgress;
use crate::error::{Unavailable, host};
use crate::execution::Execution;
use crate::limits::{HostCompat, host_time_limit};
use crate::network::lost;
use crate::output::{Capture, Captured};
use crate::payload::{Cleanup, GUEST_AGENT, Isolation, RunRecord, StartMode, Timings, WORKSPACE};
use crate::session::Live;
use crate::{Error, Pyro, Session, VmOptions, host_compat, shell};

/// How long a command that runs may take for itself before others are restored beside it. Its first steps
/// are slow under software emulation, and most commands are over by then.
const REST_OF_TURN: Duration = Duration::from_millis(100);
/// A longer text is left to the shell alone: both ways together must fit into one frame.
const MOST_DIRECT: usize = 4_000;
/// Bytes of a command at most. With its environment it travels to the guest in one frame.
const MOST_COMMAND: usize = 40_000;
/// How long the process of a machine whose channel has closed is waited for.
pub(crate) const DEATH_GRACE: Duration = Duration::from_secs(5);

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
    /// A task's or VM's command is in the journal and runs.
    Accepted {
        /// The task's or VM's id.
        id: String,
        /// The command's number.
        sequence: u64,
    },
    /// The command runs.
    Execute {
        /// The machine's id.
        vm_id: String,
    },
}

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
            Err(error) if request.options.host_compat == HostCompat::Allowed && error.means_no_guest() => {
                return host_compat::run(self, request, io, &error).await;
            }
            session => session?,
        };
        let executed = session.execute(request, io, began).await;
        self.prepare_standby(&environment, options).await;
        executed
    }

    /// One that was kept ready, or a new one.
    async fn session_for_run(&self, request: &RunRequest, events: &mpsc::Sender<RunEvent>) -> Result<Session, Error> {
        let Some(session) = self.take_standby(request).await else {
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
        let running =
            command(&self.live.guest, &request.command).current_dir(WORKSPACE).timeout(request.timeout).spawn();
        let executed = match tell(&io.events, RunEvent::Phase(Phase::Execute { vm_id: self.id.to_string() })).await {
            Ok(()) => {
                let Live { machine, guest, way, turn, .. } = &mut self.live;
                let events = io.events.clone();
                let running = Execution::Guest(running);
                let command = execute(running, Some(&mut **machine), turn.take(), request.timeout, io);
                tokio::select! {
                    biased;
                    executed = command => executed,
                    error = end_of_life(life) => Err(error),
                    never = tell_of_loss(way, events) => match never {},
                    never = keep_clock(guest) => match never {},
                }
            }
            Err(error) => Err(error),
        };
        let accelerator = self.live.machine.accelerator();
        let layers = self.live.machine.layers().iter().map(|layer| (*layer).to_owned()).collect();
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
async fn tell_of_loss(way: &mut Option<Way>, events: mpsc::Sender<RunEvent>) -> Infallible {
    let why = lost(way).await;
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

/// Resolves when a run may not go on, with the reason.
pub(crate) async fn end_of_life(life: Duration) -> Error {
    match Timer::ringing_after(life) {
        Ok(timer) => {
            timer.rung().await;
            Unavailable::RunExpired { ttl_seconds: life.as_secs() }.into()
        }
        Err(error) => host("set the timer of its life")(error),
    }
}

/// How a command was run, for its record.
pub(crate) struct How {
    pub vm_id: String,
    pub version: String,
    pub execution_mode: String,
    pub accelerator: Option<String>,
    pub start_mode: Option<StartMode>,
    pub isolation: Isolation,
    pub created: Duration,
    pub start: Duration,
    pub deleted: &'static str,
}

/// The contract's payload.
pub(crate) fn record(environment: String, command: String, how: How, executed: Executed) -> RunRecord {
    let Executed { exit, stdout, stderr, took } = executed;
    RunRecord {
        environment,
        environment_version: how.version,
        command,
        stdout: stdout.text,
        stderr: stderr.text,
        stdout_truncated: stdout.truncated,
        stderr_truncated: stderr.truncated,
        stdout_bytes: stdout.bytes,
        stderr_bytes: stderr.bytes,
        exit_code: exit.code,
        timed_out: exit.timed_out,
        out_of_memory: exit.out_of_memory,
        duration_ms: u64::try_from(exit.duration.as_millis()).unwrap_or(u64::MAX),
        execution_mode: how.execution_mode,
        accelerator: how.accelerator,
        start_mode: how.start_mode,
        isolation: how.isolation,
        timings_ms: Timings { create: millis(how.created), start: millis(how.start), exec: millis(took) },
        cleanup: Cleanup { vm_id: how.vm_id.clone(), deleted: true, reason: how.deleted },
        vm_id: how.vm_id,
    }
}

/// A command must be something that can be run.
pub(crate) fn check_command(command: &str) -> Result<(), Error> {
    if command.trim().is_empty() {
        return Err(Error::InvalidArgument { problem: "there is no command to run".into() });
    }
    if command.len() > MOST_COMMAND {
        let problem = format!(
            "the command has {} bytes; {MOST_COMMAND} are allowed: give it as standard input (`sh -s`), or from a file",
            command.len()
        );
        return Err(Error::InvalidArgument { problem });
    }
    if command.contains('\0') {
        return Err(Error::InvalidArgument { problem: "the command has a zero byte in it".into() });
    }
    Ok(())
}

/// What came of a command.
pub(crate) struct Executed {
    pub exit: Exit,
    pub stdout: Captured,
    pub stderr: Captured,
    pub took: Duration,
}

/// Follows a command to its end. It is over, too, when the machine it runs in is. The turn ends with
/// the command, or soon after it runs.
pub(crate) async fn execute(
    mut running: Execution,
    machine: Option<&mut dyn Machine>,
    turn: Option<Turn>,
    timeout: Duration,
    io: RunIo,
) -> Result<Executed, Error> {
    let began = Instant::now();
    let (mut machine, mut turn) = (machine, turn);
    let RunIo { events, stdin, cancel } = io;
    // Dropped with this function, however it ends.
    let mut beside = JoinSet::new();
    running.input().feed(stdin, &mut beside);
    let (mut stdout, mut stderr) = (Capture::default(), Capture::default());
    let backstop = tokio::time::sleep(host_time_limit(timeout));
    tokio::pin!(backstop);
    let exit = loop {
        let event = tokio::select! {
            // A guest that never stops talking must not keep the others from their turn; what it
            // said before it died is heard before its death.
            biased;
            () = cancel.cancelled() => break Err(Error::Cancelled),
            () = &mut backstop => break Ok(ended_by_host(timeout)),
            event = running.next() => event,
            death = end_by_itself(&mut machine) => break Err(Error::MachineLost { death }),
        };
        match event {
            Ok(OutputEvent::Started) => drop(beside.spawn(end_soon(turn.take()))),
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
            Err(GuestError::Gone) => break Err(Error::MachineLost { death: end_of(machine).await }),
            Err(error) => break Err(Error::GuestNonsense(error)),
        }
    };
    Ok(Executed { exit: exit?, stdout: stdout.finish(), stderr: stderr.finish(), took: began.elapsed() })
}

async fn end_soon(turn: Option<Turn>) {
    tokio::time::sleep(REST_OF_TURN).await;
    drop(turn);
}

/// The machine is ended with everything in it, so no process of the command is left either.
fn ended_by_host(timeout: Duration) -> Exit {
    Exit { code: 124, timed_out: true, out_of_memory: false, duration: host_time_limit(timeout) }
}

async fn end_by_itself(machine: &mut Option<&mut dyn Machine>) -> Death {
    match machine {
        Some(machine) => machine.died().await,
        None => std::future::pending().await,
    }
}

async fn end_of(machine: Option<&mut dyn Machine>) -> Death {
    let closed = |console| Death { status: "the guest closed its channel".into(), complaints: Vec::new(), console };
    let Some(machine) = machine else { return closed(Vec::new()) };
    match tokio::time::timeout(DEATH_GRACE, machine.died()).await {
        Ok(death) => death,
        Err(_) => closed(machine.console_tail()),
    }
}

/// A command for the guest: its program directly where that is the same, else by the shell.
pub(crate) fn command<'a>(guest: &'a Guest, text: &str) -> Command<'a> {
    let by_shell = ["-c", text];
    match shell::direct(text).filter(|_| text.len() <= MOST_DIRECT) {
        Some(words) => {
            let (program, arguments) = words.split_first().expect("a direct command has a program");
            guest.command(program.as_str()).args(arguments.iter().map(String::as_str)).or_else("/bin/sh").args(by_shell)
        }
        None => guest.command("/bin/sh").args(by_shell),
    }
}

/// Tells the caller; one that does not listen any more has given up.
pub(crate) async fn tell(events: &mpsc::Sender<RunEvent>, event: RunEvent) -> Result<(), Error> {
    events.send(event).await.map_err(|_| Error::Cancelled)
}

pub(crate) async fn tell_unless(
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

pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
