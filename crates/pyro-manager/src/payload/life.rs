//! Payloads of VMs and tasks.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use pyro_store::{Kind, Naming, Record};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Problem, WORKSPACE};

/// A VM.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct VmRecord {
    /// Its id.
    pub vm_id: String,
    /// What every machine has.
    #[serde(flatten)]
    pub life: LifeRecord,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TaskRecord {
    /// Its id.
    pub task_id: String,
    /// Its name, which stands wherever its id does.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What every machine has.
    #[serde(flatten)]
    pub life: LifeRecord,
    /// `/workspace`.
    pub workspace_path: &'static str,
    /// Commands in its journal.
    pub command_count: u64,
    /// The newest of them.
    pub last_command: Option<LastCommand>,
    /// What of its files is damaged or could not be read.
    pub problems: Vec<Problem>,
}

/// What VMs and tasks have in common.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LifeRecord {
    /// The environment's name.
    pub environment: String,
    /// Its version.
    pub environment_version: String,
    /// Virtual processors.
    pub vcpu_count: u8,
    /// Memory in MiB.
    pub mem_mib: u32,
    /// How long it may live, from its creation, its start or its last extension; 0 for a stopped task without an end.
    pub ttl_seconds: u64,
    /// Unix seconds.
    pub created_at: f64,
    /// Unix seconds; null for never.
    pub expires_at: Option<f64>,
    /// `created`, `started` or `stopped`.
    pub state: &'static str,
    /// Whether it has a network.
    pub network_enabled: bool,
    /// Whether the host may stand in for its guest.
    pub allow_host_compat: bool,
    /// Its address, where it has one.
    pub guest_ip: Option<IpAddr>,
    /// Always null: no host device is made.
    pub tap_name: Option<String>,
    /// `pending`, `guest_agent` or `host_compat`.
    pub execution_mode: String,
    /// `accelerator`, `start_mode`, `isolation` (the boundary and the layers in force).
    pub metadata: BTreeMap<String, String>,
    /// Why its machine is not there any more.
    pub last_error: Option<String>,
}

/// The newest command of a task.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LastCommand {
    /// Its number.
    pub sequence: u64,
    /// The caller's text.
    pub command: String,
    /// Where it runs.
    pub cwd: String,
    /// Null unless it has ended and said so.
    pub exit_code: Option<i32>,
    /// Null where unknown.
    pub duration_ms: Option<u64>,
    /// `guest_agent` or `host_compat`.
    pub execution_mode: String,
    /// `running`, `finished`, `timed_out`, `cancelled`, `lost` or `refused`.
    pub status: &'static str,
}

/// The result of a command in a task.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TaskExecRecord {
    /// The task.
    pub task_id: String,
    /// The environment's name.
    pub environment: String,
    /// Its version.
    pub environment_version: String,
    /// The caller's text.
    pub command: String,
    /// Standard output as text.
    pub stdout: String,
    /// Standard error as text.
    pub stderr: String,
    /// Whether something of stdout is left out here.
    pub stdout_truncated: bool,
    /// Whether something of stderr is left out here.
    pub stderr_truncated: bool,
    /// Bytes the command wrote to stdout.
    pub stdout_bytes: u64,
    /// Bytes the command wrote to stderr.
    pub stderr_bytes: u64,
    /// Exit code; 124 timed out, 128+N ended by signal N.
    pub exit_code: i32,
    /// Whether the time limit ended it.
    pub timed_out: bool,
    /// Whether the kernel killed a process of it for want of memory.
    pub out_of_memory: bool,
    /// The command's own time in milliseconds.
    pub duration_ms: u64,
    /// `guest_agent` or `host_compat`.
    pub execution_mode: String,
    /// Its number, from 1.
    pub sequence: u64,
    /// Where it ran.
    pub cwd: String,
    /// The caller's name for the attempt.
    pub attempt_id: Option<String>,
    /// `finished` or `timed_out`.
    pub status: &'static str,
}

/// A command that was sent off without waiting for its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DetachedRecord {
    /// The task.
    pub task_id: String,
    /// Its number.
    pub sequence: u64,
    /// `running`, or how it ended where the attempt was made before.
    pub status: &'static str,
}

/// The journal of a task.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TaskLogs {
    /// The task.
    pub task_id: String,
    /// How many entries there are here.
    pub count: usize,
    /// In order of start.
    pub entries: Vec<LogEntry>,
    /// What of the journal is damaged.
    pub problems: Vec<Problem>,
}

/// A command in a task's journal.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LogEntry {
    /// Its number.
    pub sequence: u64,
    /// The caller's text.
    pub command: String,
    /// Where it ran.
    pub cwd: String,
    /// Null unless it ended and said so.
    pub exit_code: Option<i32>,
    /// Null where unknown.
    pub duration_ms: Option<u64>,
    /// `guest_agent` or `host_compat`.
    pub execution_mode: String,
    /// The file with the bytes of its standard output.
    pub stdout_file: PathBuf,
    /// The file with the bytes of its standard error.
    pub stderr_file: PathBuf,
    /// When its state was last written down, Unix seconds.
    pub recorded_at: f64,
    /// Standard output as text.
    pub stdout: String,
    /// Standard error as text.
    pub stderr: String,
    /// Whether something of stdout is left out here.
    pub stdout_truncated: bool,
    /// Whether something of stderr is left out here.
    pub stderr_truncated: bool,
    /// Why the journal does not have all of stdout.
    pub stdout_cut: Option<String>,
    /// Why the journal does not have all of stderr.
    pub stderr_cut: Option<String>,
    /// Bytes the command wrote to stdout, as far as is known.
    pub stdout_bytes: u64,
    /// Bytes the command wrote to stderr, as far as is known.
    pub stderr_bytes: u64,
    /// `running`, `finished`, `timed_out`, `cancelled`, `lost` or `refused`.
    pub status: &'static str,
    /// Why, where it is not plain.
    pub reason: Option<String>,
    /// Whether the kernel killed a process of it for want of memory.
    pub out_of_memory: bool,
    /// Unix seconds.
    pub started_at: f64,
    /// Unix seconds; null while it runs.
    pub finished_at: Option<f64>,
    /// The caller's name for the attempt.
    pub attempt_id: Option<String>,
}

/// A piece of one stream of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPiece {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where the next piece begins.
    pub next_offset: u64,
    /// Whether nothing will follow.
    pub ended: bool,
    /// Why the journal does not have all of it.
    pub cut: Option<String>,
}

/// Every task.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TaskList {
    /// How many.
    pub count: usize,
    /// Oldest first.
    pub tasks: Vec<TaskRecord>,
    /// What is damaged or could not be read, whether or not it is listed.
    pub problems: Vec<Problem>,
}

/// A deleted VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VmDeleted {
    /// Its id.
    pub vm_id: String,
    /// Always true: otherwise there is an error.
    pub deleted: bool,
    /// `explicit_delete`.
    pub reason: &'static str,
}

/// A deleted task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TaskDeleted {
    /// Its id.
    pub task_id: String,
    /// Always true: otherwise there is an error.
    pub deleted: bool,
    /// `explicit_delete`.
    pub reason: &'static str,
}

/// What had expired and was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reaped {
    /// VMs.
    pub deleted_vm_ids: Vec<String>,
    /// Tasks.
    pub deleted_task_ids: Vec<String>,
    /// Both together.
    pub count: usize,
}

/// Addresses of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Addresses {
    /// The guest's.
    pub guest_ip: IpAddr,
    /// What it sends everything to.
    pub gateway_ip: IpAddr,
    /// Of both.
    pub subnet_cidr: String,
    /// Of the guest's network device.
    pub mac_address: String,
    /// The resolvers it asks. The gateway stands for one that only the host can ask.
    pub dns_servers: Vec<IpAddr>,
}

impl From<pyro_store::Addresses> for Addresses {
    fn from(addresses: pyro_store::Addresses) -> Self {
        let pyro_store::Addresses { guest_ip, gateway_ip, subnet_cidr, mac_address, dns_servers } = addresses;
        Self { guest_ip, gateway_ip, subnet_cidr, mac_address, dns_servers }
    }
}

/// The network of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NetworkInfo {
    /// Its id.
    pub vm_id: String,
    /// Whether it has one.
    pub network_enabled: bool,
    /// Its addresses, while it has them.
    #[serde(flatten)]
    pub addresses: Option<Addresses>,
    /// Whether connections to the outside can be expected to work.
    pub outbound_connectivity_expected: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl LifeRecord {
    pub(crate) fn new(record: &Record) -> Self {
        let mut metadata = BTreeMap::new();
        let known = [("accelerator", &record.accelerator), ("start_mode", &record.start_mode)];
        for (key, value) in known {
            metadata.extend(value.iter().map(|value| (key.to_owned(), value.clone())));
        }
        if let Some(boundary) = &record.boundary {
            let layers = record.layers.iter().map(String::as_str);
            let isolation: Vec<&str> = std::iter::once(boundary.as_str()).chain(layers).collect();
            metadata.insert("isolation".into(), isolation.join(", "));
        }
        Self {
            environment: record.environment.clone(),
            environment_version: record.environment_version.clone(),
            vcpu_count: record.vcpu_count,
            mem_mib: record.mem_mib,
            ttl_seconds: record.ttl_seconds,
            created_at: record.created_at,
            expires_at: record.expiry(),
            state: record.state.as_str(),
            network_enabled: record.settings.network,
            allow_host_compat: record.settings.allow_host_compat,
            guest_ip: record.addresses.as_ref().map(|addresses| addresses.guest_ip),
            tap_name: None,
            execution_mode: record.execution_mode.clone(),
            metadata,
            last_error: record.last_error.clone(),
        }
    }
}

impl VmRecord {
    pub(crate) fn new(record: &Record) -> Self {
        debug_assert_eq!(record.kind, Kind::Vm);
        Self { vm_id: record.id.to_string(), life: LifeRecord::new(record) }
    }
}

impl TaskRecord {
    pub(crate) fn new(
        record: &Record,
        command_count: u64,
        last_command: Option<LastCommand>,
        problems: Vec<Problem>,
    ) -> Self {
        let (task_id, life) = (record.id.to_string(), LifeRecord::new(record));
        let Naming { name, labels } = record.naming.clone();
        Self { task_id, name, labels, life, workspace_path: WORKSPACE, command_count, last_command, problems }
    }
}
