//! Applying and undoing, on real directories.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod interrupted;
mod laws;
mod planned;
#[path = "../trees/mod.rs"]
mod trees;
mod tricks;
mod world;
