//! One-shot runs over the fake engine: every step can fail, and nothing is ever left.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod host;
mod outcome;
mod permits;
mod template;
mod warm_pool;
mod world;
