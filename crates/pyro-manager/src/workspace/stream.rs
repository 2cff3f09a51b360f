//! A command that was sent, wherever it runs: in a guest, or on the host where the caller asked for
//! that and no guest can be had.

use bytes::Bytes;
use pyro_guest::{GuestError, OutputEvent, Running, StdinWriter};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::host_command::HostRunning;

/// The signal that ends every process of a command.
const KILL: u32 = 9;

/// A running command. Dropping it ends one on the host; one in a guest goes on.
pub enum CommandStream {
    /// In a guest.
    Guest(Running),
    /// On the host.
    Host(HostRunning),
}

/// A command's standard input.
pub enum Input {
    /// In a guest.
    Guest(StdinWriter),
    /// On the host; none once it was ended.
    Host(Option<mpsc::Sender<Bytes>>),
}

impl CommandStream {
    /// What happens next. Cancel safe.
    pub async fn next(&mut self) -> Result<OutputEvent, GuestError> {
        match self {
            Self::Guest(running) => running.next().await,
            Self::Host(running) => running.next().await,
        }
    }

    pub fn input(&mut self) -> Input {
        match self {
            Self::Guest(running) => Input::Guest(running.stdin()),
            Self::Host(running) => Input::Host(running.input()),
        }
    }

    /// Ends every process of it; its end is still reported.
    pub fn kill(&self) {
        match self {
            Self::Guest(running) => running.signal(KILL),
            Self::Host(running) => running.kill(),
        }
    }
}

impl Input {
    /// Feeds the command with the caller's input until `feeding` is dropped. Where there is none, the
    /// command hears so in the same breath as it is sent.
    pub fn feed(mut self, input: Option<mpsc::Receiver<Bytes>>, feeding: &mut JoinSet<()>) {
        match input {
            None => self.end(),
            Some(input) => drop(feeding.spawn(self.pass_on(input))),
        }
    }

    /// No faster than the command reads, to the end.
    async fn pass_on(mut self, mut input: mpsc::Receiver<Bytes>) {
        while let Some(bytes) = input.recv().await {
            if !self.write(bytes).await {
                return;
            }
        }
        self.end();
    }

    /// Says whether somebody is still there to read more.
    async fn write(&mut self, bytes: Bytes) -> bool {
        match self {
            Self::Guest(stdin) => stdin.write(&bytes).await,
            Self::Host(Some(stdin)) => stdin.send(bytes).await.is_ok(),
            Self::Host(None) => false,
        }
    }

    fn end(&mut self) {
        match self {
            Self::Guest(stdin) => stdin.end(),
            Self::Host(stdin) => *stdin = None,
        }
    }
}
