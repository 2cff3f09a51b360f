//! The arguments of `pyro mcp`.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum McpCommand {
    /// Serve MCP on standard input and output, until the client closes them
    #[command(after_help = "\
MCP clients start this server. One-shot machines end with it; VMs and tasks stay until they expire.
After vm_run, pyro keeps a machine of the same kind ready for the next call, for five minutes. It
keeps at most two, and uses each only once.

Example:
  claude mcp add pyro -- pyro mcp serve --profile core")]
    Serve(McpServeArguments),
    /// Show or write the client configuration that starts pyro
    #[command(after_help = "\
Shows the change to the client's configuration. --write makes the change; the rest of the file is kept.

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

/// Which tools a server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum McpProfile {
    /// One-shot commands
    Run,
    /// What a coding agent needs
    Core,
    /// Every tool
    Full,
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
    /// Accept calls that allow commands on this host when no guest can run
    #[arg(long)]
    pub allow_host_compat: bool,
    /// Tools to offer: run (one-shot commands), core (what a coding agent needs), or full
    #[arg(long, value_enum, default_value = "full")]
    pub profile: McpProfile,
    /// Keep no machine ready for the next call, so that none uses memory; each call starts its own
    #[arg(long)]
    pub no_standby: bool,
}
