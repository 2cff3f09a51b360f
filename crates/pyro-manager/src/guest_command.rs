//! The command that a guest is given for a caller's text, and which texts are none.

use pyro_guest::{Command, Guest};

use crate::error::Error;
use crate::shell;

/// A longer text is left to the shell alone: both ways together must fit into one frame.
const MAX_DIRECT: usize = 4_000;
/// Bytes of a command at most. With its environment it travels to the guest in one frame.
const MAX_COMMAND: usize = 40_000;

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

/// A command for the guest: its program directly where that is the same, else by the shell.
pub fn command<'a>(guest: &'a Guest, text: &str) -> Command<'a> {
    let by_shell = ["-c", text];
    match shell::direct(text).filter(|_| text.len() <= MAX_DIRECT) {
        Some(words) => {
            let (program, arguments) = words.split_first().expect("a direct command has a program");
            guest.command(program.as_str()).args(arguments.iter().map(String::as_str)).or_else("/bin/sh").args(by_shell)
        }
        None => guest.command("/bin/sh").args(by_shell),
    }
}
