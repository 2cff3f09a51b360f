//! Each tool: arguments, one call of the manager, the payload.

use std::time::Duration;

use bytes::Bytes;
use pyro_manager::{
    CreateRequest, Error, Failure, LogsRequest, Pyro, RunEvent, RunIo, RunRequest, Stream, TaskExecRecord,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::arguments::{
    Create, Nothing, Task, TaskCommand, TaskExec, TaskExtend, TaskLogs, TaskOutput, TaskWait, Vm, VmExec, VmRun, parse,
    wait,
};
use crate::progress::Progress;
use crate::server::HostAccess;
use crate::shorten::{MOST, shorten, whole_characters};

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

/// How a wait for a command ended.
enum Waited {
    Over(Box<TaskExecRecord>),
    /// It goes on; this is its number, and what it has said so far.
    Running {
        sequence: u64,
        stdout: Vec<u8>,
        stderr: Vec<u8>,
    },
}

impl Calls<'_> {
    /// Carries a call out.
    pub async fn call(self, name: &str, arguments: Value) -> Result<Value, Failure> {
        self.dispatch(name, arguments).await.map_err(|error| error.failure())
    }

    async fn dispatch(mut self, name: &str, arguments: Value) -> Result<Value, Error> {
        let pyro = self.pyro;
        match name {
            "vm_run" => self.vm_run(parse(arguments)?).await,
            "vm_list_environments" => {
                let Nothing {} = parse(arguments)?;
                // Files that have changed are read to their end.
                let pyro = pyro.clone();
                let listed = tokio::task::spawn_blocking(move || pyro.list_environments()).await;
                value(&listed.expect("a list of environments is made or refused")?)
            }
            "vm_create" => {
                let request = self.creation(parse(arguments)?)?;
                let (events, heard) = mpsc::channel(IN_FLIGHT);
                let created = async move { pyro.create_vm(request, &events).await };
                value(&tell(&mut self.progress, created, heard).await?)
            }
            "vm_start" => value(&pyro.start_vm(&parse::<Vm>(arguments)?.vm_id).await?),
            "vm_stop" => value(&pyro.stop_vm(&parse::<Vm>(arguments)?.vm_id).await?),
            "vm_delete" => value(&pyro.delete_vm(&parse::<Vm>(arguments)?.vm_id).await?),
            "vm_status" => value(&pyro.status_vm(&parse::<Vm>(arguments)?.vm_id).await?),
            "vm_network_info" => value(&pyro.network_info_vm(&parse::<Vm>(arguments)?.vm_id).await?),
            "vm_reap_expired" => {
                let Nothing {} = parse(arguments)?;
                value(&pyro.reap_expired().await?)
            }
            "vm_exec" => self.vm_exec(parse(arguments)?).await,
            "task_create" => {
                let request = self.creation(parse(arguments)?)?;
                let (events, heard) = mpsc::channel(IN_FLIGHT);
                let created = async move { pyro.create_task(request, &events).await };
                value(&tell(&mut self.progress, created, heard).await?)
            }
            "task_exec" => self.task_exec(parse(arguments)?).await,
            "task_wait" => self.task_wait(parse(arguments)?).await,
            "task_output" => self.task_output(&parse(arguments)?).await,
            "task_cancel" => {
                let TaskCommand { task_id, sequence } = parse(arguments)?;
                let entry = value(&pyro.cancel_task(&task_id, sequence).await?)?;
                Ok(shortened(entry, &task_id, Some(sequence)))
            }
            "task_status" => value(&pyro.status_task(&parse::<Task>(arguments)?.task_id).await?),
            "task_list" => {
                let Nothing {} = parse(arguments)?;
                value(&pyro.list_tasks().await?)
            }
            "task_logs" => {
                let TaskLogs { task_id, sequence, tail_bytes, last } = parse(arguments)?;
                let request = LogsRequest { sequence, tail_bytes, last, most_bytes: Some(MOST) };
                value(&pyro.logs_task(&task_id, request).await?)
            }
            "task_extend" => {
                let TaskExtend { task_id, ttl_seconds } = parse(arguments)?;
                value(&pyro.extend_task(&task_id, ttl_seconds).await?)
            }
            "task_delete" => value(&pyro.delete_task(&parse::<Task>(arguments)?.task_id).await?),
            other => Err(Error::InvalidArgument { problem: format!("there is no tool {other}") }),
        }
    }

    fn creation(&self, arguments: Create) -> Result<CreateRequest, Error> {
        let options = arguments.options(self.host)?;
        Ok(CreateRequest { environment: arguments.environment, options, attempt_id: arguments.attempt_id })
    }

    async fn vm_run(mut self, arguments: VmRun) -> Result<Value, Error> {
        let request = RunRequest {
            timeout: arguments.timeout()?,
            options: arguments.options(self.host)?,
            environment: arguments.environment,
            command: arguments.command,
        };
        let (io, heard) = self.io(arguments.stdin);
        let run = self.pyro.run(request, io);
        let record = tell(&mut self.progress, run, heard).await?;
        Ok(shortened(value(&record)?, "", None))
    }

    async fn vm_exec(mut self, arguments: VmExec) -> Result<Value, Error> {
        let request = arguments.request()?;
        let (io, heard) = self.io(arguments.stdin);
        let exec = self.pyro.exec_vm(&arguments.vm_id, request, io);
        let record = tell(&mut self.progress, exec, heard).await?;
        Ok(shortened(value(&record)?, "", None))
    }

    async fn task_exec(mut self, arguments: TaskExec) -> Result<Value, Error> {
        let (request, patience) = (arguments.request()?, wait(arguments.wait_seconds)?);
        let (io, heard) = self.io(arguments.stdin);
        let exec = self.pyro.exec_task(&arguments.task_id, request, io);
        let waited = with_patience(&mut self.progress, exec, heard, patience, None).await?;
        waited_for(waited, &arguments.task_id)
    }

    async fn task_wait(mut self, arguments: TaskWait) -> Result<Value, Error> {
        let TaskWait { task_id, sequence, wait_seconds } = arguments;
        let patience = wait(wait_seconds)?;
        // A call that is given up leaves the command alone: it was not this call's.
        let (events, heard) = mpsc::channel(IN_FLIGHT);
        let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
        let waiting = self.pyro.wait_task(&task_id, sequence, io);
        let waited = with_patience(&mut self.progress, waiting, heard, patience, Some(sequence));
        let cancel = self.cancel.clone();
        tokio::select! {
            waited = waited => waited_for(waited?, &task_id),
            () = cancel.cancelled() => Err(Error::CallerGone { sequence }),
        }
    }

    async fn task_output(self, arguments: &TaskOutput) -> Result<Value, Error> {
        let stream = match arguments.stream.as_deref() {
            None | Some("stdout") => Stream::Stdout,
            Some("stderr") => Stream::Stderr,
            Some(other) => {
                return Err(Error::InvalidArgument {
                    problem: format!("stream is {other:?}; it must be stdout or stderr"),
                });
            }
        };
        let TaskOutput { task_id, sequence, .. } = arguments;
        let offset = arguments.offset.unwrap_or(0);
        let piece = self.pyro.read_output(task_id, *sequence, stream, offset, arguments.most()).await?;
        let whole = if piece.ended { piece.bytes.len() } else { whole_characters(&piece.bytes) };
        Ok(json!({
            "task_id": task_id,
            "sequence": sequence,
            "stream": stream.word(),
            "offset": offset,
            "next_offset": offset + whole as u64,
            "text": String::from_utf8_lossy(&piece.bytes[..whole]),
            "ended": piece.ended,
            "cut": piece.cut,
        }))
    }

    fn io(&self, stdin: Option<String>) -> (RunIo, mpsc::Receiver<RunEvent>) {
        let (events, heard) = mpsc::channel(IN_FLIGHT);
        let stdin = stdin.map(|text| {
            let (sender, receiver) = mpsc::channel(1);
            // There is room for one, and it is the only one.
            let _ = sender.try_send(Bytes::from(text));
            receiver
        });
        (RunIo { events, stdin, cancel: self.cancel.clone() }, heard)
    }
}

fn value(payload: &impl Serialize) -> Result<Value, Error> {
    Ok(serde_json::to_value(payload).expect("payloads have string keys only"))
}

/// Runs a call and tells its events to the client.
async fn tell<T>(
    progress: &mut Progress,
    call: impl Future<Output = Result<T, Error>>,
    mut heard: mpsc::Receiver<RunEvent>,
) -> Result<T, Error> {
    let telling = async {
        while let Some(event) = heard.recv().await {
            progress.event(&event).await;
        }
    };
    let (result, ()) = tokio::join!(call, telling);
    result
}

/// The same for a command that goes on when the patience is at its end.
async fn with_patience(
    progress: &mut Progress,
    call: impl Future<Output = Result<TaskExecRecord, Error>>,
    mut heard: mpsc::Receiver<RunEvent>,
    patience: Duration,
    mut sequence: Option<u64>,
) -> Result<Waited, Error> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let at_its_end = tokio::time::sleep(patience);
    tokio::pin!(call, at_its_end);
    loop {
        tokio::select! {
            biased;
            result = &mut call => return result.map(|record| Waited::Over(Box::new(record))),
            Some(event) = heard.recv() => {
                match &event {
                    RunEvent::Phase(pyro_manager::Phase::Accepted { sequence: number, .. }) => sequence = Some(*number),
                    RunEvent::Stdout(bytes) => keep(&mut stdout, bytes),
                    RunEvent::Stderr(bytes) => keep(&mut stderr, bytes),
                    _ => {}
                }
                progress.event(&event).await;
            }
            () = &mut at_its_end, if sequence.is_some() => {
                let sequence = sequence.expect("it was looked at just now");
                return Ok(Waited::Running { sequence, stdout, stderr });
            }
        }
    }
}

/// Keeps the end of what has come so far.
fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.extend_from_slice(bytes);
    let surplus = kept.len().saturating_sub(MOST);
    kept.drain(..surplus);
}

fn waited_for(waited: Waited, task_id: &str) -> Result<Value, Error> {
    match waited {
        Waited::Over(record) => {
            let mut payload = value(&*record)?;
            payload["status"] = if record.timed_out { "timed_out".into() } else { "finished".into() };
            Ok(shortened(payload, task_id, Some(record.sequence)))
        }
        Waited::Running { sequence, stdout, stderr } => Ok(json!({
            "task_id": task_id,
            "sequence": sequence,
            "status": "running",
            "exit_code": null,
            "stdout": String::from_utf8_lossy(&stdout),
            "stderr": String::from_utf8_lossy(&stderr),
            "hint": "the command goes on: task_wait waits for it, task_output reads more, task_cancel ends it",
        })),
    }
}

/// Cuts the output of a payload to what a model can use.
fn shortened(mut payload: Value, task_id: &str, sequence: Option<u64>) -> Value {
    for stream in ["stdout", "stderr"] {
        let rest = match sequence {
            Some(sequence) => format!(
                "task_output with task_id {task_id}, sequence {sequence}, stream {stream} and an offset reads them"
            ),
            None => "run it in a task, or filter its output, to see them".into(),
        };
        let total = payload[format!("{stream}_bytes")].as_u64().unwrap_or(0);
        let cut = payload[stream].as_str().and_then(|text| shorten(text, MOST, total, &rest));
        if let Some(text) = cut {
            payload[stream] = text.into();
            payload[format!("{stream}_truncated")] = true.into();
        }
    }
    payload
}
