//! A tool call: runs the operation of that name, reports progress, and shortens the output for a model.

use pyro_api::{Context, Error, Failure, HostAccess, Pyro, RunEvent, RunIo};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::defaults::with_defaults;
use crate::progress::Progress;
use crate::shorten::{MAX_TEXT, shorten};

/// Events on their way.
const IN_FLIGHT: usize = 64;

/// One call.
pub struct Calls<'a> {
    pub pyro: &'a Pyro,
    pub host: HostAccess,
    pub progress: Progress,
    /// Ends the command.
    pub cancel: CancellationToken,
}

impl Calls<'_> {
    /// Carries a call out.
    pub async fn call(self, tool: &str, arguments: Value) -> Result<Value, Failure> {
        self.carried_out(tool, arguments).await.map_err(|error| error.failure())
    }

    async fn carried_out(self, tool: &str, arguments: Value) -> Result<Value, Error> {
        let Self { pyro, host, mut progress, cancel } = self;
        let Some(entry) = pyro_api::find(tool).filter(|entry| entry.tool == Some(tool)) else {
            return Err(Error::InvalidArgument { problem: format!("there is no tool {tool}") });
        };
        let arguments = with_defaults(tool, arguments);
        let task_id = arguments["task_id"].as_str().unwrap_or_default().to_owned();
        let sequence = arguments["sequence"].as_u64();
        // A wait that is given up leaves the command alone: it is not this call's.
        let is_wait = tool == "task_wait";
        let (events, heard) = mpsc::channel(IN_FLIGHT);
        let ends = if is_wait { CancellationToken::new() } else { cancel.clone() };
        let context = Context { pyro, host, io: RunIo { events, stdin: None, cancel: ends } };
        let call = told(&mut progress, entry.call(arguments, context), heard);
        let payload = tokio::select! {
            biased;
            payload = call => payload?,
            () = cancel.cancelled(), if is_wait => {
                return Err(Error::CallerGone { sequence: sequence.unwrap_or_default() });
            }
        };
        let sequence = payload["sequence"].as_u64().filter(|_| !task_id.is_empty());
        Ok(shortened(payload, &task_id, sequence))
    }
}

/// Runs a call and tells its events to the client.
async fn told(
    progress: &mut Progress,
    call: impl Future<Output = Result<Value, Error>>,
    mut heard: mpsc::Receiver<RunEvent>,
) -> Result<Value, Error> {
    let telling = async {
        while let Some(event) = heard.recv().await {
            progress.event(&event).await;
        }
    };
    tokio::pin!(telling);
    tokio::pin!(call);
    tokio::select! {
        biased;
        () = &mut telling => call.await,
        result = &mut call => {
            telling.await;
            result
        }
    }
}

/// Cuts the output of a payload to what a model can use.
fn shortened(mut payload: Value, task_id: &str, sequence: Option<u64>) -> Value {
    for stream in ["stdout", "stderr"] {
        let rest = match sequence {
            Some(sequence) => format!(
                "task_output with task_id {task_id}, sequence {sequence}, stream {stream} and an offset reads them"
            ),
            None => "to see them, run the command in a task, or filter its output".into(),
        };
        let total = payload[format!("{stream}_bytes")].as_u64().unwrap_or(0);
        let cut = payload[stream].as_str().and_then(|text| shorten(text, MAX_TEXT, total, &rest));
        if let Some(text) = cut {
            payload[stream] = text.into();
            payload[format!("{stream}_truncated")] = true.into();
        }
    }
    payload
}
