//! The file worker as an ordinary process on this host, in directories of its own.
//!
//! What goes through its pipes is what a host sends and gets.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod change;
mod changes;
mod law;
mod look;
mod pack;
mod seed;
mod seed_law;
mod seeded;
mod unpack;
mod walls;
mod worker;
mod write;
