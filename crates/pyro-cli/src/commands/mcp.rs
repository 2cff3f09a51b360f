//! `pyro mcp …`.

use pyro_mcp::{HostAccess, Profile};

use crate::arguments::{McpCommand, McpProfile, McpServeArguments};
use crate::context;
use crate::failure::{ERROR, Format, show};
use crate::terminal::say;

pub fn run(command: &McpCommand) -> i32 {
    match command {
        McpCommand::Serve(arguments) => serve(arguments),
        McpCommand::Install(arguments) => super::mcp_install::run(arguments),
    }
}

/// Stdout carries only the protocol. Errors go to stderr, which clients write to a log.
fn serve(arguments: &McpServeArguments) -> i32 {
    let host = if arguments.allow_host_compat { HostAccess::Allowed } else { HostAccess::Refused };
    let profile = match arguments.profile {
        McpProfile::Run => Profile::Run,
        McpProfile::Core => Profile::Core,
        McpProfile::Full => Profile::Full,
    };
    let pyro = context::pyro();
    let pyro = if arguments.no_standby { pyro } else { pyro.with_warm_pool() };
    let runtime = match context::shared_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return show(&error, Format::Human, ERROR),
    };
    let served = runtime.block_on(pyro_mcp::serve_stdio(pyro, host, profile));
    runtime.shutdown_background();
    match served {
        Ok(()) => 0,
        Err(problem) => {
            say!("[error] {problem}");
            ERROR
        }
    }
}
