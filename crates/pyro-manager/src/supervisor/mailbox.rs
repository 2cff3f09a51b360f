//! What is asked of the owner of a machine, or told to it, and what it answers.

use std::time::Duration;

use bytes::Bytes;
use pyro_guest::Exit;
use pyro_store::journal::Stream as OutputStream;
use pyro_store::{Ended, Record};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::DropGuard;

use super::request::ExecRequest;
use super::table::Progress;
use crate::error::Error;
use crate::naming::NamingChange;

/// What the owner is asked or told.
pub enum Message {
    /// Run a command.
    Exec { request: ExecRequest, answer: oneshot::Sender<Result<Joined, Error>> },
    /// Begin a file operation.
    Files { timeout: Duration, answer: oneshot::Sender<Result<Transfer, Error>> },
    /// Start the machine. A task's life is counted anew.
    Start { ttl: Option<Duration>, answer: oneshot::Sender<Result<Record, Error>> },
    /// Stop the machine, and give it another life; one of no length never ends.
    Stop { ttl: Option<Duration>, answer: oneshot::Sender<Result<Record, Error>> },
    /// Count the life anew.
    Extend { ttl_seconds: u64, answer: oneshot::Sender<Result<Record, Error>> },
    /// Call it otherwise.
    Update { change: NamingChange, answer: oneshot::Sender<Result<Record, Error>> },
    /// Remove everything. The answer comes when that is done.
    Remove { reason: Ended, answer: oneshot::Sender<Result<(), Error>> },
    /// The guest's channel was closed. Its machine's process ends, or hangs.
    ChannelClosed,
    /// The guest cannot be trusted or does not answer any more.
    Trouble { what: String },
    /// The command was to be the last one.
    LastCommandEnded,
}

/// A piece of output.
pub type Piece = (OutputStream, Bytes);

/// What an accepted client gets.
pub struct Joined {
    pub sequence: u64,
    /// `None` for one who only joined, or does not stay.
    pub attached: Option<Attached>,
    /// Whether it belongs to an earlier request.
    pub joined: bool,
}

/// The client's ends of a running command.
pub struct Attached {
    pub pieces: mpsc::Receiver<Piece>,
    pub progress: watch::Receiver<Progress>,
    pub input: mpsc::Sender<Bytes>,
}

/// The client's ends of a file operation. Dropping it ends the worker.
pub struct Transfer {
    pub pieces: mpsc::Receiver<Piece>,
    pub input: mpsc::Sender<Bytes>,
    pub end: oneshot::Receiver<Result<Exit, String>>,
    /// Ends the worker when it is dropped.
    pub ended_with_it: DropGuard,
}
