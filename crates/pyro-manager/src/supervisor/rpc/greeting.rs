//! Hello: how client and supervisor find out of which release the other one is.
//!
//! ```text
//! client: Hello, request ──▶ supervisor of this generation: Hello, answers
//!                        ──▶ supervisor of the first one:   Failed(invalid_argument), closed; it has run nothing
//!                        ──▶ supervisor that takes nobody:  Failed(another code), closed
//! client without Hello   ──▶ supervisor: answers, as to the first generation
//! ```
//!
//! Hello and request are written at once, so that a hello costs no way to and fro. A supervisor of the first
//! generation reads the hello first, does not know it, and never comes to the request.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::connection::{Connection, encoded};
use super::messages::{Reply, Request};
use super::peer::{GENERATION, Peer, RELEASE};
use crate::{Error, Failure};

/// The code of the first generation for a message that it does not know.
const NOT_UNDERSTOOD: &str = "invalid_argument";

/// How a supervisor takes a hello.
#[derive(Debug)]
pub enum Welcome {
    /// It has said who it is, and its answers follow.
    Known,
    /// It has hung up without a word.
    HungUp,
    /// It does not know what a hello is, and has carried out nothing.
    NotUnderstood,
    /// It takes no request, and has carried out nothing.
    Refused(Failure),
}

impl Connection {
    /// Says hello and asks. What keeps a supervisor from taking it shows in what is read next.
    pub async fn ask(&mut self, request: &Request) {
        let hello = Request::Hello { generation: GENERATION, release: RELEASE.into(), needs: request.needs() };
        let mut bytes = encoded(&hello);
        bytes.extend(encoded(request));
        let _ = self.writer.write(&bytes).await;
    }

    /// Asks one who says no hello.
    ///
    /// # Errors
    /// [`crate::error::Unavailable::OtherRelease`]: the first generation cannot do it.
    pub async fn ask_without_hello(&mut self, request: &Request) -> Result<(), Error> {
        self.reader.peer.check(request.needs())?;
        let _ = self.writer.write(&encoded(request)).await;
        Ok(())
    }

    /// Hears how the supervisor takes a hello.
    ///
    /// # Errors
    /// What it says makes no sense.
    pub async fn welcome(&mut self) -> Result<Welcome, Error> {
        Ok(match self.reply().await? {
            Some(Reply::Hello { generation, release }) => {
                self.reader.peer = Peer::new(generation, release);
                Welcome::Known
            }
            Some(Reply::Failed { failure }) => {
                let failure = Failure::from(failure);
                if failure.code == NOT_UNDERSTOOD { Welcome::NotUnderstood } else { Welcome::Refused(failure) }
            }
            Some(_) => return Err(self.reader.peer.answer_not_understood()),
            None => Welcome::HungUp,
        })
    }

    /// Hears a client's request, and answers the hello before it. All connections that wait for one share `budget`, in
    /// bytes. `None` at the end of the conversation.
    ///
    /// # Errors
    /// What the client says makes no sense, or needs another release.
    pub async fn hear(&mut self, budget: Arc<Semaphore>) -> Result<Option<Request>, Error> {
        self.reader.bound(budget);
        let heard = self.hear_both().await;
        self.reader.unbound();
        heard
    }

    async fn hear_both(&mut self) -> Result<Option<Request>, Error> {
        let (generation, release, needs) = match self.reader.request().await? {
            Some(Request::Hello { generation, release, needs }) => (generation, release, needs),
            other => return Ok(other),
        };
        self.reader.peer = Peer::new(generation, release);
        self.send(&Reply::Hello { generation: GENERATION, release: RELEASE.into() }).await?;
        if needs > GENERATION {
            return Err(self.reader.peer.asks_too_much());
        }
        self.reader.request().await
    }
}
