//! A VM or task, as it is written down (the form on disk, in its directory and in the registry).

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use pyro_hostfs::seal::{self, Seal};
use serde::{Deserialize, Serialize};

use crate::error::{Error, RecordProblem, host};
use crate::id::VmId;
use crate::lifecycle::{Kind, State};
use crate::naming::Naming;

/// The record's file in its directory.
pub const RECORD: &str = "record.json";
/// The format this release writes, and the only one it reads.
const FORMAT: u32 = 1;
/// When a machine expires that has no time to live: the last second of the year 9999. Release 2.1.0 wants a number.
const NEVER: f64 = 253_402_300_799.0;

/// Addresses of a guest (the form on disk and in the payloads).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The guest's.
    pub guest_ip: IpAddr,
    /// The gateway.
    pub gateway_ip: IpAddr,
    /// Of both.
    pub subnet_cidr: String,
    /// Of the guest's network device.
    pub mac_address: String,
    /// The resolvers it asks. The gateway stands for one that only the host can ask.
    pub dns_servers: Vec<IpAddr>,
}

/// The requested properties of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Virtual processors.
    pub vcpu_count: u8,
    /// Memory in MiB.
    pub mem_mib: u32,
    /// How long it may live.
    pub ttl: Duration,
    /// All else.
    pub settings: Settings,
}

/// What a caller has chosen of a machine, apart from its size and life. It goes from the caller to the record as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Whether it may reach anything.
    pub network: bool,
    /// Whether commands may run on the host instead.
    pub allow_host_compat: bool,
}

/// A VM or task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The format, see [`RECORD`].
    pub format: u32,
    /// Its id.
    pub id: VmId,
    /// What it is kept for.
    pub kind: Kind,
    /// Where it is in its life.
    pub state: State,
    /// The environment's name.
    pub environment: String,
    /// The version of that.
    pub environment_version: String,
    /// Virtual processors.
    pub vcpu_count: u8,
    /// Memory in MiB.
    pub mem_mib: u32,
    /// How long it may live; 0 for a stopped task that never expires.
    pub ttl_seconds: u64,
    /// Unix seconds, as are all times.
    pub created_at: f64,
    /// When it expires, see [`Record::expiry`].
    pub expires_at: f64,
    /// What its creator has chosen; the fields stand beside the others.
    #[serde(flatten)]
    pub settings: Settings,
    /// What people call it. Release 2.1.0 leaves these fields out where it writes.
    #[serde(flatten)]
    pub naming: Naming,
    /// The addresses it has; none while it reaches nothing.
    #[serde(default)]
    pub addresses: Option<Addresses>,
    /// `pending` until the first start.
    pub execution_mode: String,
    /// `kvm` or `tcg`; none where there was no machine.
    pub accelerator: Option<String>,
    /// `template` or `cold`.
    pub start_mode: Option<String>,
    /// The boundary, and the layers around it.
    pub boundary: Option<String>,
    /// Those that are in force.
    pub layers: Vec<String>,
    /// Why it has no machine, or no network.
    pub last_error: Option<String>,
    /// Milliseconds.
    pub create_ms: f64,
    /// The same of its start.
    pub start_ms: f64,
    /// The caller's name for the attempt to create it.
    pub attempt_id: Option<String>,
    /// Digest of what a VM's disk was made over; none before its first start. Release 2.1.0 counted its agent in.
    pub environment_digest: Option<String>,
    /// Digest of what was asked for, to tell a repeated attempt from another one.
    pub request_digest: String,
}

impl Record {
    /// Something that is being created now.
    pub fn new(id: VmId, kind: Kind, environment: &str, version: &str, wanted: Wanted, now: f64) -> Self {
        Self {
            format: FORMAT,
            id,
            kind,
            state: State::Creating,
            environment: environment.into(),
            environment_version: version.into(),
            vcpu_count: wanted.vcpu_count,
            mem_mib: wanted.mem_mib,
            ttl_seconds: wanted.ttl.as_secs(),
            created_at: now,
            expires_at: now + wanted.ttl.as_secs_f64(),
            settings: wanted.settings,
            naming: Naming::default(),
            addresses: None,
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

    /// Whether it has expired.
    #[must_use]
    pub fn is_expired(&self, now: f64) -> bool {
        now >= self.expires_at
    }

    /// Gives it another life, counted from now. One of no length never ends.
    pub fn live_for(&mut self, ttl: Duration, now: f64) {
        self.ttl_seconds = ttl.as_secs();
        self.expires_at = if ttl.is_zero() { NEVER } else { now + ttl.as_secs_f64() };
    }

    /// When it expires; `None` for never.
    #[must_use]
    pub fn expiry(&self) -> Option<f64> {
        (self.ttl_seconds > 0 || self.expires_at < NEVER).then_some(self.expires_at)
    }

    /// Its text, which carries its own checksum.
    pub fn text(&self) -> String {
        seal::seal(&serde_json::to_string_pretty(self).expect("a record has string keys only"))
    }

    /// Writes it into its directory.
    pub fn write(&self, directory: &Path) -> Result<(), Error> {
        let written = pyro_hostfs::write::atomically(&directory.join(RECORD), self.text().as_bytes());
        written.map_err(host("write the machine's record"))
    }

    /// The record of a directory; `None` where there is none.
    ///
    /// # Errors
    /// [`RecordProblem`] if a record exists but is unreadable or damaged.
    pub fn read(directory: &Path) -> Result<Option<Self>, RecordProblem> {
        let path = directory.join(RECORD);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|source| RecordProblem::Unread { path: path.clone(), source })?,
        };
        let record = Self::parse(&text, &path)?;
        if directory.file_name().and_then(|name| name.to_str()).is_some_and(|name| is_of_another(name, &record)) {
            return Err(RecordProblem::Damaged { path, why: format!("it belongs to {}", record.id) });
        }
        Ok(Some(record))
    }

    /// The record of a text that stands in `path`.
    ///
    /// # Errors
    /// [`RecordProblem`]. A later format is never reported as damage.
    pub fn parse(text: &[u8], path: &Path) -> Result<Self, RecordProblem> {
        let damaged = |why: String| RecordProblem::Damaged { path: path.to_owned(), why };
        let value: serde_json::Value = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
        match value["format"].as_u64() {
            Some(found) if found > u64::from(FORMAT) => {
                return Err(RecordProblem::Newer { path: path.to_owned(), found, ours: FORMAT });
            }
            _ if seal::check(text) == Seal::Broken => return Err(damaged("its checksum does not match".into())),
            Some(found) if found == u64::from(FORMAT) => {}
            _ => return Err(damaged("it has no format field".into())),
        }
        serde_json::from_value(value).map_err(|error| damaged(error.to_string()))
    }
}

fn is_of_another(name: &str, record: &Record) -> bool {
    VmId::parse(name).is_some_and(|id| id != record.id)
}

/// Keeps a damaged record under another name.
///
/// # Errors
/// The error of the host.
pub fn set_aside(directory: &Path) -> Result<(), Error> {
    let set_aside = || {
        let mut number = 1;
        while directory.join(format!("record.damaged-{number}.json")).try_exists()? {
            number += 1;
        }
        match fs::rename(directory.join(RECORD), directory.join(format!("record.damaged-{number}.json"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed,
        }
    };
    set_aside().map_err(host("keep a damaged record aside"))
}

/// The usual request.
#[cfg(test)]
pub fn wanted() -> Wanted {
    Wanted { vcpu_count: 1, mem_mib: 1024, ttl: Duration::from_secs(600), settings: Settings::default() }
}
