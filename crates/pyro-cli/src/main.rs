//! `pyro`, the command line front end: parse, call one function of the manager, render.
//!
//! Only here are the environment, `$HOME` and the terminal looked at. Every command is a file of
//! `commands`; every failure goes through `failure`, which knows text, JSON and exit codes.
#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod context;
mod failure;
mod format;
mod pager;
mod progress;
mod stdio;
mod terminal;

use clap::Parser;

use arguments::{Arguments, Command, Deferred, TaskCommand};
use failure::{ERROR, Format, OWN_ERROR};

fn main() {
    // Threads that wait for a terminal or a pipe are not waited for.
    std::process::exit(run())
}

fn run() -> i32 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::usage(&error),
    };
    let own_error = own_error(&arguments.command);
    if let Err(error) = context::prepare_descriptors() {
        return failure::show(&error, Format::asked_for(), own_error);
    }
    let code = match arguments.command {
        Command::Env { command } => commands::env::run(command.0),
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Doctor(arguments) => commands::doctor::run(&arguments),
        Command::Repair(arguments) => commands::repair::run(&arguments),
        Command::Task { command } => commands::task::run(command.0),
        Command::Mcp { command } => commands::mcp::run(&command.0),
        Command::Completions(arguments) => commands::manual::completions(&arguments),
        Command::Man(arguments) => commands::manual::man(&arguments),
        Command::Supervise(arguments) => commands::supervise::run(&arguments),
        Command::Demo(arguments) => commands::demo::run(&arguments),
    };
    stdio::exit_code(code, own_error)
}

/// The exit code of an error of pyro's own: one that cannot be taken for a guest command's, where one runs.
fn own_error(command: &Command) -> i32 {
    match command {
        Command::Run(_) | Command::Demo(_) => OWN_ERROR,
        Command::Task { command: Deferred(TaskCommand::Exec(_) | TaskCommand::Wait(_)) } => OWN_ERROR,
        _ => ERROR,
    }
}
