//! Every error of the public contract: what happened, a stable code, and what to do now.
//!
//! Codes are frozen: programs and models act on them. The list is tested against a snapshot.

mod codes;
mod hints;
mod unavailable;

pub use pyro_store::error::{JournalProblem, RecordProblem, RegistryProblem};
pub(crate) use unavailable::STOPPED;
pub use unavailable::Unavailable;

use std::borrow::Cow;
use std::error::Error as _;
use std::io;
use std::time::Duration;

use pyro_engine::{Death, ProgramError, SaveError, StartError};
use pyro_environment::EnvironmentError;
use pyro_guest::{GuestError, Refusal};
use pyro_network::NetworkError;
use pyro_store::{Error as StoreError, Unfit};
use serde::{Deserialize, Serialize};

/// An operation of the manager failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value is outside the contract's limits.
    #[error("{field} is {value}; it must be {bounds}")]
    OutOfRange {
        /// The field, as every front end spells it.
        field: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        bounds: String,
    },
    /// An argument makes no sense.
    #[error("{problem}")]
    InvalidArgument {
        /// What is wrong with it.
        problem: String,
    },
    /// A guest cannot have a network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The environment cannot be had.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// QEMU cannot be used.
    #[error(transparent)]
    Engine(#[from] ProgramError),
    /// The machine could not be started.
    #[error("the machine could not be started")]
    Start(#[source] StartError),
    /// The machine runs, and its guest does not answer.
    #[error("the guest did not answer within {} s{}", waited.as_secs(), last_words(console))]
    GuestNotUp {
        /// How long it was given.
        waited: Duration,
        /// The last lines of its console, oldest first.
        console: Vec<String>,
    },
    /// The machine ended before its guest was up.
    #[error("the machine ended before its guest answered: {}{}", death.summary(), last_words(&death.console))]
    DiedEarly {
        /// Its last words.
        death: Death,
    },
    /// The machine ended under a command.
    #[error("the machine ended while the command ran; the command's outcome is unknown: {}{}", death.summary(), last_words(&death.console))]
    MachineLost {
        /// Its last words.
        death: Death,
    },
    /// The agent in the guest is of another generation.
    #[error("the guest's agent is from another release: it uses protocol generation {guest}; this pyro uses {ours}", ours = pyro_generation())]
    AgentGeneration {
        /// Its generation.
        guest: u32,
    },
    /// The guest could not become a machine of its own.
    #[error("the guest could not set its identity, so no command was run: {why}")]
    NotIdentified {
        /// The guest's own words.
        why: String,
    },
    /// The guest broke the protocol.
    #[error("the guest broke the protocol, so its machine was ended")]
    GuestNonsense(#[source] GuestError),
    /// The guest did not run the command.
    #[error("the guest did not run the command: {0}")]
    CommandRefused(#[source] Refusal),
    /// The machine could not be frozen into a template.
    #[error("the machine could not be saved as a template")]
    Save(#[source] SaveError),
    /// The guest's kernel found its clock unstable while it booted.
    #[error("the guest uses the clock source {found:?}, which loses time: its clock was unstable while it booted")]
    ClockSource {
        /// Its clock source.
        found: String,
    },
    /// Whoever started the server did not allow it.
    #[error("allow_host_compat is refused: this server does not allow commands on the host")]
    HostCompatRefused,
    /// The registry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryProblem),
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordProblem),
    /// A journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalProblem),
    /// It cannot be done to this VM or task.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The caller went away; the command did not.
    #[error("the caller went away; command {sequence} keeps running")]
    CallerGone {
        /// The command.
        sequence: u64,
    },
    /// A supervisor told of an error.
    #[error("{}", failure.error)]
    Remote {
        /// The error as the supervisor saw it.
        failure: Failure,
    },
    /// The caller gave up.
    #[error("cancelled: the command was ended and its machine removed")]
    Cancelled,
    /// A file operation in a task failed. What was to be replaced as a whole is what it was.
    #[error("{}{message}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
    File {
        /// The reason: a word of [`pyro_guest::files::reason`].
        reason: String,
        /// The path, below the root of the operation; may be empty.
        path: String,
        /// For people.
        message: String,
    },
    /// A file operation ended without an answer.
    #[error("the file operation ended without an answer, and whether it changed anything is unknown: {problem}")]
    FileUnknown {
        /// What is known of it.
        problem: String,
    },
    /// A tree on the host cannot be sent.
    #[error("{problem}")]
    Source {
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A stream of files could not be passed on to its end.
    #[error("the other side took no more")]
    SourceStream,
    /// What changed in a task was not taken over. The tree is as it was, but for what the problem names.
    #[error("{problem}")]
    Apply {
        /// What is wrong.
        problem: String,
    },
    /// What came out of a task was refused, or could not be written. Nothing of it is there.
    #[error("nothing was exported: {problem}")]
    Export {
        /// What is wrong.
        problem: String,
    },
    /// The caller gave up on a file operation.
    #[error("cancelled: the file operation was ended")]
    FileCancelled,
    /// The host refused something.
    #[error("could not {attempt}")]
    Host {
        /// What was tried.
        attempt: String,
        /// The host's answer.
        #[source]
        source: io::Error,
    },
}

/// An error as every front end shows it (the form on the wire).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened, causes included.
    pub error: String,
    /// Stable word.
    pub code: Cow<'static, str>,
    /// What to do now.
    pub hint: Option<String>,
}

impl Error {
    /// What to do now, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        if let Self::Remote { failure } = self {
            return failure.hint.clone();
        }
        if matches!(self, Self::Unavailable(Unavailable::RunExpired { .. })) {
            return Some("use a longer ttl_seconds, or run the command in a task".into());
        }
        if let Self::Unavailable(Unavailable::OtherRelease { supervisor, .. }) = self {
            return Some(format!("use pyro {supervisor} for it, or delete it and create another"));
        }
        hints::of(self.code()).map(str::to_owned)
    }

    /// The error as every front end shows it.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure { error: self.with_causes(), code: Cow::Owned(self.code().to_owned()), hint: self.hint() }
    }

    /// Whether no guest can be had on this host at all, whatever the command.
    #[must_use]
    pub fn means_no_guest(&self) -> bool {
        matches!(
            self.code(),
            "qemu_missing" | "qemu_too_old" | "qemu_unusable" | "machine_not_started" | "guest_not_up"
        )
    }

    /// What a VM or task is told whose machine has ended.
    pub(crate) fn machine_gone(death: &Death) -> String {
        format!("the machine ended: {}{}", death.summary(), last_words(&death.console))
    }

    fn with_causes(&self) -> String {
        let mut text = self.to_string();
        // A transparent error's source is its inner error's: nothing is said twice.
        let mut source = self.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.ends_with(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        text
    }
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        Self::InvalidArgument { problem: unfit.to_string() }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Registry(problem) => Self::Registry(problem),
            StoreError::Record(problem) => Self::Record(problem),
            StoreError::Journal(problem) => Self::Journal(problem),
            StoreError::Full { limit, live } => Unavailable::Capacity { limit, live }.into(),
            StoreError::NameTaken { name, id } => Unavailable::NameTaken { name, id }.into(),
            StoreError::Lives { .. } => Self::InvalidArgument { problem: error.to_string() },
            StoreError::Host { attempt, source } => Self::Host { attempt, source },
        }
    }
}

fn last_words(console: &[String]) -> String {
    const SHOWN: usize = 8;
    if console.is_empty() {
        return "; its console is empty".into();
    }
    let shown = &console[console.len().saturating_sub(SHOWN)..];
    format!("; the last lines of its console:\n  {}", shown.join("\n  "))
}

fn pyro_generation() -> u32 {
    pyro_guest::GENERATION
}

/// Names what was tried, for `map_err`.
pub(crate) fn host(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let attempt = attempt.into();
    move |source| Error::Host { attempt, source }
}

#[cfg(test)]
mod tests;

/// Everything an error says, from the outside in.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
