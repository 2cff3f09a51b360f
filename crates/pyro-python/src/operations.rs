//! From an operation's name and its arguments to one call of the manager.

use std::collections::BTreeMap;

use pyro_manager::{
    CreateRequest, Error, ExecRequest, HostCompat, LogsRequest, MachineSize, NetworkPolicy, Phase, Pyro, RepairMode,
    RepairRequest, RunIo, RunRequest, Stream, VmOptions,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Deserialize)]
struct Environment {
    environment: String,
}

#[derive(Deserialize)]
struct Machine {
    environment: String,
    vcpu_count: i64,
    mem_mib: i64,
    ttl_seconds: Option<i64>,
    network: bool,
    allow_host_compat: bool,
    #[serde(default)]
    attempt_id: Option<String>,
}

#[derive(Deserialize)]
struct Command {
    command: String,
    timeout_seconds: f64,
    #[serde(default)]
    cwd: Option<String>,
    #[serde(default)]
    env: Option<BTreeMap<String, String>>,
    #[serde(default)]
    attempt_id: Option<String>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Sequence {
    id: String,
    sequence: u64,
}

#[derive(Deserialize)]
struct Logs {
    id: String,
    sequence: Option<u64>,
    tail_bytes: Option<usize>,
    #[serde(default)]
    last: Option<usize>,
}

#[derive(Deserialize)]
struct Output {
    id: String,
    sequence: u64,
    stream: String,
    offset: u64,
    max_bytes: usize,
}

#[derive(Deserialize)]
struct Extend {
    id: String,
    ttl_seconds: i64,
}

#[derive(Deserialize)]
struct Repair {
    apply: bool,
    delete: Vec<String>,
}

impl Machine {
    fn options(&self) -> Result<VmOptions, Error> {
        Ok(VmOptions {
            size: MachineSize::new(self.vcpu_count, self.mem_mib)?,
            ttl: self.ttl_seconds.map_or(Ok(VmOptions::default().ttl), pyro_manager::ttl)?,
            network: if self.network { NetworkPolicy::Egress } else { NetworkPolicy::Off },
            host_compat: if self.allow_host_compat { HostCompat::Allowed } else { HostCompat::Refused },
        })
    }

    fn request(self) -> Result<CreateRequest, Error> {
        let options = self.options()?;
        Ok(CreateRequest { environment: self.environment, options, attempt_id: self.attempt_id })
    }
}

impl Command {
    fn request(self) -> Result<ExecRequest, Error> {
        let mut request = ExecRequest::new(self.command, pyro_manager::timeout(self.timeout_seconds)?);
        request.cwd = self.cwd.unwrap_or(request.cwd);
        request.environment = self.env.unwrap_or_default().into_iter().collect();
        request.attempt_id = self.attempt_id;
        Ok(request)
    }
}

/// Carries an operation out and returns its payload as JSON.
pub async fn carry_out(pyro: &Pyro, operation: &str, arguments: &str, io: RunIo) -> Result<String, Error> {
    let id = || parse::<Id>(arguments).map(|arguments| arguments.id);
    match operation {
        "list_environments" => text(&pyro.list_environments()?),
        "inspect_environment" => text(&pyro.inspect_environment(&parse::<Environment>(arguments)?.environment)?),
        "pull_environment" => {
            let events = io.events;
            let mut report = |progress| drop(events.try_send(pyro_manager::RunEvent::Environment(progress)));
            text(&pyro.pull_environment(&parse::<Environment>(arguments)?.environment, &mut report).await?)
        }
        "prune_environments" => text(&pyro.prune_environments().await?),
        "run_in_vm" => {
            let (machine, command) = (parse::<Machine>(arguments)?, parse::<Command>(arguments)?);
            let timeout = pyro_manager::timeout(command.timeout_seconds)?;
            let ttl = pyro_manager::run_ttl(machine.ttl_seconds, timeout)?;
            let options = VmOptions { ttl, ..machine.options()? };
            let request = RunRequest { environment: machine.environment, command: command.command, timeout, options };
            text(&pyro.run(request, io).await?)
        }
        "create_vm" => text(&pyro.create_vm(parse::<Machine>(arguments)?.request()?, &io.events).await?),
        "start_vm" => text(&pyro.start_vm(&id()?).await?),
        "stop_vm" => text(&pyro.stop_vm(&id()?).await?),
        "status_vm" => text(&pyro.status_vm(&id()?).await?),
        "delete_vm" => text(&pyro.delete_vm(&id()?).await?),
        "network_info_vm" => text(&pyro.network_info_vm(&id()?).await?),
        "exec_vm" => text(&pyro.exec_vm(&id()?, parse::<Command>(arguments)?.request()?, io).await?),
        "repair" => {
            let Repair { apply, delete } = parse(arguments)?;
            let mode = if apply { RepairMode::Apply } else { RepairMode::Look };
            text(&pyro.repair(RepairRequest { mode, delete }).await?)
        }
        "reap_expired" => text(&pyro.reap_expired().await?),
        "create_task" => text(&pyro.create_task(parse::<Machine>(arguments)?.request()?, &io.events).await?),
        "exec_task" => text(&pyro.exec_task(&id()?, parse::<Command>(arguments)?.request()?, io).await?),
        "start_task_command" => text(&pyro.start_task_command(&id()?, parse::<Command>(arguments)?.request()?).await?),
        "wait_task" => {
            let Sequence { id, sequence } = parse(arguments)?;
            text(&pyro.wait_task(&id, sequence, io).await?)
        }
        "cancel_task" => {
            let Sequence { id, sequence } = parse(arguments)?;
            text(&pyro.cancel_task(&id, sequence).await?)
        }
        "status_task" => text(&pyro.status_task(&id()?).await?),
        "list_tasks" => text(&pyro.list_tasks().await?),
        "logs_task" => {
            let Logs { id, sequence, tail_bytes, last } = parse(arguments)?;
            text(&pyro.logs_task(&id, LogsRequest { sequence, tail_bytes, last, most_bytes: None }).await?)
        }
        "read_output_task" => read_output(pyro, parse(arguments)?).await,
        "extend_task" => {
            let Extend { id, ttl_seconds } = parse(arguments)?;
            text(&pyro.extend_task(&id, ttl_seconds).await?)
        }
        "delete_task" => text(&pyro.delete_task(&id()?).await?),
        other => Err(Error::InvalidArgument { problem: format!("there is no operation {other}") }),
    }
}

async fn read_output(pyro: &Pyro, arguments: Output) -> Result<String, Error> {
    let Output { id, sequence, stream, offset, max_bytes } = arguments;
    let stream = match stream.as_str() {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        other => {
            return Err(Error::InvalidArgument {
                problem: format!("stream is {other:?}; it must be stdout or stderr"),
            });
        }
    };
    let piece = pyro.read_output(&id, sequence, stream, offset, max_bytes).await?;
    // Bytes have no form in JSON; Latin-1 gives each of them a character of its own.
    let bytes: String = piece.bytes.iter().map(|byte| char::from(*byte)).collect();
    Ok(json!({"data": bytes, "next_offset": piece.next_offset, "ended": piece.ended, "cut": piece.cut}).to_string())
}

/// What the caller hears of a phase.
pub fn describe(phase: &Phase) -> String {
    match phase {
        Phase::Create { environment } => format!("create environment={environment}"),
        Phase::Start { vm_id } => format!("start vm_id={vm_id}"),
        Phase::Execute { vm_id } => format!("execute vm_id={vm_id}"),
        Phase::Accepted { id, sequence } => format!("accepted id={id} sequence={sequence}"),
    }
}

fn parse<T: DeserializeOwned>(arguments: &str) -> Result<T, Error> {
    serde_json::from_str(arguments).map_err(|error| Error::InvalidArgument { problem: error.to_string() })
}

fn text(payload: &impl Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string(payload).expect("payloads have string keys only"))
}
