//! Errors of a guest's network.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A guest cannot have a network, or lost it.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// `passt` is not installed.
    #[error("{} was not found; guests need it to reach the network", program.display())]
    Missing {
        /// Its name or path.
        program: PathBuf,
    },
    /// The host itself reaches nothing.
    #[error("this host has no default route for IPv4 or IPv6, so a guest cannot reach the network")]
    NoRoute,
    /// passt ended before it answered, or did not answer.
    #[error("passt did not start: {why}")]
    NotUp {
        /// Its last message, or how it ended.
        why: String,
    },
    /// passt does not answer.
    #[error("passt did not answer within {} s", waited.as_secs())]
    Silent {
        /// How long it was given.
        waited: Duration,
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
}

/// Names what was tried, for `map_err`.
pub(crate) fn host(attempt: &'static str) -> impl FnOnce(io::Error) -> NetworkError {
    move |source| NetworkError::Host { attempt, source }
}
