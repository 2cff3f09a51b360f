//! A command that is to be started, and which texts are none.

use std::time::Duration;

use crate::error::Error;

/// Bytes of a command at most. With its environment it travels to the guest in one frame.
const MAX_COMMAND: usize = 40_000;

/// A command to be started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandSpec<'a> {
    /// The caller's text.
    pub text: &'a str,
    /// Where it runs: an absolute path of the guest.
    pub cwd: &'a str,
    /// What is added to its environment.
    pub environment: &'a [(String, String)],
    /// How long it may run.
    pub timeout: Duration,
}

/// A command must be something that can be run.
pub fn check_command(command: &str) -> Result<(), Error> {
    if command.trim().is_empty() {
        return Err(Error::InvalidArgument { problem: "no command was given".into() });
    }
    if command.len() > MAX_COMMAND {
        let problem = format!(
            "the command has {} bytes; the limit is {MAX_COMMAND}: pass it on standard input (`sh -s`), or run it from a file",
            command.len()
        );
        return Err(Error::InvalidArgument { problem });
    }
    if command.contains('\0') {
        return Err(Error::InvalidArgument { problem: "the command contains a zero byte".into() });
    }
    Ok(())
}
