//! `pyro demo`: the shortest proof that it works here.

use pyro_api::{MachineOptions, RunInVm};

use crate::arguments::{DemoArguments, DemoCommand};
use crate::commands::run::run_request;
use crate::context;
use crate::failure::Format;

/// One outgoing request, by what every environment has: a name is looked up, a connection made, an
/// answer read.
pub const OUTGOING: &str = "bash -c 'exec 3<>/dev/tcp/example.com/80 && \
    printf \"HEAD / HTTP/1.0\\r\\nHost: example.com\\r\\n\\r\\n\" >&3 && head -n 1 <&3'";

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
