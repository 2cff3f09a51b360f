//! The words of the command line. Frozen by the contract (section 3): adding is allowed.

use clap::{Args, Parser, Subcommand};

/// Runs commands in microVMs: a real Linux guest for each, started in a fraction of a second.
///
/// No root, no daemon; with or without KVM.
#[derive(Debug, Parser)]
#[command(name = "pyro", version, arg_required_else_help = true, subcommand_required = true)]
#[command(after_help = "Example:\n  pyro run debian:12 -- git --version")]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install, list and remove environments
    #[command(arg_required_else_help = true, after_help = "Example:\n  pyro env pull debian:12")]
    Env {
        #[command(subcommand)]
        command: EnvCommand,
    },
    /// Run one command in a machine of its own, and remove the machine
    #[command(after_help = "\
The command's output and exit code are passed through: 124 means that it timed out, 128+N that
signal N ended it. 125 is an error of pyro's own.

Examples:
  pyro run debian:12 -- git --version
  echo hello | pyro run debian:12 -- tr a-z A-Z")]
    Run(RunArguments),
    /// Say what this host can do, what is missing, and what to do about it
    #[command(after_help = "Exits 1 when something needed is missing.\n\nExample:\n  pyro doctor --deep")]
    Doctor(DoctorArguments),
    /// Run `git --version` in debian:12 and show the whole result as JSON
    #[command(after_help = "Example:\n  pyro demo")]
    Demo(DemoArguments),
}

#[derive(Debug, Subcommand)]
pub enum EnvCommand {
    /// List every environment of the catalog
    #[command(after_help = "Example:\n  pyro env list --json")]
    List(JsonOnly),
    /// Install an environment and make its template
    #[command(after_help = "Safe to repeat and to interrupt.\n\nExample:\n  pyro env pull debian:12")]
    Pull(EnvironmentArguments),
    /// Show one environment
    #[command(after_help = "Example:\n  pyro env inspect debian:12")]
    Inspect(EnvironmentArguments),
    /// Remove what this release does not use: old versions, old templates, leftovers
    #[command(after_help = "Installed environments of this release stay.\n\nExample:\n  pyro env prune")]
    Prune(JsonOnly),
}

#[derive(Debug, Args)]
pub struct JsonOnly {
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct EnvironmentArguments {
    /// Name of the environment, for example debian:12
    pub environment: String,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RunArguments {
    /// Name of the environment, for example debian:12
    pub environment: String,
    /// The command and its arguments, after `--`
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
    /// Virtual processors, 1 to 8
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    pub vcpu_count: i64,
    /// Memory in MiB, 256 to 32768
    #[arg(long, value_name = "MIB", default_value_t = 1024, allow_negative_numbers = true)]
    pub mem_mib: i64,
    /// End the command after so many seconds, with exit code 124
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, allow_negative_numbers = true)]
    pub timeout_seconds: f64,
    /// How long the machine may live, 60 to 604800 seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, allow_negative_numbers = true)]
    pub ttl_seconds: i64,
    /// Give the guest outgoing connections
    #[arg(long)]
    pub network: bool,
    /// Let the command run on this host where no guest can be had
    #[arg(long)]
    pub allow_host_compat: bool,
    /// Print one JSON object on stdout instead of the command's output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Boot a guest, too, and let it try KVM anew
    #[arg(long)]
    pub deep: bool,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Prove an outgoing connection instead
    #[arg(long)]
    pub network: bool,
}
