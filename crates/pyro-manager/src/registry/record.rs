//! A VM or task, as it is written down (the form on disk, in its directory and in the registry).

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::host;
use crate::limits::{HostCompat, MachineSize, NetworkPolicy, VmOptions};
use crate::network::Addresses;
use crate::vm::VmId;

/// The record's file in its directory.
pub const RECORD: &str = "record.json";
/// The format this release writes, and the only one it reads.
const FORMAT: u32 = 1;

/// What a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A machine for one command.
    Vm,
    /// A machine that stays.
    Task,
}

/// Where it is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its creator has not got it yet; gone when the creator is.
    Creating,
    /// Its machine was not started yet.
    Created,
    /// Its machine runs.
    Started,
    /// Its machine ran.
    Stopped,
}

/// How something ended that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Somebody deleted it.
    Deleted,
    /// Its time was up.
    Expired,
}

/// A VM or task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub format: u32,
    pub id: VmId,
    pub kind: Kind,
    pub state: State,
    pub environment: String,
    pub environment_version: String,
    pub vcpu_count: u8,
    pub mem_mib: u32,
    pub ttl_seconds: u64,
    /// Unix seconds, as are all times.
    pub created_at: f64,
    pub expires_at: f64,
    pub network: bool,
    /// The addresses it has; none while it reaches nothing.
    #[serde(default)]
    pub addresses: Option<Addresses>,
    pub allow_host_compat: bool,
    /// `pending` until the first start.
    pub execution_mode: String,
    pub accelerator: Option<String>,
    /// `template` or `cold`.
    pub start_mode: Option<String>,
    /// The boundary, and the layers around it.
    pub boundary: Option<String>,
    pub layers: Vec<String>,
    pub last_error: Option<String>,
    /// Milliseconds.
    pub create_ms: f64,
    pub start_ms: f64,
    pub attempt_id: Option<String>,
    /// Digest of the environment a VM's disk was made over; none before its first start.
    pub environment_digest: Option<String>,
    /// Digest of what was asked for, to tell a repeated attempt from another one.
    pub request_digest: String,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Task => "task",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Vm, Self::Task].into_iter().find(|kind| kind.word() == word)
    }
}

impl State {
    /// The word every face shows.
    pub fn word(self) -> &'static str {
        match self {
            Self::Creating | Self::Created => "created",
            Self::Started => "started",
            Self::Stopped => "stopped",
        }
    }
}

impl Ended {
    pub fn word(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Deleted, Self::Expired].into_iter().find(|ended| ended.word() == word)
    }
}

impl Record {
    /// Something that is being created now.
    pub fn new(id: VmId, kind: Kind, environment: &str, version: &str, options: VmOptions, now: f64) -> Self {
        Self {
            format: FORMAT,
            id,
            kind,
            state: State::Creating,
            environment: environment.into(),
            environment_version: version.into(),
            vcpu_count: options.size.vcpus(),
            mem_mib: options.size.memory_mib(),
            ttl_seconds: options.ttl.as_secs(),
            created_at: now,
            expires_at: now + options.ttl.as_secs_f64(),
            network: options.network == NetworkPolicy::Egress,
            addresses: None,
            allow_host_compat: options.host_compat == HostCompat::Allowed,
            execution_mode: "pending".into(),
            accelerator: None,
            start_mode: None,
            boundary: None,
            layers: Vec::new(),
            last_error: None,
            create_ms: 0.0,
            start_ms: 0.0,
            attempt_id: None,
            environment_digest: None,
            request_digest: String::new(),
        }
    }

    pub fn size(&self) -> MachineSize {
        MachineSize::new(i64::from(self.vcpu_count), i64::from(self.mem_mib)).unwrap_or_default()
    }

    pub fn network_policy(&self) -> NetworkPolicy {
        if self.network { NetworkPolicy::Egress } else { NetworkPolicy::Off }
    }

    pub fn is_expired(&self, now: f64) -> bool {
        now >= self.expires_at
    }

    /// Writes it into its directory.
    pub fn write(&self, directory: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self).expect("a record has string keys only");
        pyro_hostfs::write::atomically(&directory.join(RECORD), &text).map_err(host("write the machine's record"))
    }

    /// The record of a directory; `None` where there is none that this release can read.
    pub fn read(directory: &Path) -> Option<Self> {
        let record: Self = serde_json::from_slice(&fs::read(directory.join(RECORD)).ok()?).ok()?;
        (record.format == FORMAT).then_some(record)
    }
}

/// Every record below the machines' directory.
pub fn all(vms: &Path) -> Vec<Record> {
    let Ok(entries) = fs::read_dir(vms) else { return Vec::new() };
    let named = |entry: &fs::DirEntry| VmId::parse(entry.file_name().to_str()?);
    entries
        .flatten()
        .filter_map(|entry| Some((named(&entry)?, Record::read(&entry.path())?)))
        .filter_map(|(id, record)| (record.id == id).then_some(record))
        .collect()
}
