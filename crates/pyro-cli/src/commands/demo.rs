//! `pyro demo`: the shortest proof that it works here.

use std::time::Duration;

use pyro_manager::{NetworkPolicy, RunRequest, VmOptions};

use super::ollama::OUTGOING;
use crate::arguments::{DemoArguments, DemoCommand};
use crate::commands::run::run_request;
use crate::context;
use crate::failure::Format;

pub fn run(arguments: &DemoArguments) -> i32 {
    if let Some(DemoCommand::Ollama(ollama)) = &arguments.command {
        return super::ollama::run(ollama);
    }
    let (network, command) =
        if arguments.network { (NetworkPolicy::Egress, OUTGOING) } else { (NetworkPolicy::Off, "git --version") };
    let request = RunRequest {
        environment: "debian:12".into(),
        command: command.into(),
        timeout: Duration::from_secs(30),
        options: VmOptions { network, ..VmOptions::default() },
    };
    run_request(&context::pyro(), request, Format::Json)
}
