//! The host's side of the conversation with the guest agent.
//!
//! [`Guest::attach`] takes the byte stream and starts two small tasks, one that reads and one that
//! writes; both end with the stream. Everything else sends to them. Hello and identity are sent in
//! one piece; commands are sent when both were answered.
//!
//! The guest is not trusted: an invalid stream, or a guest that sends more than it was
//! allowed to, ends the conversation with [`GuestError`]; it never panics and never buffers
//! without bound.
#![forbid(unsafe_code)]

mod command;
mod error;
mod link;

pub use command::{Command, Exit, OutputEvent, Running, StdinWriter};
pub use error::{GuestError, Refusal};
pub use pyro_protocol::files;
pub use pyro_protocol::{
    GENERATION, ROOT_PARAMETER, TIMED_OUT_EXIT_CODE,
    message::{Identity, Network},
};

use pyro_protocol::frame::StreamId;
use pyro_protocol::message::{Clock, Event, Freeze, Hello, Request, Shutdown, Unpack};
use tokio::net::UnixStream;

use link::Link;

/// A guest at the other end of a byte stream.
#[derive(Debug)]
pub struct Guest {
    link: Link,
}

impl Guest {
    /// Takes the stream. Must be called inside a tokio runtime.
    #[must_use]
    pub fn attach(stream: UnixStream) -> Self {
        Self { link: Link::start(stream) }
    }

    /// Says Hello and who the machine is from now on, without waiting for the answer.
    pub fn start_handshake(&self, identity: Identity) {
        let hello = Hello {
            generation: pyro_protocol::GENERATION,
            capabilities: Vec::new(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        self.link.send(StreamId::CONTROL, Request::Hello(hello));
        self.link.send(StreamId::CONTROL, Request::Identity(identity));
    }

    /// Awaits the guest's answers to [`Self::start_handshake`]. Afterwards the machine has its own identity.
    ///
    /// # Errors
    /// [`GuestError::Generation`] when it is another one, [`GuestError::NotIdentified`] when it could not take its
    /// identity and runs nothing; otherwise as [`GuestError`].
    pub async fn ready(&self) -> Result<(), GuestError> {
        match self.link.control().await? {
            Event::Hello(hello) if hello.generation == pyro_protocol::GENERATION => {}
            Event::Hello(hello) => {
                return Err(GuestError::Generation { guest: hello.generation, guest_version: hello.version });
            }
            other => return Err(unexpected(&other)),
        }
        match self.link.control().await? {
            Event::Identified(_) => Ok(()),
            Event::Refused(refused) => Err(GuestError::NotIdentified { why: refused.message }),
            other => Err(unexpected(&other)),
        }
    }

    /// Tells the guest what time it is, in nanoseconds since 1970-01-01 UTC. A clock that is off by more than 100 ms is
    /// corrected before a command that is sent afterwards runs.
    pub fn set_clock(&self, wall_clock_ns: u64) {
        self.link.send(StreamId::CONTROL, Request::Clock(Clock { wall_clock_ns }));
    }

    /// Prepares the machine for saving. Afterwards it waits for a new handshake. Returns the name of the clock
    /// source that the guest's kernel keeps time with; empty where it does not say.
    ///
    /// # Errors
    /// As [`GuestError`].
    pub async fn freeze(&self) -> Result<String, GuestError> {
        self.link.send(StreamId::CONTROL, Request::Freeze(Freeze {}));
        match self.link.control().await? {
            Event::Frozen(frozen) => Ok(frozen.clock_source),
            other => Err(unexpected(&other)),
        }
    }

    /// Fills the blank disk `target` from the tar archives on the disks `sources`; `progress` gets
    /// the bytes of archive read so far. Returns how many entries were written.
    ///
    /// # Errors
    /// As [`GuestError`].
    pub async fn unpack(
        &self,
        target: &str,
        sources: &[&str],
        mut progress: impl FnMut(u64),
    ) -> Result<u64, GuestError> {
        let sources = sources.iter().map(|&source| source.to_owned()).collect();
        self.link.send(StreamId::CONTROL, Request::Unpack(Unpack { target: target.into(), sources }));
        loop {
            match self.link.control().await? {
                Event::UnpackProgress(step) => progress(step.archive_bytes),
                Event::Unpacked(end) => return Ok(end.entries),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Asks for an orderly end: commands killed, disks written, power off.
    ///
    /// # Errors
    /// As [`GuestError`].
    pub async fn shut_down(&self) -> Result<(), GuestError> {
        self.link.send(StreamId::CONTROL, Request::Shutdown(Shutdown {}));
        match self.link.control().await? {
            Event::GoingDown(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// A file operation, which the agent carries out itself: a command whose pipes [`files`] describes.
    #[must_use]
    pub fn file_worker(&self) -> Command<'_> {
        Command::file_worker(&self.link)
    }

    /// A command to be run in the guest; see [`Command`].
    #[must_use]
    pub fn command(&self, program: impl Into<Vec<u8>>) -> Command<'_> {
        Command::new(&self.link, program.into())
    }
}

fn unexpected(event: &Event) -> GuestError {
    match event {
        Event::Refused(refused) => GuestError::Refused(Refusal::from_wire(refused)),
        _ => GuestError::Nonsense { what: "an answer to no request" },
    }
}

#[cfg(test)]
mod tests;
