//! Errors of the store: a damaged registry, record or journal, or a refusal of the host.

use std::io;
use std::path::PathBuf;

/// An operation on what is stored failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryProblem),
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordProblem),
    /// A journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalProblem),
    /// The number of live machines has reached the limit.
    #[error("{live} VMs and tasks are live; the limit is {limit}")]
    Full {
        /// The limit.
        limit: usize,
        /// How many there are.
        live: usize,
    },
    /// A name belongs to one task at a time.
    #[error("the name {name} is taken by task {id}")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        id: String,
    },
    /// Only its owner may change it.
    #[error("{id} is running; only its supervisor may change it")]
    Lives {
        /// Its id.
        id: String,
    },
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

/// Names what was tried, for `map_err`.
pub(crate) fn host(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let attempt = attempt.into();
    move |source| Error::Host { attempt, source }
}

/// The registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryProblem {
    /// A newer release made it.
    #[error("{} was made by a newer release of pyro: it has version {found}; this release supports version {ours}", path.display())]
    Newer {
        /// Its file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version this release knows.
        ours: i64,
    },
    /// Locks and shared memory do not work reliably there.
    #[error("{} is on a network file system ({kind}); file locks are not reliable there", path.display())]
    Network {
        /// The data directory.
        path: PathBuf,
        /// Which kind.
        kind: &'static str,
    },
    /// SQLite refused.
    #[error("the registry {} cannot be used", path.display())]
    Sql {
        /// Its file.
        path: PathBuf,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// A row is not a record.
    #[error("the row of {id} in {} cannot be read", path.display())]
    Row {
        /// Its file.
        path: PathBuf,
        /// Which row, as far as that can be read.
        id: String,
        /// Why.
        #[source]
        source: Box<RecordProblem>,
    },
    /// The row is missing, or does not match the machine's record.
    #[error("the row of {id} in {} is missing or out of date", path.display())]
    Stale {
        /// Its file.
        path: PathBuf,
        /// Which row.
        id: String,
    },
}

/// The record of a VM or task cannot be read. The VM or task is kept as it is.
#[derive(Debug, thiserror::Error)]
pub enum RecordProblem {
    /// A newer release wrote it.
    #[error("{} was written by a newer release of pyro: it has format {found}; this release supports format {ours}", path.display())]
    Newer {
        /// Its file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format this release knows.
        ours: u32,
    },
    /// The file is not what pyro wrote.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The host refused to read it.
    #[error("{} could not be read", path.display())]
    Unread {
        /// Its file.
        path: PathBuf,
        /// The host's answer.
        #[source]
        source: std::io::Error,
    },
    /// The directory has no record and is not marked as a one-shot run's.
    #[error("{} has no record, so pyro cannot tell what it was", directory.display())]
    Missing {
        /// The directory.
        directory: PathBuf,
    },
}

/// A journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalProblem {
    /// This release cannot read the log file.
    #[error("the journal {} cannot be read", path.display())]
    Log {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pyro_hostfs::log::LogError,
    },
    /// A complete record has invalid content.
    #[error("a record in {} is invalid", path.display())]
    Record {
        /// Its file.
        path: PathBuf,
        /// The parser's error.
        #[source]
        source: serde_json::Error,
    },
}

impl RegistryProblem {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Sql { source, .. } if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}

impl JournalProblem {
    /// Whether a newer release wrote it.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        use pyro_hostfs::log::LogError;
        matches!(self, Self::Log { source: LogError::Format | LogError::Newer { .. }, .. })
    }
}
