//! Errors between host and guest.

use pyro_protocol::frame::FrameError;
use pyro_protocol::message::Refused;

/// The conversation, or one request in it, failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuestError {
    /// The stream ended: the machine or its agent is gone.
    #[error("the guest closed the connection")]
    Gone,
    /// The stream contains bytes that are not a valid frame.
    #[error("the guest sent an invalid frame")]
    Frame(#[from] FrameError),
    /// The guest broke the protocol.
    #[error("the guest sent {what}")]
    Nonsense {
        /// What it sent.
        what: &'static str,
    },
    /// A message that is too long for the guest. It was not sent, and the connection is closed.
    #[error("a message of {bytes} bytes is too long for a guest")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The agent in the guest is of another generation.
    #[error("the guest's agent ({guest_version}) uses protocol generation {guest}; this program uses {ours}", ours = pyro_protocol::GENERATION)]
    Generation {
        /// Its generation.
        guest: u32,
        /// Its release.
        guest_version: String,
    },
    /// The guest could not set its identity (clock, entropy, names, network), so no command runs in it.
    #[error("the guest could not set its identity: {why}")]
    NotIdentified {
        /// The guest's error message.
        why: String,
    },
    /// The guest refused the request.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Why the guest refused a request. No command was run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Stable word, see [`Refused::reason`].
    pub reason: String,
    /// The guest's error message.
    pub message: String,
}

impl Refusal {
    pub(crate) fn from_wire(refused: &Refused) -> Self {
        Self { reason: refused.reason.clone(), message: refused.message.clone() }
    }
}
