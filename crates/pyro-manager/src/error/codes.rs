//! The stable code of each error.

use std::io;

use pyro_engine::{ProgramError, StartError};
use pyro_environment::EnvironmentError;
use pyro_guest::files::reason;
use pyro_network::NetworkError;

use super::{Error, JournalProblem, RecordProblem, RegistryProblem};

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
            Self::NotIdentified { .. } => "not_identified",
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
            Self::File { reason, .. } => file_code(reason),
            Self::FileUnknown { .. } => "file_unknown",
            Self::Source { .. } => "source_unusable",
            Self::SourceStream => "file_unknown",
            Self::Export { .. } => "export_refused",
            Self::Apply { .. } => "apply_refused",
            Self::Cancelled | Self::FileCancelled => "cancelled",
            Self::Host { source, .. } if source.kind() == io::ErrorKind::StorageFull => "no_space",
            Self::Host { source, .. } if is_out_of_descriptors(source) => "out_of_descriptors",
            Self::Host { .. } => "host_refused",
        }
    }
}

/// Words that an agent of this release does not say are failures like others.
fn file_code(word: &str) -> &'static str {
    match word {
        reason::NOT_FOUND => "file_not_found",
        reason::NOT_A_DIRECTORY => "file_not_a_directory",
        reason::IS_A_DIRECTORY => "file_is_a_directory",
        reason::EXISTS => "file_exists",
        reason::NOT_EMPTY => "directory_not_empty",
        reason::OUTSIDE_ROOT => "outside_root",
        reason::CHANGED => "file_changed",
        reason::NO_SPACE => "guest_no_space",
        reason::PERMISSION => "file_permission",
        reason::INCOMPLETE => "file_incomplete",
        reason::BAD_REQUEST => "invalid_argument",
        _ => "file_failed",
    }
}

/// Whether this process, or the host, may open no more files.
fn is_out_of_descriptors(error: &io::Error) -> bool {
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
