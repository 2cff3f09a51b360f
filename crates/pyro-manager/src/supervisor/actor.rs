//! The one owner of a machine and its record. Everybody else sends it messages.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyro_engine::Death;
use pyro_hostfs::lock::Lock;
use pyro_store::journal::StartRecord;
use pyro_store::machines::Machines;
use pyro_store::{Ended, Record, State};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::command::Commands;
use super::files::Files;
use super::mailbox::{Joined, Message, Transfer};
use super::request::ExecRequest;
use crate::clock::{Timer, WallClock, now};
use crate::error::{Unavailable, host};
use crate::threads::off_thread;
use crate::workspace::{CommandSpec, News, Workspace};
use crate::{Error, Pyro};

/// How long clients have to hear the last answer.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A guest's clock is some tens of parts in a million fast or slow. A command that comes later than this after the
/// guest was last told the time has it told again.
const TIME_IS_GOOD_FOR: Duration = Duration::from_secs(60);

/// The owner.
pub struct Actor {
    pub(super) pyro: Arc<Pyro>,
    pub(super) machines: Machines,
    pub(super) directory: PathBuf,
    pub(super) record: Record,
    pub(super) workspace: Workspace,
    pub(super) commands: Commands,
    pub(super) mailbox: mpsc::Receiver<Message>,
    pub(super) sender: mpsc::Sender<Message>,
    pub(super) timer: Timer,
    pub(super) wall_clock: WallClock,
    /// When the guest was last told what time it is.
    pub(super) time_told: Instant,
    pub(super) files: Files,
    pub(super) listener: Option<JoinHandle<()>>,
    pub(super) closing: tokio_util::sync::CancellationToken,
    /// The registry does not know the record as it is.
    pub(super) unsaved: bool,
    pub(super) _life: Lock,
}

/// What ends the life of a supervisor.
pub(super) enum End {
    /// Everything is removed, and remembered so. Somebody may wait to hear of it.
    Remove(Ended, Option<oneshot::Sender<Result<(), Error>>>),
    /// The process was asked to end; the directory stays.
    StepDown,
    /// Somebody removed a file of its own; which one.
    FileRemoved(String),
}

impl Actor {
    /// Serves until something ends its life.
    pub(super) async fn serve(&mut self) -> End {
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return End::StepDown };
        loop {
            tokio::select! {
                biased;
                () = self.timer.rung() => return End::Remove(Ended::Expired, None),
                _ = terminate.recv() => return End::StepDown,
                () = self.wall_clock.was_set() => self.tell_time(),
                missing = self.files.missing() => return End::FileRemoved(missing),
                news = self.workspace.news() => match news {
                    News::Died(death) => self.machine_died(&death).await,
                    News::NetworkLost(why) => self.network_lost(why).await,
                },
                () = self.commands.collect() => {}
                message = self.mailbox.recv() => {
                    let message = message.expect("the actor holds a sender itself");
                    if let Some(end) = self.answer(message).await {
                        return end;
                    }
                }
            }
            if self.unsaved {
                let _ = self.save().await;
            }
        }
    }

    async fn answer(&mut self, message: Message) -> Option<End> {
        match message {
            Message::Exec { request, answer } => drop(answer.send(self.exec(&request))),
            Message::Files { timeout, answer } => drop(answer.send(self.files(timeout))),
            Message::Extend { ttl_seconds, answer } => drop(answer.send(self.extend(ttl_seconds).await)),
            Message::Stop { ttl, answer } => drop(answer.send(self.stop(ttl).await)),
            Message::Update { change, answer } => drop(answer.send(self.update(&change).await)),
            Message::Start { ttl, answer } => match self.start(ttl).await {
                Ok(result) => drop(answer.send(result)),
                Err(end) => return Some(end),
            },
            Message::Remove { reason, answer } => return Some(End::Remove(reason, Some(answer))),
            Message::LastCommandEnded => return Some(End::Remove(Ended::Deleted, None)),
            Message::ChannelClosed => {
                let death = self.workspace.death_of_closed().await?;
                self.machine_died(&death).await;
            }
            Message::Trouble { what } => {
                let console = self.workspace.console_tail()?;
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
        if self.workspace.is_none() {
            return Err(Unavailable::without_machine(&self.record).into());
        }
        let began = StartRecord {
            sequence: 0,
            command: request.command.clone(),
            cwd: request.cwd.clone(),
            attempt_id: request.attempt_id.clone(),
            request_digest: super::request::digest(request),
            started_at: now(),
            execution_mode: self.record.execution_mode.clone(),
        };
        let job = self.commands.begin(began.clone())?;
        if self.time_told.elapsed() > TIME_IS_GOOD_FOR {
            self.tell_time();
        }
        self.step("exec.send.before");
        let spec = CommandSpec {
            text: &request.command,
            cwd: &request.cwd,
            environment: &request.environment,
            timeout: Duration::from_micros(request.timeout_us),
        };
        let sent = self
            .workspace
            .open(&spec)
            .and_then(|stream| stream.ok_or_else(|| Unavailable::without_machine(&self.record).into()));
        self.step("exec.send.after");
        self.commands.follow(job, began, sent, request)
    }

    fn files(&mut self, timeout: Duration) -> Result<Transfer, Error> {
        let stream = self.workspace.open_files(timeout)?.ok_or_else(|| Unavailable::without_machine(&self.record))?;
        Ok(self.commands.transfer(stream, timeout))
    }

    fn tell_time(&mut self) {
        self.workspace.tell_time();
        self.time_told = Instant::now();
    }

    /// The machine is gone, or must go. What ran in it is lost.
    async fn machine_died(&mut self, death: &Death) {
        self.workspace.end().await;
        (self.record.state, self.record.addresses) = (State::Stopped, None);
        self.record.last_error = Some(Error::machine_gone(death));
        self.machines.release_slot(&self.record.id);
        self.step("died.before");
        let _ = self.save().await;
        self.step("died.after");
        self.commands.ended().await;
    }

    async fn network_lost(&mut self, why: String) {
        (self.record.addresses, self.record.last_error) = (None, Some(why));
        let _ = self.save().await;
    }

    /// The last thing in its life.
    pub(super) async fn finish(mut self, end: End) {
        let why = match &end {
            End::Remove(Ended::Expired, _) => "its machine expired".to_owned(),
            End::Remove(Ended::Deleted, _) => "its machine was deleted".to_owned(),
            End::StepDown => "its supervisor was asked to end".to_owned(),
            End::FileRemoved(what) => format!("{what} was removed"),
        };
        self.commands.cancel_all(&why);
        self.step("end.before");
        match end {
            End::Remove(reason, answer) => {
                self.workspace.end().await;
                self.commands.ended().await;
                self.step("end.halted");
                let (machines, id) = (self.machines.clone(), self.record.id.clone());
                let removed = off_thread(move || Ok(machines.remove_with_tombstone(&id, reason)?)).await;
                self.step("end.tombstone");
                if let Some(answer) = answer {
                    let _ = answer.send(removed);
                }
            }
            End::FileRemoved(_) if !self.files.only_the_socket_is_missing() => {
                // Nothing is written, so that a home that was removed as a whole is not made again. Whoever looks next
                // finds a row without a directory, and takes it for deleted.
                self.workspace.end().await;
                self.commands.ended().await;
            }
            End::StepDown | End::FileRemoved(_) => {
                self.workspace.shut_down().await;
                if self.record.state == State::Started {
                    (self.record.state, self.record.addresses) = (State::Stopped, None);
                    self.record.last_error = Some(format!("{why}, so its machine was ended"));
                    let _ = self.save().await;
                }
                self.commands.ended().await;
            }
        }
        self.closing.cancel();
        if let Some(listener) = self.listener.take() {
            let _ = tokio::time::timeout(LAST_WORDS, listener).await;
        }
    }

    /// Writes the record down, in its directory and in the registry. Commands go on meanwhile.
    pub(super) async fn save(&mut self) -> Result<(), Error> {
        let (record, directory, machines) = (self.record.clone(), self.directory.clone(), self.machines.clone());
        let save = move || {
            record.write(&directory)?;
            Ok(machines.registry()?.put(&record)?)
        };
        let saved = tokio::task::spawn_blocking(save).await;
        let saved = saved.unwrap_or_else(|error| Err(host("write the record")(std::io::Error::other(error))));
        self.unsaved = saved.is_err();
        saved
    }

    pub(super) fn step(&self, step: &'static str) {
        self.pyro.failpoints.reached(step);
    }
}

/// The timer of a record's life.
pub(super) fn timer(record: &Record) -> Result<Timer, Error> {
    let left = Duration::from_secs_f64((record.expires_at - now()).clamp(0.0, 1e9));
    Timer::ringing_after(left).map_err(host("set the timer of its life"))
}
