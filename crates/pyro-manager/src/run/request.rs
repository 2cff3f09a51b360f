//! What a run is asked for.

use std::time::Duration;

use crate::limits::VmOptions;

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
