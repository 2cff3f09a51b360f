//! A machine that belongs to this process.

use std::time::Duration;

use pyro_engine::Death;
use pyro_environment::Installed;
use pyro_guest::Guest;

use crate::error::Error;
use crate::id::VmId;
use crate::payload::StartMode;
use crate::vm_directory::VmDirectory;
use crate::workspace::GuestWorkspace;

/// A machine of this process whose guest has answered. Dropping it removes it.
pub struct Session {
    pub(crate) id: VmId,
    pub(crate) installed: Installed,
    pub(crate) workspace: GuestWorkspace,
    pub(crate) mode: StartMode,
    pub(crate) created: Duration,
    // Last, so that the machine is ended before its files go.
    pub(super) directory: VmDirectory,
}

impl Session {
    /// The conversation with the guest.
    #[must_use]
    pub fn guest(&self) -> &Guest {
        &self.workspace.guest
    }

    /// Resolves when the machine has ended by itself.
    pub async fn died(&mut self) -> Death {
        self.workspace.machine.died().await
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
        self.workspace.end().await;
        self.directory.remove().await
    }
}
