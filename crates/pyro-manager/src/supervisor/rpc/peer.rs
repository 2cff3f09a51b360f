//! Who is at the other end of a conversation.
//!
//! Tasks live for days, so that a client and a supervisor may be of two releases. A generation is a set of messages.
//! It grows by one when a release adds something that the other side must know to do what it is asked.

use crate::Error;
use crate::error::Unavailable;

/// The generation of this release.
pub const GENERATION: u32 = 2;
/// The generation of releases that say no hello.
pub const FIRST: u32 = 1;
/// The generation that brought file operations.
pub const FILES: u32 = 2;
/// The generation that brought the stopping, starting and naming of tasks.
pub const WORKSPACES: u32 = 2;
/// This release.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");
/// Characters of a release's name. A client says it, and its supervisor keeps it as long as the connection.
const MAX_RELEASE: usize = 64;
/// What is known of the release of somebody who says no hello.
const FIRST_RELEASES: &str = "2.1.0 or earlier";

/// The other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    generation: u32,
    /// `None` for one who says no hello.
    release: Option<String>,
}

impl Peer {
    /// One who says no hello.
    pub fn silent() -> Self {
        Self { generation: FIRST, release: None }
    }

    /// One who has said so.
    pub fn new(generation: u32, release: String) -> Self {
        Self { generation, release: Some(release.chars().take(MAX_RELEASE).collect()) }
    }

    /// Whether this supervisor carries out what needs a generation.
    ///
    /// # Errors
    /// [`Unavailable::OtherRelease`]: it does not.
    pub fn check(&self, needed: u32) -> Result<(), Error> {
        if needed <= self.generation {
            return Ok(());
        }
        Err(other_release(self.release(), RELEASE, "the supervisor cannot do what is asked"))
    }

    /// What is said to this client whose request needs a generation that this supervisor does not have.
    pub fn asks_too_much(&self) -> Error {
        other_release(RELEASE, self.release(), "the supervisor cannot do what is asked")
    }

    /// What is said of a request that is not understood.
    pub fn request_not_understood(&self) -> Error {
        match self.is_of_another_release() {
            true => other_release(RELEASE, self.release(), "the supervisor does not understand the request"),
            false => nonsense(),
        }
    }

    /// What is said of an answer that is not understood.
    pub fn answer_not_understood(&self) -> Error {
        match self.is_of_another_release() {
            true => other_release(self.release(), RELEASE, "the client does not understand the answer"),
            false => nonsense(),
        }
    }

    fn is_of_another_release(&self) -> bool {
        self.release.as_ref().is_some_and(|release| release != RELEASE)
    }

    fn release(&self) -> &str {
        self.release.as_deref().unwrap_or(FIRST_RELEASES)
    }
}

fn other_release(supervisor: &str, client: &str, what: &'static str) -> Error {
    Unavailable::OtherRelease { supervisor: supervisor.into(), client: client.into(), what }.into()
}

/// Said of bytes that no release sends.
fn nonsense() -> Error {
    Error::InvalidArgument { problem: "a message on the supervisor's socket is not understood".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_does_what_its_generation_brought_and_nothing_later() {
        let peer = Peer::new(3, "3.0.0".into());
        assert!(peer.check(2).is_ok() && peer.check(3).is_ok());
        let error = peer.check(4).unwrap_err().to_string();
        assert!(
            error.ends_with(&format!("its supervisor is of pyro 3.0.0, and the client is of pyro {RELEASE}")),
            "{error}"
        );
    }

    #[test]
    fn what_a_peer_of_the_same_release_says_is_nonsense_and_another_one_is_named() {
        let codes = |peer: Peer| {
            [peer.request_not_understood(), peer.answer_not_understood()].map(|error| error.code().to_owned())
        };
        assert_eq!(codes(Peer::new(GENERATION, RELEASE.into())), ["invalid_argument"; 2]);
        assert_eq!(codes(Peer::silent()), ["invalid_argument"; 2]);
        assert_eq!(codes(Peer::new(GENERATION, "2.9.9".into())), ["other_release"; 2]);
    }

    #[test]
    fn a_long_name_of_a_release_is_cut() {
        let error = Peer::new(9, "x".repeat(1000)).asks_too_much().to_string();
        assert!(error.ends_with(&format!("of pyro {}", "x".repeat(MAX_RELEASE))), "{error}");
    }
}
