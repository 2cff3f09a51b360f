//! Errors of environments.

use std::error::Error;
use std::io;
use std::path::PathBuf;

/// The error of the caller's [`crate::Unpacker`].
pub type UnpackFailure = Box<dyn Error + Send + Sync>;

/// An operation on environments failed. A partial installation never counts as installed.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// No such name in the catalog.
    #[error("unknown environment {name:?}; the environments are {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The name is known, but it is not installed.
    #[error("environment {name} is not installed")]
    NotInstalled {
        /// Its name.
        name: String,
    },
    /// Too little room to begin.
    #[error("{} has {available_mib} MiB free; pulling {name} needs {needed_mib} MiB", path.display())]
    NoSpace {
        /// Which environment.
        name: String,
        /// Where.
        path: PathBuf,
        /// What there is.
        available_mib: u64,
        /// What is needed.
        needed_mib: u64,
    },
    /// A program that builds environments is not there.
    #[error("{program} was not found; pyro needs it to build environments")]
    MissingTool {
        /// Its name.
        program: String,
    },
    /// A program that builds environments failed.
    #[error("{program} failed ({status}): {}", last_words.last().map_or("it printed no message", |line| line))]
    Tool {
        /// Its name.
        program: String,
        /// Its exit status, as text.
        status: String,
        /// The last lines it printed, oldest first.
        last_words: Vec<String>,
    },
    /// The kernel package is not what it should be.
    #[error("the kernel package cannot be used: {problem}")]
    Kernel {
        /// What is wrong with it.
        problem: String,
    },
    /// The disk could not be filled.
    #[error("the root disk of {name} could not be written")]
    Unpack {
        /// Which environment.
        name: String,
        /// Why.
        #[source]
        source: UnpackFailure,
    },
    /// The installed files have changed or are missing.
    #[error("environment {name} is damaged: {problem}")]
    Damaged {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A newer release installed it. It is left alone.
    #[error("{} was written by a newer release of pyro: it has format {found}; this release supports format {ours}", path.display())]
    Newer {
        /// Its manifest.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format this release knows.
        ours: u32,
    },
    /// The host's file system refused something.
    #[error("could not {attempt}")]
    Host {
        /// What was tried.
        attempt: String,
        /// The host's answer.
        #[source]
        source: io::Error,
    },
}

impl EnvironmentError {
    /// Whether the disk was full.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        match self {
            Self::NoSpace { .. } => true,
            Self::Host { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            Self::Tool { last_words, .. } => last_words.iter().any(|line| line.contains("No space left on device")),
            _ => false,
        }
    }
}

/// Names what was tried, for `map_err`.
pub(crate) fn host(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> EnvironmentError {
    let attempt = attempt.into();
    move |source| EnvironmentError::Host { attempt, source }
}
