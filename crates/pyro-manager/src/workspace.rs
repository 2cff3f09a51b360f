//! Where a machine's commands run: in a guest, or on the host where the caller asked for that and no guest can be had.
//!
//! ```text
//! None ──start──▶ Guest ──shut_down──▶ None ──start again: booted from its own disk──▶ Guest
//!   └─no guest can be had, and the creator allowed it──▶ Host
//! ```
//!
//! `open` starts a command and gives its [`CommandStream`], whichever of the two it is. Host mode is in this module and
//! nowhere else.

mod command_spec;
mod guest;
mod host_command;
mod host_processes;
mod process_tree;
mod shell;
mod stream;

pub(crate) use command_spec::{CommandSpec, check_command};
pub(crate) use guest::{GuestWorkspace, channel_closed, command};
pub(crate) use host_command::{HostWorkspace, notice};
pub(crate) use host_processes::end_all as end_host_processes;
pub use shell::join as shell_join;
pub(crate) use stream::CommandStream;

use std::time::Duration;

use pyro_engine::Death;

use crate::Error;
use crate::clock::wall_clock_ns;
use crate::network::lost;

/// How long a guest may take to end in an orderly way.
const SHUT_DOWN_LIMIT: Duration = Duration::from_secs(10);

/// Where commands run.
pub(crate) enum Workspace {
    /// Nowhere.
    None,
    /// In a guest.
    Guest(Box<GuestWorkspace>),
    /// On the host.
    Host(HostWorkspace),
}

/// What may become of a machine.
pub(crate) enum News {
    /// It has ended.
    Died(Death),
    /// It goes on, and reaches nothing any more; why.
    NetworkLost(String),
}

impl Workspace {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Starts a command; `None` where there is nothing to run it in.
    ///
    /// # Errors
    /// What the host says. A guest's refusal comes by the stream.
    pub fn open(&self, command: &CommandSpec<'_>) -> Result<Option<CommandStream>, Error> {
        match self {
            Self::Guest(guest) => Ok(Some(guest.open(command))),
            Self::Host(host) => Ok(Some(CommandStream::Host(host.start(command)?))),
            Self::None => Ok(None),
        }
    }

    /// Starts a file operation; `None` where there is nothing to start it in. Its pipes are those of
    /// [`pyro_guest::files`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] on the host: its files need no guest.
    pub fn open_files(&self, timeout: Duration) -> Result<Option<CommandStream>, Error> {
        match self {
            Self::Guest(guest) => Ok(Some(CommandStream::Guest(guest.guest.file_worker().timeout(timeout).spawn()))),
            Self::Host(host) => Err(host.has_no_file_worker()),
            Self::None => Ok(None),
        }
    }

    /// Resolves when something has become of the machine by itself. Cancel safe.
    pub async fn news(&mut self) -> News {
        let Self::Guest(guest) = self else { return std::future::pending().await };
        let GuestWorkspace { machine, uplink, loss_told, .. } = &mut **guest;
        tokio::select! {
            biased;
            death = machine.died() => News::Died(death),
            why = lost(uplink), if !*loss_told => {
                *loss_told = true;
                News::NetworkLost(why)
            }
        }
    }

    /// The end of a machine whose channel was closed. The process of one that was killed closes its channel a moment
    /// before its status can be had. `None` where there is no machine.
    pub async fn death_of_closed(&mut self) -> Option<Death> {
        match self {
            Self::Guest(guest) => Some(guest.death_of_closed().await),
            Self::Host(_) => Some(channel_closed(Vec::new())),
            Self::None => None,
        }
    }

    /// The last lines of the guest's console; `None` where there is no machine.
    pub fn console_tail(&self) -> Option<Vec<String>> {
        match self {
            Self::Guest(guest) => Some(guest.machine.console_tail()),
            Self::Host(_) => Some(Vec::new()),
            Self::None => None,
        }
    }

    /// Tells the guest what time it is. The host needs no telling.
    pub fn tell_time(&self) {
        if let Self::Guest(guest) = self {
            guest.guest.set_clock(wall_clock_ns());
        }
    }

    /// Ends the machine at once, with everything that runs in it.
    pub async fn end(&mut self) {
        match std::mem::replace(self, Self::None) {
            Self::Guest(guest) => guest.end().await,
            Self::Host(host) => host.end().await,
            Self::None => {}
        }
    }

    /// Lets the guest write its disks first. One that does not answer is ended all the same.
    pub async fn shut_down(&mut self) {
        if let Self::Guest(guest) = self {
            let orderly = async {
                if guest.guest.shut_down().await.is_ok() {
                    guest.machine.died().await;
                }
            };
            let _ = tokio::time::timeout(SHUT_DOWN_LIMIT, orderly).await;
        }
        self.end().await;
    }
}
