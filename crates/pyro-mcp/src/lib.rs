//! The MCP front end: pyro's operations as tools for a model.
//!
//! ```text
//! tools/list ─▶ catalog (made from the list of operations; small, because every model reads all of it)
//! tools/call ─▶ defaults ─▶ the operation ─▶ output shortened ─▶ structured content, and the same as text
//!                  │ progress: phases, then output as it grows        │ errors: code, message, hint
//!                  └ cancelled: the command is ended in the guest
//! ```
//!
//! Both protocol eras are rmcp's: `initialize` clients and the stateless 2026-07-28. The pipes are ours
//! (`stdio`): every message is answered, and nothing grows without a bound. Calls run side by side.
//! Nothing is printed: stdout is the protocol's.
#![forbid(unsafe_code)]

mod calls;
mod catalog;
mod defaults;
mod message;
mod profile;
mod progress;
mod server;
mod shorten;
mod stdio;

pub use catalog::tools;
pub use profile::Profile;
pub use pyro_api::HostAccess;
pub use server::Server;

use pyro_api::Pyro;
use rmcp::ServiceExt;

/// Serves on standard input and output until the client goes away. What ran in one-shot machines
/// ends with it; VMs and tasks stay until they expire.
///
/// # Errors
/// When the conversation could not be begun.
pub async fn serve_stdio(pyro: Pyro, host: HostAccess, profile: Profile) -> Result<(), String> {
    let server = Server::new(pyro.clone(), host, profile);
    let running = server.running();
    let (stdin, stdout) = rmcp::transport::stdio();
    let service = server.serve(stdio::Stdio::new(stdin, stdout)).await;
    let service = service.map_err(|error| format!("the client did not initialize the session: {error}"))?;
    let ended = service.waiting().await;
    running.end().await;
    pyro.end_warm_pool().await;
    ended.map(drop).map_err(|error| format!("the server ended unexpectedly: {error}"))
}

/// One call of a tool, for a program that is client and server in one.
///
/// # Errors
/// What the tool's caller would be shown.
pub async fn call(
    pyro: &Pyro,
    host: HostAccess,
    name: &str,
    arguments: serde_json::Value,
) -> Result<serde_json::Value, pyro_api::Failure> {
    let cancel = tokio_util::sync::CancellationToken::new();
    let calls = calls::Calls { pyro, host, progress: progress::Progress::unheard(), cancel };
    calls.call(name, arguments).await
}
