//! Why nothing was received.

use std::io;
use std::path::PathBuf;

use crate::reason::{Refusal, StreamError};
use crate::transfer::TransferError;

/// Why nothing was received.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The guest sent what is not allowed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The stream could not be read.
    #[error("the stream could not be read")]
    Read(#[source] io::Error),
    /// The destination is there and is not an empty directory.
    #[error("{} is there already", .0.display())]
    DestinationExists(PathBuf),
    /// The destination has no name, or no directory to be in.
    #[error("{} cannot be made there", .0.display())]
    Destination(PathBuf, #[source] io::Error),
    /// An entry could not be written.
    #[error("{:?} could not be written", String::from_utf8_lossy(.path))]
    Write {
        /// Its path below the destination.
        path: Vec<u8>,
        /// What the system says.
        source: io::Error,
    },
}

impl From<TransferError> for ReceiveError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Stream(StreamError::Refused(refusal)) => Self::Refused(refusal),
            TransferError::Stream(StreamError::Read(error)) => Self::Read(error),
            TransferError::Sink(path, source) => Self::Write { path, source },
        }
    }
}
