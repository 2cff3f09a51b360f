//! What is there: the names in a directory, and what one name stands for.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pyro_manager::Error;
use pyro_manager::file_protocol::{Entry, Kind, List, Operation as Asked, Reply, Stat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::target::{Target, workspace};
use crate::operation::{Context, Effect, Operation};

/// Entries that a listing has at most, where nothing else is said.
const DEFAULT_ENTRIES: u64 = 1000;
/// Entries that a listing has at most.
const MAX_ENTRIES: u64 = 100_000;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FileEntry {
    /// The path below the root. Bytes that are not UTF-8 are shown as the replacement character.
    pub path: String,
    /// The path's bytes in base64, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_base64: Option<String>,
    /// `file`, `directory`, `symlink` or `other`.
    pub kind: &'static str,
    /// Bytes of a file, or of a symbolic link's target.
    pub size: u64,
    /// Permission bits in octal, such as 0644.
    pub mode: String,
    /// Time of the last change, Unix seconds.
    pub modified_at: f64,
    /// Where a symbolic link leads, as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_target: Option<String>,
}

impl From<Entry> for FileEntry {
    fn from(entry: Entry) -> Self {
        let kind = entry.kind();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            path: text(&entry.path),
            path_base64: std::str::from_utf8(&entry.path).is_err().then(|| BASE64_STANDARD.encode(&entry.path)),
            kind: match kind {
                Kind::File => "file",
                Kind::Directory => "directory",
                Kind::Symlink => "symlink",
                Kind::Other | Kind::Unknown => "other",
            },
            size: entry.size,
            mode: format!("{:04o}", entry.mode),
            modified_at: entry.mtime_ns as f64 / 1e9,
            link_target: (kind == Kind::Symlink).then(|| text(&entry.link_target)),
        }
    }
}

/// Lists a directory.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct ListFiles {
    /// The task's id
    #[cfg_attr(feature = "cli", arg(value_name = "ID"))]
    pub task_id: String,
    /// The directory, below the root
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(value_name = "PATH", default_value = "", hide_default_value = true))]
    pub path: String,
    /// Also what is in the directories below
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(short, long))]
    pub recursive: bool,
    /// Maximum number of entries, 1 to 100000
    #[serde(default = "default_entries")]
    #[schemars(range(min = 1, max = 100_000))]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = 1000))]
    pub max_entries: u64,
    /// Directory that no path leads out of
    #[serde(default = "workspace")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR", default_value = "/workspace"))]
    pub root: String,
}

/// Shows what a name stands for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct StatFile {
    /// The task's id
    #[cfg_attr(feature = "cli", arg(value_name = "ID"))]
    pub task_id: String,
    /// The path, below the root
    #[cfg_attr(feature = "cli", arg(value_name = "PATH"))]
    pub path: String,
    /// Directory that no path leads out of
    #[serde(default = "workspace")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR", default_value = "/workspace"))]
    pub root: String,
}

/// The names in a directory.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FileListing {
    /// In the order of their bytes; a directory comes before what is in it.
    pub entries: Vec<FileEntry>,
    /// Whether there are more.
    pub truncated: bool,
}

pub(super) fn default_entries() -> u64 {
    DEFAULT_ENTRIES
}

pub(super) fn bound(entries: u64) -> Result<u64, Error> {
    if (1..=MAX_ENTRIES).contains(&entries) {
        return Ok(entries);
    }
    Err(Error::OutOfRange { field: "max_entries", value: entries.to_string(), bounds: format!("1 to {MAX_ENTRIES}") })
}

pub(super) fn entries(found: Vec<Reply>) -> Vec<FileEntry> {
    let entries = found.into_iter().filter_map(|reply| match reply {
        Reply::Entry(entry) => Some(entry.into()),
        Reply::Match(_) | Reply::Change(_) => None,
    });
    entries.collect()
}

impl Operation for ListFiles {
    type Result = FileListing;
    const NAME: &'static str = "list_files";
    const TOOL: Option<&'static str> = Some("task_file_list");
    const TITLE: &'static str = "List files in a task";
    const DESCRIPTION: &'static str = "List a directory of a task, /workspace by default.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let target = Target { task_id: &self.task_id, root: &self.root };
        let max_entries = bound(self.max_entries)?;
        let list = List { path: target.below(&self.path)?, recursive: self.recursive, max_entries };
        let (found, done) = target.find(context, Asked::List(list)).await?;
        Ok(FileListing { entries: entries(found), truncated: done.truncated })
    }
}

impl Operation for StatFile {
    type Result = FileEntry;
    const NAME: &'static str = "stat_file";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Show what a name in a task stands for";
    const DESCRIPTION: &'static str = "Show kind, size, mode and time of a file in a task.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let target = Target { task_id: &self.task_id, root: &self.root };
        let stat = Stat { path: target.below(&self.path)? };
        let (found, _) = target.find(context, Asked::Stat(stat)).await?;
        let missing = || Error::FileUnknown { problem: "the guest named no entry".into() };
        entries(found).into_iter().next().ok_or_else(missing)
    }
}
