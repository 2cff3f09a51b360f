//! Errors of machines.

use std::io;
use std::path::PathBuf;

/// The engine's program cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not there.
    #[error("{program} was not found")]
    Missing {
        /// Its name or path.
        program: String,
    },
    /// It did not say its version.
    #[error("{program} does not report its version")]
    Unreadable {
        /// Its path.
        program: PathBuf,
    },
    /// It is too old.
    #[error("{program} is QEMU {found}; pyro needs {minimum} or newer")]
    TooOld {
        /// Its path.
        program: PathBuf,
        /// Its version.
        found: String,
        /// The oldest version that is good enough.
        minimum: &'static str,
    },
}

/// A machine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine's program cannot be used.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A path that cannot be passed to QEMU.
    #[error("the path {path:?} is not UTF-8")]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// The host refused something on the way.
    #[error("could not {attempt}")]
    Host {
        /// What was tried.
        attempt: &'static str,
        /// The host's answer.
        #[source]
        source: io::Error,
    },
    /// The machine ended while it was starting.
    #[error("the machine ended while it was starting: {}", death.summary())]
    Died {
        /// How it ended, with its last output.
        death: Death,
    },
    /// The machine refused a request.
    #[error("the machine refused `{command}`: {message}")]
    Refused {
        /// The QMP command.
        command: &'static str,
        /// QEMU's error message.
        message: String,
    },
}

/// A machine could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The machine ended meanwhile.
    #[error("the machine ended while it was saved: {}", death.summary())]
    Died {
        /// How it ended, with its last output.
        death: Death,
    },
    /// The machine refused a request, or the state could not be written.
    #[error("the machine could not be saved: {message}")]
    Refused {
        /// QEMU's error message.
        message: String,
    },
    /// A path that cannot be passed to QEMU.
    #[error("the path {path:?} is not UTF-8")]
    Path {
        /// The path.
        path: PathBuf,
    },
}

/// How a machine ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Exit status of the machine's process, as text.
    pub status: String,
    /// The error output of the machine's process, oldest line first.
    pub complaints: Vec<String>,
    /// The last lines of the guest's console, oldest first.
    pub console: Vec<String>,
}

impl Death {
    /// One line: how the process ended, and its last error line.
    #[must_use]
    pub fn summary(&self) -> String {
        let parts = [Some(&self.status), self.complaints.last()].into_iter().flatten();
        let parts: Vec<&str> = parts.map(String::as_str).filter(|part| !part.is_empty()).collect();
        parts.join(": ")
    }
}
