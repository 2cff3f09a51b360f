//! What pyro says to people, on stderr. Nothing that goes wrong there ends anything.

use std::io::{self, Write};

/// A line on stderr, for people. Like `eprintln!`, and a stderr that cannot be written ends nothing.
macro_rules! note {
    ($($argument:tt)*) => { crate::stderr::tell(&format!("{}\n", format_args!($($argument)*))) };
}
pub(crate) use note;

/// Writes to stderr. When that fails there is nobody to tell.
pub fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
