//! For tests: a fake engine with a scripted guest, a small environment, a probe of the host.
//!
//! The fake engine is the second implementation of `pyro_engine::Engine`. It speaks the real
//! protocol over a real socket, so that everything above the engine runs as it does over QEMU, in
//! milliseconds, and can be made to fail at any step.
#![forbid(unsafe_code)]

mod environment;
mod fake;
mod guest;
mod host;
mod lab;

pub use environment::{install_small, small_environment_files};
pub use fake::{Behaviour, FakeEngine, Start};
pub use host::{real_guests, skip};
pub use lab::{Lab, Routes};
