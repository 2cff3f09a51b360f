//! How a supervisor comes to be: the directory taken over, what its creator waits for made, and the
//! creator's leave. A creator that goes away before he has taken it undoes everything.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pyro_hostfs::lock::Lock;
use pyro_store::journal::Journal;
use pyro_store::{Kind, Record, State};
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::actor::{Actor, timer};
use super::command::Commands;
use super::connections;
use super::files::{Files, SOCKET};
use super::rpc::{Connection, Reply};
use crate::clock::WallClock;
use crate::error::host;
use crate::events::{EnvironmentProgress, RunEvent};
use crate::id::VmId;
use crate::threads::off_thread;
use crate::workspace::Workspace;
use crate::{Error, Pyro};

/// Letters on their way.
const MAILBOX: usize = 64;

impl Actor {
    /// Takes the directory over: journal, socket, timer. The lock is held from here to the end.
    pub async fn prepare(pyro: Arc<Pyro>, id: VmId, life: Lock) -> Result<Self, Error> {
        let machines = pyro.machines();
        let directory = machines.directory(&id);
        let record = Record::read(&directory)?
            .ok_or_else(|| Error::InvalidArgument { problem: format!("{} has no record", directory.display()) })?;
        let cap = pyro.config.journal_cap;
        let (journal, entries) = match record.state {
            State::Creating => (Journal::create(&directory, cap)?, Vec::new()),
            _ => Journal::adopt(&directory, cap)?,
        };
        let (sender, mailbox) = mpsc::channel(MAILBOX);
        let commands = Commands::new(pyro.clone(), journal, &entries, sender.clone());
        let timer = timer(&record)?;
        let closing = tokio_util::sync::CancellationToken::new();
        let listening = listen(&directory).map_err(host("listen on the machine's socket"))?;
        let files = Files::watch(&directory);
        let listener = connections::serve(listening, sender.clone(), commands.table(), closing.clone());
        Ok(Self {
            pyro,
            machines,
            directory,
            record,
            workspace: Workspace::None,
            commands,
            mailbox,
            sender,
            timer,
            files,
            listener: Some(tokio::spawn(listener)),
            closing,
            wall_clock: WallClock::listen().map_err(host("watch the clock"))?,
            time_told: Instant::now(),
            unsaved: false,
            _life: life,
        })
    }

    /// Makes what its creator waits for, and stays.
    pub async fn live(mut self, mut creator: Connection, creating: Option<Lock>) -> Result<(), Error> {
        let is_new = self.record.state == State::Creating;
        let made = self.make(&mut creator).await;
        let ready = match made {
            Ok(()) => {
                self.step("ready.before");
                let told = creator.send(&Reply::Ready { record: self.record.clone().into() }).await;
                self.step("ready.after");
                // He hangs up when he has taken it, or when he is gone.
                // One that is held up does not keep it beyond its time.
                while told.is_ok() {
                    tokio::select! {
                        said = creator.reader.next() => if !matches!(said, Ok(Some(_))) {
                            break;
                        },
                        () = self.timer.rung() => break,
                    }
                }
                // One that cannot be looked at may have been taken: it stays.
                self.machines.is_committed(&self.record.id).unwrap_or(true)
            }
            Err(error) => {
                self.undo(is_new).await;
                let _ = creator.send(&Reply::failed(&error)).await;
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
    async fn make(&mut self, creator: &mut Connection) -> Result<(), Error> {
        if self.record.state != State::Creating {
            return Ok(());
        }
        let mut state = State::Created;
        if self.record.kind == Kind::Task {
            let (notices, mut heard) = mpsc::channel(16);
            let Connection { reader, writer } = creator;
            let start = async {
                let notices = notices;
                self.pyro.start_workspace(&mut self.record, &self.directory, &notices).await
            };
            let relay = async {
                while let Some(event) = heard.recv().await {
                    let notice = match event {
                        RunEvent::Notice(text) => Reply::Notice { text },
                        RunEvent::Environment(EnvironmentProgress::Template) => Reply::MakingTemplate,
                        _ => continue,
                    };
                    let _ = writer.send(&notice).await;
                }
            };
            let started = async { tokio::join!(start, relay).0 };
            self.workspace = tokio::select! {
                started = started => started?,
                _ = reader.next() => return Err(Error::Cancelled),
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
        self.workspace.end().await;
        if is_new {
            // A failure leaves it to the next recovery.
            let (machines, id) = (self.machines.clone(), self.record.id.clone());
            let _ = off_thread(move || Ok(machines.undo(&id)?)).await;
        }
    }
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
