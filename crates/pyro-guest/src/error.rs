//! What can go wrong between host and guest.

use pyro_protocol::frame::FrameError;
use pyro_protocol::message::Refused;

/// The conversation, or one request in it, failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuestError {
    /// The stream ended: the machine or its agent is gone.
    #[error("the guest closed the connection")]
    Gone,
    /// The stream carries what cannot be a frame.
    #[error("the guest sent an invalid frame")]
    Frame(#[from] FrameError),
    /// The guest broke the protocol.
    #[error("the guest sent {what}")]
    Nonsense {
        /// What it sent.
        what: &'static str,
    },
    /// A message that the guest would not take; it was not sent, and nothing goes on.
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
    /// The guest could not become a machine of its own (clock, entropy, names, network), so nothing runs in it.
    #[error("the guest could not set its identity: {why}")]
    NotIdentified {
        /// The guest's own words.
        why: String,
    },
    /// The guest understood and did not do it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Why the guest did not do what it was asked; nothing was run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Stable word, see [`Refused::reason`].
    pub reason: String,
    /// The guest's own words.
    pub message: String,
}

impl Refusal {
    pub(crate) fn from_wire(refused: &Refused) -> Self {
        Self { reason: refused.reason.clone(), message: refused.message.clone() }
    }
}
