//! `pyro`, the command line face: parse, call one function of the manager, render.
//!
//! Only here are the environment, `$HOME` and the terminal looked at. Every command is a file of
//! `commands`; every failure goes through `failure`, which knows text, JSON and exit codes.
#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod context;
mod failure;
mod pager;
mod progress;
mod stdio;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::usage(&error),
    };
    let code = match arguments.command {
        Command::Env { command } => commands::env::run(command),
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Doctor(arguments) => commands::doctor::run(&arguments),
        Command::Task { command } => commands::task::run(command),
        Command::Mcp { command } => commands::mcp::run(&command),
        Command::Completions(arguments) => commands::manual::completions(&arguments),
        Command::Man(arguments) => commands::manual::man(&arguments),
        Command::Supervise(arguments) => commands::supervise::run(&arguments),
        Command::Demo(arguments) => commands::demo::run(&arguments),
    };
    // Threads that wait for a terminal or a pipe are not waited for.
    std::process::exit(code)
}
