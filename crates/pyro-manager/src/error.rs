//! Every error of the public contract: what happened, a stable code, and what to do now.
//!
//! Codes are frozen: programs and models act on them. The list is tested against a snapshot.

mod unavailable;

pub use pyro_store::error::{JournalProblem, RecordProblem, RegistryProblem};
pub use unavailable::Unavailable;

use std::borrow::Cow;
use std::error::Error as _;
use std::io;
use std::time::Duration;

use pyro_engine::{Death, ProgramError, SaveError, StartError};
use pyro_environment::EnvironmentError;
use pyro_guest::{GuestError, Refusal};
use pyro_network::NetworkError;
use pyro_store::Error as StoreError;
use serde::{Deserialize, Serialize};

/// An operation of the manager failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value is outside the contract's limits.
    #[error("{field} is {value}; it must be {bounds}")]
    OutOfRange {
        /// The field, as every face spells it.
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
    #[error("the guest did not come up within {} s{}", waited.as_secs(), last_words(console))]
    GuestNotUp {
        /// How long it was given.
        waited: Duration,
        /// The last lines of its console, oldest first.
        console: Vec<String>,
    },
    /// The machine ended before its guest was up.
    #[error("the machine ended before its guest was up: {}{}", death.summary(), last_words(&death.console))]
    DiedEarly {
        /// Its last words.
        death: Death,
    },
    /// The machine ended under a command.
    #[error("the machine ended while the command ran, and how the command ended is unknown: {}{}", death.summary(), last_words(&death.console))]
    MachineLost {
        /// Its last words.
        death: Death,
    },
    /// The agent in the guest is of another generation.
    #[error("the guest's agent is of another release: it speaks generation {guest} of the protocol, this pyro {ours}", ours = pyro_generation())]
    AgentGeneration {
        /// Its generation.
        guest: u32,
    },
    /// The guest broke the protocol.
    #[error("the guest's answers make no sense, so its machine was ended")]
    GuestNonsense(#[source] GuestError),
    /// The guest did not run the command.
    #[error("the guest did not run the command: {0}")]
    CommandRefused(#[source] Refusal),
    /// The machine could not be frozen into a template.
    #[error("the machine could not be saved as a template")]
    Save(#[source] SaveError),
    /// The guest's kernel found its clock unstable while it booted.
    #[error("the guest keeps time with {found:?}, which loses some of it: its clock was unstable while it booted")]
    ClockSource {
        /// Its clock source.
        found: String,
    },
    /// Whoever started the server did not allow it.
    #[error("allow_host_compat is refused: commands may not run on the host itself here")]
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
    #[error("the caller went away; command {sequence} goes on")]
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

/// An error as every face shows it (the form on the wire).
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
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::OutOfRange { .. } => "out_of_range",
            Self::InvalidArgument { .. } => "invalid_argument",
            Self::Network(error) => network_code(error),
            Self::Environment(error) => environment_code(error),
            Self::Engine(ProgramError::Missing { .. })
            | Self::Start(StartError::Program(ProgramError::Missing { .. })) => "qemu_missing",
            Self::Engine(ProgramError::TooOld { .. })
            | Self::Start(StartError::Program(ProgramError::TooOld { .. })) => "qemu_too_old",
            Self::Engine(ProgramError::Unreadable { .. })
            | Self::Start(StartError::Program(ProgramError::Unreadable { .. })) => "qemu_unusable",
            Self::Start(_) => "machine_not_started",
            Self::GuestNotUp { .. } | Self::DiedEarly { .. } => "guest_not_up",
            Self::MachineLost { .. } => "machine_lost",
            Self::AgentGeneration { .. } => "agent_generation",
            Self::GuestNonsense(_) => "guest_nonsense",
            Self::CommandRefused(_) => "command_refused",
            Self::Save(_) => "template_not_saved",
            Self::ClockSource { .. } => "clock_unstable",
            Self::HostCompatRefused => "host_compat_refused",
            Self::Registry(problem) => registry_code(problem),
            Self::Record(problem) => record_code(problem),
            Self::Journal(problem) => journal_code(problem),
            Self::Unavailable(reason) => reason.code(),
            Self::CallerGone { .. } => "caller_gone",
            Self::Remote { failure } => &failure.code,
            Self::Cancelled => "cancelled",
            Self::Host { source, .. } if source.kind() == io::ErrorKind::StorageFull => "no_space",
            Self::Host { source, .. } if is_out_of_descriptors(source) => "out_of_descriptors",
            Self::Host { .. } => "host_refused",
        }
    }

    /// What to do now, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        if let Self::Remote { failure } = self {
            return failure.hint.clone();
        }
        if matches!(self, Self::Unavailable(Unavailable::RunExpired { .. })) {
            return Some("give it a longer ttl_seconds, or run it in a task".into());
        }
        let hint = match self.code() {
            "unknown_environment" => "`pyro env list` shows every environment",
            "not_installed" => "`pyro env pull` installs it",
            "out_of_descriptors" => {
                "raise the limit (`ulimit -n` shows it; 1024 is usual), or end programs that keep many files open"
            }
            "no_space" => {
                "free some space, or set PYRO_HOME and PYRO_ENVIRONMENT_CACHE_DIR to larger disks, and try again"
            }
            "tool_missing" | "qemu_missing" => "`pyro doctor` says what is missing and how to install it",
            "qemu_too_old" => "install QEMU 8.2 or newer; on Debian 12 it is in bookworm-backports",
            "qemu_unusable" => "run it with --version by hand to see what is wrong",
            "pull_failed" => "mend what the message names; the next `pyro env pull` starts afresh",
            "environment_damaged" => "`pyro env pull` removes it and installs it again",
            "guest_not_up" | "machine_not_started" => "`pyro doctor --deep` boots a guest and says what is in the way",
            "machine_lost" => "run the command again if doing it twice does no harm",
            "agent_generation" => "`pyro env prune` removes old templates; the next run makes a new one",
            "unknown_task" => "`pyro task list` shows every task",
            "expired" => "`pyro task create` makes a new one; --ttl-seconds says how long it may live",
            "ambiguous_id" => "give more of the id",
            "max_active_vms" => {
                "delete what is not needed (`pyro task list`), or raise PYRO_MAX_ACTIVE_VMS where there is memory for it"
            }
            "not_started" => "start it first",
            "task_stopped" => "its journal can still be read; create another task to go on",
            "vm_stopped" => "start it again",
            "environment_changed" => "delete it and create another",
            "clock_unstable" => "try again when the host is less busy; the template is made once",
            "host_compat_refused" => {
                "leave it out; a person may start the server with `pyro mcp serve --allow-host-compat`"
            }
            "attempt_conflict" => "use an attempt id of its own for each request",
            "unknown_sequence" => "`pyro task logs` shows every command with its number",
            "command_lost" => "`pyro task logs` has the output it had; run it again if doing it twice does no harm",
            "supervisor_gone" => "`pyro task logs` shows every command that was sent, and what came of it",
            "newer_registry" | "newer_journal" | "newer_record" => "use the newer pyro, or another PYRO_HOME",
            "newer_environment" => "use the newer pyro, or set PYRO_ENVIRONMENT_CACHE_DIR to another directory",
            "record_damaged" => "nothing of it was removed; `pyro repair` says what can be restored",
            "record_missing" => "nothing of it was removed; `pyro repair` says what can be done",
            "record_unreadable" => "nothing of it was removed; mend what the message names, and try again",
            "network_file_system" => "set PYRO_HOME to a directory on a local disk",
            "registry_unusable" => {
                "nothing was removed; `pyro repair` says what is damaged, and makes the registry anew from the machines' directories"
            }
            "too_many_clients" => "try again when some of them are done",
            "journal_unusable" => "nothing was removed; look at the file it names, or delete the task",
            "supervisor_failed" => "`pyro doctor` says what is missing; the next command removes what is left",
            "passt_missing" => "install passt (on Debian and Ubuntu: apt-get install passt), or leave the network out",
            "no_route" => "connect this host, or leave the network out; `ip route` shows its routes",
            "network_failed" => {
                "start `passt --foreground` by hand to see what is in its way (often: user namespaces are forbidden)"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// The error as every face shows it.
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

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Registry(problem) => Self::Registry(problem),
            StoreError::Record(problem) => Self::Record(problem),
            StoreError::Journal(problem) => Self::Journal(problem),
            StoreError::Full { limit, live } => Unavailable::Capacity { limit, live }.into(),
            StoreError::Lives { .. } => Self::InvalidArgument { problem: error.to_string() },
            StoreError::Host { attempt, source } => Self::Host { attempt, source },
        }
    }
}

/// Whether this process, or the host, may open no more files.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn environment_code(error: &EnvironmentError) -> &str {
    match error {
        _ if error.is_out_of_space() => "no_space",
        EnvironmentError::Unknown { .. } => "unknown_environment",
        EnvironmentError::NotInstalled { .. } => "not_installed",
        EnvironmentError::MissingTool { .. } => "tool_missing",
        EnvironmentError::Damaged { .. } => "environment_damaged",
        EnvironmentError::Newer { .. } => "newer_environment",
        EnvironmentError::Unpack { source, .. } => source.downcast_ref::<Error>().map_or("pull_failed", Error::code),
        EnvironmentError::Tool { .. } | EnvironmentError::Kernel { .. } => "pull_failed",
        EnvironmentError::NoSpace { .. } => "no_space",
        EnvironmentError::Host { .. } => "host_refused",
    }
}

fn network_code(error: &NetworkError) -> &'static str {
    match error {
        NetworkError::Missing { .. } => "passt_missing",
        NetworkError::NoRoute => "no_route",
        NetworkError::NotUp { .. } | NetworkError::Silent { .. } => "network_failed",
        NetworkError::Host { .. } => "host_refused",
    }
}

fn registry_code(problem: &RegistryProblem) -> &'static str {
    match problem {
        RegistryProblem::Newer { .. } => "newer_registry",
        RegistryProblem::Network { .. } => "network_file_system",
        RegistryProblem::Sql { .. } if problem.is_out_of_space() => "no_space",
        RegistryProblem::Sql { .. } | RegistryProblem::Row { .. } | RegistryProblem::Stale { .. } => {
            "registry_unusable"
        }
    }
}

fn record_code(problem: &RecordProblem) -> &'static str {
    match problem {
        RecordProblem::Newer { .. } => "newer_record",
        RecordProblem::Damaged { .. } => "record_damaged",
        RecordProblem::Unread { .. } => "record_unreadable",
        RecordProblem::Missing { .. } => "record_missing",
    }
}

fn journal_code(problem: &JournalProblem) -> &'static str {
    if problem.is_newer() { "newer_journal" } else { "journal_unusable" }
}

fn last_words(console: &[String]) -> String {
    const SHOWN: usize = 8;
    if console.is_empty() {
        return "; its console said nothing".into();
    }
    let shown = &console[console.len().saturating_sub(SHOWN)..];
    format!("; its console ended with:\n  {}", shown.join("\n  "))
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
