//! A machine whose guest answers.

use std::time::Duration;

use pyro_engine::{Death, Machine};
use pyro_guest::files::{Event, FileEvent, FileRequest, MountWorkspace, Operation, frame, next_message, reason};
use pyro_guest::{Command, Guest, OutputEvent};
use pyro_hostfs::permit::Permit;
use pyro_network::Uplink;

use crate::error::Error;

use super::command_spec::CommandSpec;
use super::shell;
use super::stream::CommandStream;

/// A longer text is left to the shell alone: both ways together must fit into one frame.
const MAX_DIRECT: usize = 4_000;
/// How long the mounting of a workspace may take: the guest reads the seed's marks and loads a module.
const MOUNT_LIMIT: Duration = Duration::from_secs(60);
/// How long the process of a machine whose channel has closed is waited for.
const DEATH_GRACE: Duration = Duration::from_secs(5);

/// A machine whose guest answers. Dropping it ends it.
pub(crate) struct GuestWorkspace {
    pub machine: Box<dyn Machine>,
    pub guest: Guest,
    /// Its network. One that has ended still tells the guest so.
    pub uplink: Option<Uplink>,
    /// Its owner knows that the network has ended.
    pub loss_told: bool,
    /// Held until it has done its first work, so that others start no sooner.
    pub permit: Option<Permit>,
}

impl GuestWorkspace {
    /// Starts a command. A refusal comes by the stream.
    pub fn open(&self, spec: &CommandSpec<'_>) -> CommandStream {
        let mut command = command(&self.guest, spec.text).current_dir(spec.cwd).timeout(spec.timeout);
        for (key, value) in spec.environment {
            command = command.env(key, value);
        }
        CommandStream::Guest(command.spawn())
    }

    /// Mounts the seed's overlay again after a boot from the machine's own disk. Nothing is done where nothing was seeded.
    ///
    /// # Errors
    /// [`Error::File`]: the guest cannot. Its workspace is not what it was then.
    pub async fn mount_seed(&self) -> Result<(), Error> {
        let mut running = self.guest.file_worker().timeout(MOUNT_LIMIT).spawn();
        let operation = Some(Operation::MountWorkspace(MountWorkspace {}));
        let stdin = running.stdin();
        stdin.write(&frame(&FileRequest { root: b"/".to_vec(), operation })).await;
        stdin.end();
        let mut said = Vec::new();
        loop {
            match running.next().await.map_err(Error::GuestNonsense)? {
                OutputEvent::Stderr(bytes) => said.extend_from_slice(&bytes),
                OutputEvent::Started | OutputEvent::Stdout(_) => {}
                OutputEvent::Exited(exit) if exit.code == 0 => return Ok(()),
                OutputEvent::Exited(_) => break,
            }
        }
        match next_message::<FileEvent>(&said) {
            Ok(Some((FileEvent { event: Some(Event::Failed(failed)) }, _))) if failed.reason == reason::NOT_FOUND => {
                Ok(())
            }
            Ok(Some((FileEvent { event: Some(Event::Failed(failed)) }, _))) => {
                let path = String::from_utf8_lossy(&failed.path).into_owned();
                Err(Error::File { reason: failed.reason, path, message: failed.message })
            }
            _ => Err(Error::FileUnknown { problem: "the guest did not mount the seeded workspace".into() }),
        }
    }

    /// The end of the machine, whose channel was closed: its process's end, or that it hangs.
    pub async fn death_of_closed(&mut self) -> Death {
        match tokio::time::timeout(DEATH_GRACE, self.machine.died()).await {
            Ok(death) => death,
            Err(_) => channel_closed(self.machine.console_tail()),
        }
    }

    /// Ends it, and waits until it is gone.
    pub async fn end(self) {
        self.machine.halt().await;
        if let Some(uplink) = self.uplink {
            uplink.close().await;
        }
    }
}

/// What is known of a machine whose channel was closed, and nothing else.
pub(crate) fn channel_closed(console: Vec<String>) -> Death {
    Death { status: "the guest closed its channel".into(), complaints: Vec::new(), console }
}

/// A command for the guest: its program directly where that is the same, else by the shell.
pub fn command<'a>(guest: &'a Guest, text: &str) -> Command<'a> {
    let by_shell = ["-c", text];
    match shell::direct(text).filter(|_| text.len() <= MAX_DIRECT) {
        Some(words) => {
            let (program, arguments) = words.split_first().expect("a direct command has a program");
            guest.command(program.as_str()).args(arguments.iter().map(String::as_str)).or_else("/bin/sh").args(by_shell)
        }
        None => guest.command("/bin/sh").args(by_shell),
    }
}
