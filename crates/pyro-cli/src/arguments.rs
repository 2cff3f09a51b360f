//! The arguments of the command line. The contract (section 3) freezes them: adding is allowed.

mod deferred;
mod files;
mod flags;
mod mcp;
mod task;

pub use deferred::Deferred;
pub use files::{
    ApplyArguments, Asked, CopyArguments, DiffArguments, FileCommand, FileReadArguments, FileWriteArguments,
    SeedArguments,
};
pub use flags::{JsonOnly, MachineArguments};
pub use mcp::{McpClient, McpCommand, McpInstallArguments, McpProfile, McpServeArguments};
use task::TASK_EXAMPLE;
pub use task::{
    TaskArguments, TaskCommand, TaskCommandArguments, TaskCreateArguments, TaskExecArguments, TaskExtendArguments,
    TaskListArguments, TaskLogsArguments, TaskStartArguments, TaskStopArguments, TaskUpdateArguments,
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
        command: Deferred<EnvCommand>,
    },
    /// Run one command in a new machine, and remove the machine
    #[command(after_help = "\
pyro passes the command's output and exit code through. Exit code 124 means that the command timed
out, 128+N that signal N ended it. Exit code 125 means that pyro itself failed.

Examples:
  pyro run debian:12 -- git --version
  echo hello | pyro run debian:12 -- tr a-z A-Z")]
    Run(RunArguments),
    /// Run several commands in a machine that stays, with a persistent /workspace
    #[command(arg_required_else_help = true, after_help = TASK_EXAMPLE)]
    Task {
        #[command(subcommand)]
        command: Deferred<TaskCommand>,
    },
    /// Check this host: what works, what is missing, and how to fix it
    #[command(after_help = "The exit code is 1 when something needed is missing.\n\nExample:\n  pyro doctor --deep")]
    Doctor(DoctorArguments),
    /// Find damage in pyro's own files, and repair it where possible
    #[command(after_help = "\
Without --apply, nothing is changed. Only what --delete names is removed. A replaced file is kept
beside the new one, under another name.

Example:
  pyro repair --apply")]
    Repair(RepairArguments),
    /// Run `git --version` in debian:12 and show the whole result as JSON
    #[command(args_conflicts_with_subcommands = true, after_help = "Example:\n  pyro demo")]
    Demo(DemoArguments),
    /// Give AI agents access to pyro over MCP
    #[command(arg_required_else_help = true, after_help = "Example:\n  claude mcp add pyro -- pyro mcp serve")]
    Mcp {
        #[command(subcommand)]
        command: Deferred<McpCommand>,
    },
    /// Print a shell's completions
    #[command(after_help = "Example:\n  pyro completions bash > ~/.local/share/bash-completion/completions/pyro")]
    Completions(CompletionsArguments),
    /// Write the manual pages into a directory
    #[command(after_help = "Example:\n  pyro man ~/.local/share/man/man1")]
    Man(ManArguments),
    /// Supervise one VM or task; started by pyro itself
    #[command(hide = true)]
    Supervise(SuperviseArguments),
}

#[derive(Debug, Subcommand)]
pub enum EnvCommand {
    /// List all environments in the catalog
    #[command(after_help = "Example:\n  pyro env list --json")]
    List(JsonOnly),
    /// Install an environment and make its template
    #[command(after_help = "You can repeat and interrupt it safely.\n\nExample:\n  pyro env pull debian:12")]
    Pull(EnvironmentArguments),
    /// Show one environment
    #[command(after_help = "Example:\n  pyro env inspect debian:12")]
    Inspect(EnvironmentArguments),
    /// Remove files that this release does not use: old versions, old templates, leftovers
    #[command(after_help = "Installed environments of this release are kept.\n\nExample:\n  pyro env prune")]
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
    /// Time limit in seconds; a command that reaches it ends with exit code 124
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, allow_negative_numbers = true)]
    pub timeout_seconds: f64,
    /// Print one JSON object on stdout instead of the command's output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Also boot a guest, and test KVM again
    #[arg(long)]
    pub deep: bool,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RepairArguments {
    /// Make the proposed repairs; without it they are only shown
    #[arg(long)]
    pub apply: bool,
    /// With --apply, remove this VM, task or left-over directory permanently (full id; may be repeated)
    #[arg(long, value_name = "ID")]
    pub delete: Vec<String>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Make one outgoing connection instead
    #[arg(long)]
    pub network: bool,
    #[command(subcommand)]
    pub command: Option<DemoCommand>,
}

#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Let a model use pyro's tools, over an OpenAI-style API
    #[command(after_help = "\
The model must prove outgoing access from a guest. Its messages and tool calls are logged.

Example:
  pyro demo ollama --model llama3.2:3b -v")]
    Ollama(OllamaArguments),
}

#[derive(Debug, Args)]
pub struct OllamaArguments {
    /// Base URL of the API (http only)
    #[arg(long, value_name = "URL", default_value = "http://localhost:11434/v1")]
    pub base_url: String,
    /// Name of the model
    #[arg(long, value_name = "NAME", default_value = "llama3.2:3b")]
    pub model: String,
    /// Also show what the tools return
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
    /// Target directory; created if it is missing
    pub directory: std::path::PathBuf,
}

#[derive(Debug, Args)]
pub struct SuperviseArguments {
    /// The VM or task
    pub id: String,
}
