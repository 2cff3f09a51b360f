//! The MCP server: its description of itself, and the handling of calls.

use std::sync::Arc;
use std::time::Duration;

use pyro_api::{Failure, HostAccess, Pyro};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::calls::Calls;
use crate::catalog::tools;
use crate::profile::Profile;
use crate::progress::Progress;

const NAME: &str = "pyro_mcp";
const INSTRUCTIONS: &str = "Runs commands in microVMs: a real Linux guest for each, isolated from the host. \
Use vm_run for one command; use task_create and task_exec when several commands need the same files. \
vm_run installs an environment when it is first used (a minute or two).";
/// How long one-shot machines have to be removed when the client is gone.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Calls at once.
const MOST_CALLS: usize = 64;

/// The server.
#[derive(Clone)]
pub struct Server {
    pyro: Pyro,
    host: HostAccess,
    tools: Arc<Vec<Tool>>,
    profile: Profile,
    running: Running,
}

/// The calls that are under way.
#[derive(Clone)]
pub struct Running {
    count: Arc<watch::Sender<usize>>,
    /// Ends all of them.
    end: CancellationToken,
}

impl Running {
    /// Cancels the running calls, and waits until they have cleaned up.
    pub async fn end(&self) {
        self.end.cancel();
        let mut count = self.count.subscribe();
        let nothing = count.wait_for(|count| *count == 0);
        // One that does not end is ended by the kernel, with this process.
        let _ = tokio::time::timeout(LAST_WORDS, nothing).await;
    }
}

/// One call that is under way, for as long as this lives.
struct UnderWay(Arc<watch::Sender<usize>>);

impl UnderWay {
    /// `None` when too many calls are running.
    fn new(count: &Arc<watch::Sender<usize>>) -> Option<Self> {
        let counted = count.send_if_modified(|count| {
            let room = *count < MOST_CALLS;
            *count += usize::from(room);
            room
        });
        counted.then(|| Self(count.clone()))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Server {
    /// A server over the manager.
    #[must_use]
    pub fn new(pyro: Pyro, host: HostAccess, profile: Profile) -> Self {
        let running = Running { count: Arc::new(watch::Sender::new(0)), end: CancellationToken::new() };
        Self { pyro, host, tools: Arc::new(tools(profile)), profile, running }
    }

    fn no_such_tool(&self, name: &str) -> String {
        if self.profile != Profile::Full && Profile::Full.has(name) && pyro_api::find(name).is_some() {
            return format!(
                "this server does not offer the tool {name}; start it with `pyro mcp serve --profile full`"
            );
        }
        format!("there is no tool {name}")
    }

    /// The calls that are under way.
    #[must_use]
    pub fn running(&self) -> Running {
        self.running.clone()
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(NAME, env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items((*self.tools).clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if self.get_tool(&request.name).is_none() {
            return Err(ErrorData::invalid_params(self.no_such_tool(&request.name), None));
        }
        let Some(_under_way) = UnderWay::new(&self.running.count) else {
            return Ok(CallToolResult::structured_error(shown(&too_many_calls())).into());
        };
        let cancel = self.running.end.child_token();
        let progress = Progress::new(&context);
        let calls = Calls { pyro: &self.pyro, host: self.host, progress, cancel: cancel.clone() };
        let arguments = request.arguments.unwrap_or_default();
        let call = calls.call(&request.name, arguments.into());
        tokio::pin!(call);
        let result = tokio::select! {
            biased;
            result = &mut call => result,
            () = context.ct.cancelled() => {
                cancel.cancel();
                call.await
            }
        };
        Ok(match result {
            Ok(value) => CallToolResult::structured(value),
            Err(failure) => CallToolResult::structured_error(shown(&failure)),
        }
        .into())
    }
}

fn too_many_calls() -> Failure {
    Failure {
        error: format!("{MOST_CALLS} calls are running, the maximum; this call was not started"),
        code: "too_many_calls".into(),
        hint: Some("wait for some calls to finish, or cancel some".into()),
    }
}

/// An error as every front end shows it.
fn shown(failure: &Failure) -> serde_json::Value {
    let Failure { error, code, hint } = failure;
    serde_json::json!({"ok": false, "error": error, "code": code, "hint": hint})
}
