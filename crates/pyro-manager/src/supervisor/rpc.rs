//! What clients and supervisors say to one another (the form on the socket).
//!
//! ```text
//! client                                  supervisor
//! Hello(generation, release), request ──▶
//!                                     ◀── Hello(generation, release), answers
//! ```
//!
//! Frames of `pyro-protocol`, all on one stream: messages are JSON, cut into frames of which the
//! last carries END; output and input are raw. A connection is one request and its answers.
//!
//! [`messages`] are the messages, [`record_form`] and [`command_form`] what of the store they carry, [`connection`]
//! is how they travel, [`peer`] who the other side is, [`greeting`] how both find out. No type of the store or of the
//! manager is sent: what is sent is converted. `golden/` has the messages of each generation.

mod command_form;
mod connection;
mod greeting;
mod messages;
mod peer;
mod record_form;
#[cfg(test)]
mod tests;

pub use connection::{Arrived, Connection, Reader, Writer, encoded};
pub use greeting::Welcome;
pub use messages::{Reply, Request};
