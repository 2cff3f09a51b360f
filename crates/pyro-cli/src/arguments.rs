//! The words of the command line. Frozen by the contract (section 3): adding is allowed.

use clap::{Args, Parser, Subcommand, ValueEnum};
use pyro_manager::{Error, HostCompat, MachineSize, NetworkPolicy, VmOptions};

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

const TASK_EXAMPLE: &str = "\
A task lives until it is deleted or expires. An id may be shortened to a beginning that only one
task has.

Example:
  id=$(pyro task create debian:12 --json | jq -r .task_id)
  pyro task exec $id -- sh -c 'echo hello > greeting'
  pyro task exec $id -- cat greeting
  pyro task delete $id";

#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Create a task; returns when its guest answers
    #[command(after_help = "Example:\n  pyro task create debian:12 --ttl-seconds 3600")]
    Create(TaskCreateArguments),
    /// Run a command in a task's workspace
    #[command(after_help = "\
The command's output and exit code are passed through, as in `pyro run`. The command goes on when
this program is killed; Ctrl-C ends it. Every command is in the journal: `pyro task logs`.

Examples:
  pyro task exec 0123456789ab -- git status
  echo hello | pyro task exec 0123 --cwd src --env LANG=C -- sh -c 'cat > note'
  pyro task exec 0123 --detach --timeout-seconds 3600 -- make test")]
    Exec(TaskExecArguments),
    /// Show a task
    #[command(after_help = "Example:\n  pyro task status 0123456789ab")]
    Status(TaskArguments),
    /// List every task
    #[command(after_help = "Example:\n  pyro task list")]
    List(JsonOnly),
    /// Show a task's journal: every command with its output
    #[command(after_help = "Examples:\n  pyro task logs 0123456789ab\n  pyro task logs 0123 --sequence 3 --follow")]
    Logs(TaskLogsArguments),
    /// Wait for a command that was started before, and show it as `task exec` does
    #[command(after_help = "Example:\n  pyro task wait 0123456789ab 3")]
    Wait(TaskCommandArguments),
    /// End a running command with all its processes
    #[command(after_help = "Example:\n  pyro task cancel 0123456789ab 3")]
    Cancel(TaskCommandArguments),
    /// Let a task live longer, counted from now
    #[command(after_help = "Example:\n  pyro task extend 0123456789ab --ttl-seconds 86400")]
    Extend(TaskExtendArguments),
    /// Delete a task with its workspace and its journal
    #[command(after_help = "What runs in it is ended.\n\nExample:\n  pyro task delete 0123456789ab")]
    Delete(TaskArguments),
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

#[derive(Debug, Subcommand)]
pub enum McpCommand {
    /// Serve MCP on standard input and output, until the client closes them
    #[command(after_help = "\
Started by MCP clients. One-shot machines end with the server; VMs and tasks stay until they expire.

Example:
  claude mcp add pyro -- pyro mcp serve")]
    Serve(McpServeArguments),
    /// Show, or write, what makes a client start pyro
    #[command(after_help = "\
Shows the difference it would make. With --write it makes it, and keeps everything else in the file.

Example:
  pyro mcp install claude-code --write")]
    Install(McpInstallArguments),
}

/// Clients whose configuration is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum McpClient {
    /// Claude Code, for this user
    ClaudeCode,
    /// Codex, for this user
    Codex,
    /// OpenCode, for this user
    Opencode,
    /// VS Code, in this directory
    Vscode,
    /// Cursor, for this user
    Cursor,
    /// Claude Desktop, for this user
    ClaudeDesktop,
}

#[derive(Debug, Args)]
pub struct McpInstallArguments {
    /// The client
    pub client: McpClient,
    /// Write the client's configuration
    #[arg(long)]
    pub write: bool,
}

#[derive(Debug, Args)]
pub struct McpServeArguments {
    /// Let calls ask for commands on this host where no guest can be had
    #[arg(long)]
    pub allow_host_compat: bool,
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

#[derive(Debug, Args)]
pub struct TaskCreateArguments {
    /// Name of the environment, for example debian:12
    pub environment: String,
    #[command(flatten)]
    pub machine: MachineArguments,
    /// A name for this attempt: a second call with it gets the task that the first one made
    #[arg(long, value_name = "NAME")]
    pub attempt_id: Option<String>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskArguments {
    /// The task's id, or the beginning of it
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskCommandArguments {
    /// The task's id, or the beginning of it
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// The command's number
    #[arg(value_name = "SEQ")]
    pub sequence: u64,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskExtendArguments {
    /// The task's id, or the beginning of it
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// How long it may live from now, 60 to 604800 seconds
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub ttl_seconds: i64,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskLogsArguments {
    /// The task's id, or the beginning of it
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// Only this command
    #[arg(long, value_name = "SEQ")]
    pub sequence: Option<u64>,
    /// Only the last bytes of each stream of a command
    #[arg(long, value_name = "BYTES")]
    pub tail_bytes: Option<usize>,
    /// Go on with output and commands as they come, until the task ends
    #[arg(long, short, conflicts_with_all = ["json", "tail_bytes"])]
    pub follow: bool,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskExecArguments {
    /// The task's id, or the beginning of it
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// The command and its arguments, after `--`
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
    /// End the command after so many seconds, with exit code 124
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, allow_negative_numbers = true)]
    pub timeout_seconds: f64,
    /// Where to run: an absolute directory, or one below /workspace
    #[arg(long, value_name = "DIR", default_value = "/workspace")]
    pub cwd: String,
    /// Add to the guest's environment; may be repeated
    #[arg(long = "env", value_name = "KEY=VALUE")]
    pub environment: Vec<String>,
    /// A name for this attempt: a second call with it gets the first one's result, or joins it
    #[arg(long, value_name = "NAME")]
    pub attempt_id: Option<String>,
    /// Return the command's number at once; its input is empty
    #[arg(long, short)]
    pub detach: bool,
    /// Print one JSON object on stdout instead of the command's output
    #[arg(long)]
    pub json: bool,
}

/// What a machine is made of, for every command that makes one.
#[derive(Debug, Args)]
pub struct MachineArguments {
    /// Virtual processors, 1 to 8
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    pub vcpu_count: i64,
    /// Memory in MiB, 256 to 32768
    #[arg(long, value_name = "MIB", default_value_t = 1024, allow_negative_numbers = true)]
    pub mem_mib: i64,
    /// How long the machine may live, 60 to 604800 seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, allow_negative_numbers = true)]
    pub ttl_seconds: i64,
    /// Give the guest outgoing connections
    #[arg(long)]
    pub network: bool,
    /// Let commands run on this host where no guest can be had
    #[arg(long)]
    pub allow_host_compat: bool,
}

impl MachineArguments {
    /// The machine they ask for.
    ///
    /// # Errors
    /// When a value is out of bounds.
    pub fn options(&self) -> Result<VmOptions, Error> {
        Ok(VmOptions {
            size: MachineSize::new(self.vcpu_count, self.mem_mib)?,
            ttl: pyro_manager::ttl(self.ttl_seconds)?,
            network: if self.network { NetworkPolicy::Egress } else { NetworkPolicy::Off },
            host_compat: if self.allow_host_compat { HostCompat::Allowed } else { HostCompat::Refused },
        })
    }
}
