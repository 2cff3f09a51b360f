//! The one owner of a machine and its record. Everybody else sends it letters.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pyro_engine::Death;
use pyro_hostfs::lock::Lock;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::command::{Commands, Joined};
use super::start::Workspace;
use super::wire::{ExecRequest, Reply, Talk};
use super::{SOCKET, serve};
use crate::clock::{Timer, now};
use crate::error::{Unavailable, host};
use crate::journal::{Began, Journal};
use crate::machines::Machines;
use crate::registry::{Ended, Kind, Record, State};
use crate::vm::VmId;
use crate::{Error, Pyro};

/// Letters on their way.
const LETTERS: usize = 64;
/// How long clients have to hear the last answer.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the owner is asked or told.
pub enum Letter {
    /// Run a command.
    Exec { request: ExecRequest, answer: oneshot::Sender<Result<Joined, Error>> },
    /// Start the machine.
    Start { answer: oneshot::Sender<Result<Record, Error>> },
    /// Stop the machine.
    Stop { answer: oneshot::Sender<Result<Record, Error>> },
    /// Count the life anew.
    Extend { ttl_seconds: u64, answer: oneshot::Sender<Result<Record, Error>> },
    /// Remove everything. The answer comes when that is done.
    Delete { answer: oneshot::Sender<Result<(), Error>> },
    /// The guest cannot be trusted or does not answer any more.
    Trouble { what: String },
    /// The command was to be the last one.
    LastCommandEnded,
}

/// The owner.
pub struct Actor {
    pyro: Arc<Pyro>,
    machines: Machines,
    directory: PathBuf,
    record: Record,
    workspace: Workspace,
    commands: Commands,
    letters: mpsc::Receiver<Letter>,
    sender: mpsc::Sender<Letter>,
    timer: Timer,
    listener: Option<JoinHandle<()>>,
    closing: tokio_util::sync::CancellationToken,
    /// The registry does not know the record as it is.
    unsaved: bool,
    _life: Lock,
}

/// What ends the life of a supervisor.
enum End {
    /// Everything is removed, and remembered so. Somebody may wait to hear of it.
    Remove(Ended, Option<oneshot::Sender<Result<(), Error>>>),
    /// The process was asked to end; the directory stays.
    StepDown,
}

impl Actor {
    /// Takes the directory over: journal, socket, timer. The lock is held from here to the end.
    pub async fn prepare(pyro: Arc<Pyro>, id: VmId, life: Lock) -> Result<Self, Error> {
        let machines = pyro.machines();
        let directory = machines.directory(&id);
        let record = Record::read(&directory).ok_or_else(|| Error::InvalidArgument {
            problem: format!("{} has no record", directory.display()),
        })?;
        let cap = pyro.config.journal_cap;
        let journal = match record.state {
            State::Creating => Journal::create(&directory, cap)?,
            _ => Journal::adopt(&directory, cap)?,
        };
        let (sender, letters) = mpsc::channel(LETTERS);
        let commands = Commands::new(pyro.clone(), journal, sender.clone());
        let timer = timer(&record)?;
        let closing = tokio_util::sync::CancellationToken::new();
        let listening = listen(&directory).map_err(host("listen on the machine's socket"))?;
        let listener = serve::serve(listening, sender.clone(), commands.table(), closing.clone());
        Ok(Self {
            pyro,
            machines,
            directory,
            record,
            workspace: Workspace::None,
            commands,
            letters,
            sender,
            timer,
            listener: Some(tokio::spawn(listener)),
            closing,
            unsaved: false,
            _life: life,
        })
    }

    /// Makes what its creator waits for, and stays.
    pub async fn live(mut self, mut creator: Talk, creating: Option<Lock>) -> Result<(), Error> {
        let is_new = self.record.state == State::Creating;
        let made = self.make(&mut creator).await;
        let ready = match made {
            Ok(()) => {
                self.step("ready.before");
                let told = creator.send(&Reply::Ready { record: self.record.clone() }).await;
                self.step("ready.after");
                // He hangs up when he has taken it, or when he is gone.
                while told.is_ok() && matches!(creator.ear.next().await, Ok(Some(_))) {}
                self.machines.is_taken(&self.record.id)
            }
            Err(error) => {
                self.undo(is_new).await;
                let _ = creator.send(&Reply::Failed { failure: error.failure() }).await;
                return Err(error);
            }
        };
        if !ready && is_new {
            self.undo(true).await;
            return Ok(());
        }
        self.step("taken");
        drop((creator, creating));
        let end = self.serve().await;
        self.finish(end).await;
        Ok(())
    }

    /// A task gets its machine now; a VM when it is asked for. A creator that goes away meanwhile
    /// has given up.
    async fn make(&mut self, creator: &mut Talk) -> Result<(), Error> {
        if self.record.state != State::Creating {
            return Ok(());
        }
        let mut state = State::Created;
        if self.record.kind == Kind::Task {
            let (notices, mut heard) = mpsc::channel(16);
            let Talk { ear, mouth } = creator;
            let start = async {
                let notices = notices;
                self.pyro.start_workspace(&mut self.record, &self.directory, &notices).await
            };
            let relay = async {
                while let Some(notice) = heard.recv().await {
                    let _ = mouth.send(&notice).await;
                }
            };
            let started = async { tokio::join!(start, relay).0 };
            self.workspace = tokio::select! {
                started = started => started?,
                _ = ear.next() => return Err(Error::Cancelled),
            };
            state = State::Started;
        }
        self.record.state = state;
        self.step("started.before");
        self.save().await?;
        self.step("started.after");
        Ok(())
    }

    /// Nobody got it: as if it had never been. One that was there before stays.
    async fn undo(&mut self, is_new: bool) {
        self.workspace.end(&self.record.id).await;
        if is_new {
            // A failure leaves it to the next sweep.
            let _ = self.machines.undo(&self.record.id);
        }
    }

    /// Serves until something ends its life.
    async fn serve(&mut self) -> End {
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return End::StepDown };
        loop {
            tokio::select! {
                biased;
                () = self.timer.rung() => return End::Remove(Ended::Expired, None),
                _ = terminate.recv() => return End::StepDown,
                death = self.workspace.died() => self.machine_died(&death).await,
                () = self.commands.collect() => {}
                letter = self.letters.recv() => {
                    let letter = letter.expect("the actor holds a sender itself");
                    if let Some(end) = self.answer(letter).await {
                        return end;
                    }
                }
            }
            if self.unsaved {
                let _ = self.save().await;
            }
        }
    }

    async fn answer(&mut self, letter: Letter) -> Option<End> {
        match letter {
            Letter::Exec { request, answer } => drop(answer.send(self.exec(&request))),
            Letter::Extend { ttl_seconds, answer } => drop(answer.send(self.extend(ttl_seconds).await)),
            Letter::Stop { answer } => drop(answer.send(self.stop().await)),
            Letter::Start { answer } => match self.start().await {
                Ok(result) => drop(answer.send(result)),
                Err(end) => return Some(end),
            },
            Letter::Delete { answer } => return Some(End::Remove(Ended::Deleted, Some(answer))),
            Letter::LastCommandEnded => return Some(End::Remove(Ended::Deleted, None)),
            Letter::Trouble { what } => {
                let console = match &self.workspace {
                    Workspace::Guest { machine, .. } => machine.console_tail(),
                    _ => return None,
                };
                let death = Death { status: String::new(), complaints: vec![what], console };
                self.machine_died(&death).await;
            }
        }
        None
    }

    fn exec(&mut self, request: &ExecRequest) -> Result<Joined, Error> {
        if let Some(joined) = self.commands.attempt(request)? {
            return Ok(joined);
        }
        if matches!(self.workspace, Workspace::None) {
            return Err(self.why_not().into());
        }
        let began = Began {
            sequence: 0,
            command: request.command.clone(),
            cwd: request.cwd.clone(),
            attempt_id: request.attempt_id.clone(),
            request_digest: super::command::digest(request),
            started_at: now(),
            execution_mode: self.record.execution_mode.clone(),
        };
        let job = self.commands.begin(began.clone())?;
        self.step("exec.send.before");
        let sent = self.workspace.send(&self.record.id, &self.directory, request);
        self.step("exec.send.after");
        self.commands.follow(job, began, sent, request)
    }

    fn why_not(&self) -> Unavailable {
        let Record { id, kind, state, last_error, .. } = &self.record;
        match last_error {
            Some(why) => Unavailable::Stopped { kind: *kind, id: id.to_string(), why: why.clone() },
            None => Unavailable::NotStarted { id: id.to_string(), state: state.word() },
        }
    }

    /// Starts a VM's machine. It can be deleted, and expires, meanwhile.
    async fn start(&mut self) -> Result<Result<Record, Error>, End> {
        if self.record.kind == Kind::Task || !matches!(self.workspace, Workspace::None) {
            return Ok(Ok(self.record.clone()));
        }
        let admission = self.pyro.admission(self.record.size());
        if let Err(error) = self.machines.take_place(&self.record.id, admission) {
            return Ok(Err(error));
        }
        let (notices, _nobody) = mpsc::channel(16);
        let mut later = Vec::new();
        let started = {
            let start = self.pyro.start_workspace(&mut self.record, &self.directory, &notices);
            tokio::pin!(start);
            loop {
                tokio::select! {
                    started = &mut start => break started,
                    () = self.timer.rung() => return Err(End::Remove(Ended::Expired, None)),
                    letter = self.letters.recv() => match letter.expect("the actor holds a sender itself") {
                        Letter::Delete { answer } => return Err(End::Remove(Ended::Deleted, Some(answer))),
                        other => later.push(other),
                    },
                }
            }
        };
        let result = match started {
            Ok(workspace) => {
                self.workspace = workspace;
                (self.record.state, self.record.last_error) = (State::Started, None);
                self.save().await
            }
            Err(error) => {
                self.machines.leave_place(&self.record.id);
                Err(error)
            }
        };
        if result.is_err() {
            self.workspace.end(&self.record.id).await;
        }
        // What was asked meanwhile is asked again: it is in time now.
        let sender = self.sender.clone();
        tokio::spawn(async move {
            for letter in later {
                let _ = sender.send(letter).await;
            }
        });
        Ok(result.map(|()| self.record.clone()))
    }

    async fn stop(&mut self) -> Result<Record, Error> {
        if !matches!(self.workspace, Workspace::None) {
            self.commands.cancel_all("its machine was stopped");
            self.workspace.shut_down(&self.record.id).await;
            self.commands.ended().await;
            self.record.state = State::Stopped;
            self.machines.leave_place(&self.record.id);
            self.save().await?;
        }
        Ok(self.record.clone())
    }

    async fn extend(&mut self, ttl_seconds: u64) -> Result<Record, Error> {
        let before = (self.record.ttl_seconds, self.record.expires_at);
        self.record.ttl_seconds = ttl_seconds;
        self.record.expires_at = now() + Duration::from_secs(ttl_seconds).as_secs_f64();
        let timer = timer(&self.record)?;
        if let Err(error) = self.save().await {
            (self.record.ttl_seconds, self.record.expires_at) = before;
            return Err(error);
        }
        self.timer = timer;
        Ok(self.record.clone())
    }

    /// The machine is gone, or must go. What ran in it is lost.
    async fn machine_died(&mut self, death: &Death) {
        self.workspace.end(&self.record.id).await;
        self.commands.ended().await;
        self.record.state = State::Stopped;
        self.record.last_error = Some(Error::machine_gone(death));
        self.machines.leave_place(&self.record.id);
        self.step("died.before");
        let _ = self.save().await;
        self.step("died.after");
    }

    /// The last thing in its life.
    async fn finish(mut self, end: End) {
        let why = match &end {
            End::Remove(Ended::Expired, _) => "its time was up",
            End::Remove(Ended::Deleted, _) => "it was deleted",
            End::StepDown => "its supervisor was asked to end",
        };
        self.commands.cancel_all(why);
        self.step("end.before");
        match end {
            End::Remove(reason, answer) => {
                self.workspace.end(&self.record.id).await;
                self.commands.ended().await;
                self.step("end.halted");
                let buried = self.machines.bury(&self.record.id, reason);
                self.step("end.buried");
                if let Some(answer) = answer {
                    let _ = answer.send(buried);
                }
            }
            End::StepDown => {
                self.workspace.shut_down(&self.record.id).await;
                self.commands.ended().await;
                if self.record.state == State::Started {
                    self.record.state = State::Stopped;
                    self.record.last_error = Some(format!("{why}, and the machine with it"));
                    let _ = self.save().await;
                }
            }
        }
        self.closing.cancel();
        if let Some(listener) = self.listener.take() {
            let _ = tokio::time::timeout(LAST_WORDS, listener).await;
        }
    }

    /// Writes the record down, in its directory and in the registry. Commands go on meanwhile.
    async fn save(&mut self) -> Result<(), Error> {
        let (record, directory, machines) = (self.record.clone(), self.directory.clone(), self.machines.clone());
        let save = move || {
            record.write(&directory)?;
            machines.registry()?.put(&record)
        };
        let saved = tokio::task::spawn_blocking(save).await;
        let saved = saved.unwrap_or_else(|error| Err(host("write the record")(std::io::Error::other(error))));
        self.unsaved = saved.is_err();
        saved
    }

    fn step(&self, step: &'static str) {
        self.pyro.steps.reached(step);
    }
}

fn timer(record: &Record) -> Result<Timer, Error> {
    let left = Duration::from_secs_f64((record.expires_at - now()).clamp(0.0, 1e9));
    Timer::ringing_after(left).map_err(host("set the timer of its life"))
}

/// Listens in the machine's directory. The path goes through a descriptor, because a socket's may
/// not be longer than 107 bytes.
fn listen(directory: &Path) -> std::io::Result<UnixListener> {
    use std::os::fd::AsRawFd;
    let _ = fs::remove_file(directory.join(SOCKET));
    let opened = File::open(directory)?;
    let listener = StdListener::bind(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd()))?;
    fs::set_permissions(directory.join(SOCKET), fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

