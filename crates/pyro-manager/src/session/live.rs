//! A machine whose guest answers, and one that belongs to this process.

use std::time::Duration;

use pyro_engine::{Death, Machine};
use pyro_environment::Installed;
use pyro_guest::Guest;
use pyro_hostfs::permit::Permit;
use pyro_network::Uplink;

use crate::error::Error;
use crate::id::VmId;
use crate::payload::StartMode;
use crate::vm_directory::VmDirectory;

/// A machine of this process whose guest has answered. Dropping it removes it.
pub struct Session {
    pub(crate) id: VmId,
    pub(crate) installed: Installed,
    pub(crate) live: Live,
    pub(crate) mode: StartMode,
    pub(crate) created: Duration,
    // Last, so that the machine is ended before its files go.
    pub(super) directory: VmDirectory,
}

/// A machine whose guest answers. Dropping it ends it.
pub(crate) struct Live {
    pub machine: Box<dyn Machine>,
    pub guest: Guest,
    /// Its network. One that has ended still tells the guest so.
    pub uplink: Option<Uplink>,
    /// Its owner knows that the network has ended.
    pub loss_told: bool,
    /// Held until it has done its first work, so that others start no sooner.
    pub permit: Option<Permit>,
}

impl Live {
    /// Ends it, and waits until it is gone.
    pub async fn end(self) {
        self.machine.halt().await;
        if let Some(uplink) = self.uplink {
            uplink.close().await;
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
