//! Applying and undoing, on real directories.

mod interrupted;
mod laws;
mod planned;
mod tricks;
mod world;
