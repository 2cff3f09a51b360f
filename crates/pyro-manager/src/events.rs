//! What a caller hears while his command is made ready and runs, and the ends that he holds meanwhile.

use bytes::Bytes;
use pyro_environment::{Progress, Step};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

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
    /// How far a file operation is.
    Transferred {
        /// Entries so far.
        entries: u64,
        /// Bytes of file content so far.
        bytes: u64,
    },
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

/// How far the making of an environment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvironmentProgress {
    /// A step of the installation.
    Install {
        /// The step.
        step: Step,
        /// What of it; may be empty.
        detail: String,
        /// Bytes done and in all, where they are known.
        bytes: Option<(u64, u64)>,
    },
    /// A guest shows whether KVM works here.
    Probe,
    /// A machine is booted and frozen as the template of all others.
    Template,
}

impl EnvironmentProgress {
    /// Number of this stage and of all stages, both from 1; waiting for others is stage 0.
    #[must_use]
    pub fn stage(&self) -> (u32, u32) {
        let stage = match self {
            Self::Install { step, .. } => *step as u32,
            Self::Probe => Step::Publishing as u32 + 1,
            Self::Template => Step::Publishing as u32 + 2,
        };
        (stage, Step::Publishing as u32 + 2)
    }

    /// For people.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Install { step, .. } => step.describe(),
            Self::Probe => "testing KVM with a guest",
            Self::Template => "booting a machine and saving it as the template",
        }
    }
}

impl From<Progress> for EnvironmentProgress {
    fn from(progress: Progress) -> Self {
        Self::Install { step: progress.step, detail: progress.detail, bytes: progress.bytes }
    }
}

/// Tells the caller; one that does not listen any more has given up.
pub async fn tell(events: &mpsc::Sender<RunEvent>, event: RunEvent) -> Result<(), Error> {
    events.send(event).await.map_err(|_| Error::Cancelled)
}

/// The same, unless the run is cancelled meanwhile.
pub async fn tell_unless(
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
