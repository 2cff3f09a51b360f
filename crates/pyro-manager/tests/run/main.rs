//! One-shot runs over the fake engine: every step can fail, and nothing is ever left.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod host;
mod outcome;
mod standby;
mod template;
mod turns;
mod world;
