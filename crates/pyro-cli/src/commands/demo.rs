//! `pyro demo`: the shortest proof that it works here.

use pyro_api::{MachineOptions, RunInVm};

use super::ollama::OUTGOING;
use crate::arguments::{DemoArguments, DemoCommand};
use crate::commands::run::run_request;
use crate::context;
use crate::failure::Format;

pub fn run(arguments: &DemoArguments) -> i32 {
    if let Some(DemoCommand::Ollama(ollama)) = &arguments.command {
        return super::ollama::run(ollama);
    }
    let command = if arguments.network { OUTGOING } else { "git --version" };
    let request = RunInVm {
        machine: MachineOptions { network: arguments.network, ..MachineOptions::default() },
        ..RunInVm::new("debian:12", command)
    };
    run_request(&context::pyro(), request, Format::Json)
}
