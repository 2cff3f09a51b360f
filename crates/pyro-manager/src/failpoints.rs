//! The steps at which a process may be killed without anything going wrong.
//!
//! Each is a point right before or after something that others can see: a write, a message, a
//! start, a removal. The manager names them as it passes; tests kill the process at each in turn.

/// Hears of each step.
pub trait Failpoints: Send + Sync {
    /// The process is at this step now.
    fn reached(&self, step: &'static str);
}

/// Nobody listens.
pub struct NoFailpoints;

impl Failpoints for NoFailpoints {
    fn reached(&self, _step: &'static str) {}
}
