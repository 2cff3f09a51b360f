//! `pyro demo`: the shortest proof that it works here.

use std::time::Duration;

use pyro_manager::{NetworkPolicy, RunRequest, VmOptions};

use crate::arguments::{DemoArguments, DemoCommand};
use crate::commands::run::run_request;
use crate::context;
use crate::failure::Format;

pub fn run(arguments: &DemoArguments) -> i32 {
    if let Some(DemoCommand::Ollama(ollama)) = &arguments.command {
        return super::ollama::run(ollama);
    }
    let network = if arguments.network { NetworkPolicy::Egress } else { NetworkPolicy::Off };
    let request = RunRequest {
        environment: "debian:12".into(),
        command: "git --version".into(),
        timeout: Duration::from_secs(30),
        options: VmOptions { network, ..VmOptions::default() },
    };
    run_request(&context::pyro(), request, Format::Json)
}
