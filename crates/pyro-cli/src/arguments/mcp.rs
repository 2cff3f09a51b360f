//! The words of `pyro mcp`.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum McpCommand {
    /// Serve MCP on standard input and output, until the client closes them
    #[command(after_help = "\
Started by MCP clients. One-shot machines end with the server; VMs and tasks stay until they expire.
After vm_run, a machine of the same kind is kept ready for the next call for five minutes, two at most;
each is used once.

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
    /// Keep no machine ready for the next call: each call starts its own, and nothing waits in memory
    #[arg(long)]
    pub no_standby: bool,
}
