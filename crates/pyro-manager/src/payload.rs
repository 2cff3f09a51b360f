//! The payloads of the public contract (section 4): the form on the wire, and nothing else.

mod life;
mod problem;

use std::path::PathBuf;

use pyro_environment::Manifest;
use schemars::JsonSchema;
use serde::Serialize;

pub use life::{
    Addresses, DetachedRecord, LastCommand, LifeRecord, LogEntry, NetworkInfo, OutputPiece, Reaped, TaskDeleted,
    TaskExecRecord, TaskList, TaskLogs, TaskRecord, VmDeleted, VmRecord,
};
pub use problem::Problem;
pub use pyro_environment::CATALOG_VERSION;

/// Where the commands of a machine run.
pub const WORKSPACE: &str = "/workspace";

/// How a command was run.
pub const GUEST_AGENT: &str = "guest_agent";

/// On the host, with no boundary: the caller asked for it, and no guest could be had.
pub const HOST_COMPAT: &str = "host_compat";

/// The result of a one-shot command.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RunRecord {
    /// The machine's id.
    pub vm_id: String,
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
    /// Whether the middle of stdout is left out.
    pub stdout_truncated: bool,
    /// Whether the middle of stderr is left out.
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
    /// The command's own time in milliseconds, by the guest's clock.
    pub duration_ms: u64,
    /// `guest_agent` or `host_compat`.
    pub execution_mode: String,
    /// `kvm` or `tcg`; null where no machine was used.
    pub accelerator: Option<String>,
    /// How the machine was started; null where none was.
    pub start_mode: Option<StartMode>,
    /// What is around the command.
    pub isolation: Isolation,
    /// Where the time went.
    pub timings_ms: Timings,
    /// What was removed afterwards.
    pub cleanup: Cleanup,
}

/// How a machine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartMode {
    /// Restored from a template that was there.
    Template,
    /// A machine was booted for it.
    Cold,
}

impl StartMode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Cold => "cold",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Template, Self::Cold].into_iter().find(|mode| mode.as_str() == word)
    }
}

/// The boundary between a command and the host, and the layers around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Isolation {
    /// `kvm`, `tcg` or `none`.
    pub boundary: String,
    /// Only what is in force.
    pub layers: Vec<String>,
}

/// Milliseconds of each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Timings {
    /// Directories and overlays.
    pub create: f64,
    /// Until the machine runs.
    pub start: f64,
    /// From sending the command to its last byte.
    pub exec: f64,
}

/// What was removed after a one-shot command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cleanup {
    /// The machine's id.
    pub vm_id: String,
    /// Always true: otherwise there is an error.
    pub deleted: bool,
    /// `post_exec_cleanup`.
    pub reason: &'static str,
}

/// `env list`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct EnvironmentList {
    /// Release of the catalog.
    pub catalog_version: &'static str,
    /// Every environment of it.
    pub environments: Vec<EnvironmentRecord>,
}

/// An environment.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct EnvironmentRecord {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// What a user finds in it.
    pub default_packages: &'static [&'static str],
    /// `debian`.
    pub distribution: &'static str,
    /// `12`.
    pub distribution_version: &'static str,
    /// `linux-x86_64`.
    pub platform: &'static str,
    /// Where its content comes from.
    pub source: String,
    /// Digest of that content once it is installed.
    pub source_digest: Option<String>,
    /// Release of the catalog.
    pub catalog_version: &'static str,
    /// Whether it is installed and whole.
    pub installed: bool,
    /// The cache's directory.
    pub cache_dir: PathBuf,
    /// Where it is or would be installed.
    pub install_dir: PathBuf,
    /// Its manifest's path, when installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_manifest: Option<PathBuf>,
    /// Its kernel's path, when installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_image: Option<PathBuf>,
    /// Its disk's path, when installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs_image: Option<PathBuf>,
    /// Why it is not usable although something is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What was installed.
    #[serde(skip)]
    pub manifest: Option<Manifest>,
}

/// `env pull`.
pub type PullRecord = EnvironmentRecord;

/// `env prune`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PruneRecord {
    /// What was removed, by name.
    pub deleted_environment_dirs: Vec<String>,
    /// How many.
    pub count: usize,
}
