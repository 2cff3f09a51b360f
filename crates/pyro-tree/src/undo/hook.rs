//! The steps at which an application may be killed without anything going wrong.
//!
//! Each is a point right before or after something that others can see. Tests stop at each in turn, or let it fail.

use std::io;

/// Hears of each step, and may let it fail.
pub trait Steps {
    /// The process is at this step now, with this path or name.
    ///
    /// # Errors
    /// Whatever a test wants the file system to say.
    fn reached(&self, step: &'static str, name: &[u8]) -> io::Result<()>;
}

/// Nobody listens.
pub struct NoSteps;

impl Steps for NoSteps {
    fn reached(&self, _step: &'static str, _name: &[u8]) -> io::Result<()> {
        Ok(())
    }
}
