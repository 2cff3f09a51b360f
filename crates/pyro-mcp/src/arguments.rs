//! What tools are called with (the form on the wire). Unknown names are refused, so that a slip does
//! not go unnoticed.

use std::collections::BTreeMap;
use std::time::Duration;

use pyro_manager::{Error, ExecRequest, HostCompat, MachineSize, NetworkPolicy, VmOptions};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::server::HostAccess;

/// How long a call waits for a command's end; hosts give up on a call after about a minute.
pub const WAIT_SECONDS: f64 = 45.0;
/// Bytes that `task_output` returns where nothing else is said, and at most.
pub const OUTPUT_BYTES: usize = 16 * 1024;
const MOST_OUTPUT_BYTES: usize = 256 * 1024;

/// Takes arguments apart.
///
/// # Errors
/// What is missing, of the wrong type, or unknown.
pub fn parse<T: DeserializeOwned>(arguments: Value) -> Result<T, Error> {
    let arguments = match arguments {
        Value::Null => Value::Object(Map::new()),
        other => other,
    };
    serde_json::from_value(arguments).map_err(|error| Error::InvalidArgument { problem: error.to_string() })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmRun {
    pub environment: String,
    pub command: String,
    vcpu_count: Option<i64>,
    mem_mib: Option<i64>,
    timeout_seconds: Option<f64>,
    ttl_seconds: Option<i64>,
    network: Option<bool>,
    allow_host_compat: Option<bool>,
    pub stdin: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    pub environment: String,
    vcpu_count: Option<i64>,
    mem_mib: Option<i64>,
    ttl_seconds: Option<i64>,
    network: Option<bool>,
    allow_host_compat: Option<bool>,
    pub attempt_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vm {
    pub vm_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmExec {
    pub vm_id: String,
    command: String,
    timeout_seconds: Option<f64>,
    pub stdin: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    pub task_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskExec {
    pub task_id: String,
    command: String,
    timeout_seconds: Option<f64>,
    pub wait_seconds: Option<f64>,
    attempt_id: Option<String>,
    cwd: Option<String>,
    env: Option<BTreeMap<String, String>>,
    pub stdin: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskWait {
    pub task_id: String,
    pub sequence: u64,
    pub wait_seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskCommand {
    pub task_id: String,
    pub sequence: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskLogs {
    pub task_id: String,
    pub sequence: Option<u64>,
    pub tail_bytes: Option<usize>,
    pub last: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskExtend {
    pub task_id: String,
    pub ttl_seconds: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskOutput {
    pub task_id: String,
    pub sequence: u64,
    pub stream: Option<String>,
    pub offset: Option<u64>,
    max_bytes: Option<usize>,
}

impl VmRun {
    /// The command's time limit.
    pub fn timeout(&self) -> Result<Duration, Error> {
        timeout(self.timeout_seconds)
    }

    /// The machine.
    pub fn options(&self, host: HostAccess) -> Result<VmOptions, Error> {
        let Self { vcpu_count, mem_mib, ttl_seconds, network, allow_host_compat, .. } = self;
        let options = options(*vcpu_count, *mem_mib, *ttl_seconds, *network, *allow_host_compat, host)?;
        Ok(VmOptions { ttl: pyro_manager::run_ttl(*ttl_seconds, self.timeout()?)?, ..options })
    }
}

impl Create {
    /// The machine.
    pub fn options(&self, host: HostAccess) -> Result<VmOptions, Error> {
        let Self { vcpu_count, mem_mib, ttl_seconds, network, allow_host_compat, .. } = self;
        options(*vcpu_count, *mem_mib, *ttl_seconds, *network, *allow_host_compat, host)
    }
}

impl VmExec {
    /// The command.
    pub fn request(&self) -> Result<ExecRequest, Error> {
        Ok(ExecRequest::new(self.command.clone(), timeout(self.timeout_seconds)?))
    }
}

impl TaskExec {
    /// The command.
    pub fn request(&self) -> Result<ExecRequest, Error> {
        let mut request = ExecRequest::new(self.command.clone(), timeout(self.timeout_seconds)?);
        if let Some(cwd) = &self.cwd {
            request.cwd.clone_from(cwd);
        }
        request.environment = self.env.clone().unwrap_or_default().into_iter().collect();
        request.attempt_id.clone_from(&self.attempt_id);
        Ok(request)
    }
}

impl TaskOutput {
    /// How much to return.
    pub fn most(&self) -> usize {
        self.max_bytes.unwrap_or(OUTPUT_BYTES).clamp(1, MOST_OUTPUT_BYTES)
    }
}

fn timeout(seconds: Option<f64>) -> Result<Duration, Error> {
    pyro_manager::timeout(seconds.unwrap_or(30.0))
}

/// How long a call waits.
///
/// # Errors
/// When it is not a time.
pub fn wait(seconds: Option<f64>) -> Result<Duration, Error> {
    let seconds = seconds.unwrap_or(WAIT_SECONDS);
    if (0.0..=86_400.0).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(Error::OutOfRange { field: "wait_seconds", value: seconds.to_string(), bounds: "0 to 86400".into() })
}

fn options(
    vcpu_count: Option<i64>,
    mem_mib: Option<i64>,
    ttl_seconds: Option<i64>,
    network: Option<bool>,
    allow_host_compat: Option<bool>,
    host: HostAccess,
) -> Result<VmOptions, Error> {
    let wants_host = allow_host_compat.unwrap_or(false);
    if wants_host && host == HostAccess::Refused {
        return Err(Error::HostCompatRefused);
    }
    Ok(VmOptions {
        size: MachineSize::new(vcpu_count.unwrap_or(1), mem_mib.unwrap_or(1024))?,
        ttl: pyro_manager::ttl(ttl_seconds.unwrap_or(600))?,
        network: if network.unwrap_or(false) { NetworkPolicy::Egress } else { NetworkPolicy::Off },
        host_compat: if wants_host { HostCompat::Allowed } else { HostCompat::Refused },
    })
}
