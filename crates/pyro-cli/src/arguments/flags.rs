//! Options that several commands have.

use clap::Args;
use pyro_api::MachineOptions;

#[derive(Debug, Args)]
pub struct JsonOnly {
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// What a machine is made of and how long it lives, for every command that makes one.
#[derive(Debug, Args)]
pub struct MachineArguments {
    #[command(flatten)]
    pub options: MachineOptions,
    /// Time to live of the machine, 60 to 604800 seconds [default: 600; for a run, long enough for
    /// --timeout-seconds]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub ttl_seconds: Option<i64>,
}
