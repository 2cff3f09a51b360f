//! Applying and undoing, on real directories.
#![expect(clippy::unwrap_used, reason = "tests")]

mod interrupted;
mod laws;
mod planned;
mod tricks;
mod world;
