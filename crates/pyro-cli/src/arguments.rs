//! The words of the command line. Frozen by the contract (section 3): adding is allowed.

mod flags;
mod mcp;
mod task;

pub use flags::{JsonOnly, MachineArguments};
pub use mcp::{McpClient, McpCommand, McpInstallArguments, McpServeArguments};
use task::TASK_EXAMPLE;
pub use task::{
    TaskArguments, TaskCommand, TaskCommandArguments, TaskCreateArguments, TaskExecArguments, TaskExtendArguments,
    TaskLogsArguments,
};

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
    /// Work in a machine that stays, with a persistent /workspace
    #[command(arg_required_else_help = true, after_help = TASK_EXAMPLE)]
    Task {
        #[command(subcommand)]
        command: TaskCommand,
    },
    /// Say what this host can do, what is missing, and what to do about it
    #[command(after_help = "Exits 1 when something needed is missing.\n\nExample:\n  pyro doctor --deep")]
    Doctor(DoctorArguments),
    /// Say what is damaged in pyro's own files, and restore what can be restored
    #[command(after_help = "\
Changes nothing without --apply, and removes nothing but what --delete names. What it replaces is kept
beside the new file under another name.

Example:
  pyro repair --apply")]
    Repair(RepairArguments),
    /// Run `git --version` in debian:12 and show the whole result as JSON
    #[command(args_conflicts_with_subcommands = true, after_help = "Example:\n  pyro demo")]
    Demo(DemoArguments),
    /// Offer all of this to AI agents over MCP
    #[command(arg_required_else_help = true, after_help = "Example:\n  claude mcp add pyro -- pyro mcp serve")]
    Mcp {
        #[command(subcommand)]
        command: McpCommand,
    },
    /// Print a shell's completions
    #[command(after_help = "Example:\n  pyro completions bash > ~/.local/share/bash-completion/completions/pyro")]
    Completions(CompletionsArguments),
    /// Write the manual pages into a directory
    #[command(after_help = "Example:\n  pyro man ~/.local/share/man/man1")]
    Man(ManArguments),
    /// Own one VM or task; started by pyro itself
    #[command(hide = true)]
    Supervise(SuperviseArguments),
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
    #[command(flatten)]
    pub machine: MachineArguments,
    /// End the command after so many seconds, with exit code 124
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, allow_negative_numbers = true)]
    pub timeout_seconds: f64,
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
pub struct RepairArguments {
    /// Do what is proposed; otherwise it is only shown
    #[arg(long)]
    pub apply: bool,
    /// With --apply, remove this VM, task or left-over directory for good (its whole id; may be repeated)
    #[arg(long, value_name = "ID")]
    pub delete: Vec<String>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Prove an outgoing connection instead
    #[arg(long)]
    pub network: bool,
    #[command(subcommand)]
    pub command: Option<DemoCommand>,
}

#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Let a model use the tools, over an OpenAI-style API
    #[command(after_help = "\
The model is asked to prove outgoing access from a guest. What it says and does is logged.

Example:
  pyro demo ollama --model llama3.2:3b -v")]
    Ollama(OllamaArguments),
}

#[derive(Debug, Args)]
pub struct OllamaArguments {
    /// Where the API is (http only)
    #[arg(long, value_name = "URL", default_value = "http://localhost:11434/v1")]
    pub base_url: String,
    /// The model's name there
    #[arg(long, value_name = "NAME", default_value = "llama3.2:3b")]
    pub model: String,
    /// Show what tools return, too
    #[arg(long, short)]
    pub verbose: bool,
}

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct ManArguments {
    /// Where to; made when it is not there
    pub directory: std::path::PathBuf,
}

#[derive(Debug, Args)]
pub struct SuperviseArguments {
    /// The VM or task
    pub id: String,
}
