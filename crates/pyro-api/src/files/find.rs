//! Names and lines that fit a pattern.

use pyro_manager::Error;
use pyro_manager::file_protocol::{Find, Grep, Kind, Match, Operation as Asked, Reply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::look::{FileListing, bound, default_entries, entries};
use super::target::{Target, workspace};
use crate::operation::{Context, Effect, Operation};

/// Finds files by name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct FindFiles {
    /// The task's id
    #[cfg_attr(feature = "cli", arg(value_name = "ID"))]
    pub task_id: String,
    /// The directory to look in, below the root
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long, value_name = "PATH", default_value = "", hide_default_value = true))]
    pub path: String,
    /// Pattern with *, ?, [a-z], {a,b} and **; with a / it is held against the whole path
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(value_name = "GLOB", default_value = "", hide_default_value = true))]
    pub glob: String,
    /// file, directory, symlink or other; everything where it is left out
    #[cfg_attr(feature = "cli", arg(long, value_name = "KIND"))]
    pub kind: Option<String>,
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

/// Finds lines.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct GrepFiles {
    /// The task's id
    #[cfg_attr(feature = "cli", arg(value_name = "ID"))]
    pub task_id: String,
    /// Regular expression
    #[cfg_attr(feature = "cli", arg(value_name = "PATTERN"))]
    pub pattern: String,
    /// The file or directory to look in, below the root
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(value_name = "PATH", default_value = "", hide_default_value = true))]
    pub path: String,
    /// The pattern is plain text
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub fixed: bool,
    /// Upper and lower case are the same
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(short, long))]
    pub ignore_case: bool,
    /// Only files whose name fits this pattern
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long, value_name = "GLOB", default_value = "", hide_default_value = true))]
    pub glob: String,
    /// Maximum number of matches, 1 to 100000
    #[serde(default = "default_matches")]
    #[schemars(range(min = 1, max = 100_000))]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = 100))]
    pub max_matches: u64,
    /// Directory that no path leads out of
    #[serde(default = "workspace")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR", default_value = "/workspace"))]
    pub root: String,
}

/// A line that fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GrepMatch {
    /// The file.
    pub path: String,
    /// From 1.
    pub line_number: u64,
    /// At most 4 KiB of it.
    pub line: String,
}

/// The lines that fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GrepResult {
    /// In the order of the files' names.
    pub matches: Vec<GrepMatch>,
    /// Whether there are more.
    pub truncated: bool,
}

fn default_matches() -> u64 {
    100
}

fn kind(word: Option<&str>) -> Result<Kind, Error> {
    Ok(match word {
        None => Kind::Unknown,
        Some("file") => Kind::File,
        Some("directory") => Kind::Directory,
        Some("symlink") => Kind::Symlink,
        Some("other") => Kind::Other,
        Some(word) => {
            let problem = format!("kind is {word:?}; it must be file, directory, symlink or other");
            return Err(Error::InvalidArgument { problem });
        }
    })
}

impl From<Match> for GrepMatch {
    fn from(found: Match) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { path: text(&found.path), line_number: found.line_number, line: text(&found.line) }
    }
}

impl Operation for FindFiles {
    type Result = FileListing;
    const NAME: &'static str = "find_files";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Find files in a task";
    const DESCRIPTION: &'static str = "Find files and directories of a task by name.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let target = Target { task_id: &self.task_id, root: &self.root };
        let find = Find {
            path: target.below(&self.path)?,
            glob: self.glob.into_bytes(),
            kind: kind(self.kind.as_deref())?.into(),
            max_entries: bound(self.max_entries)?,
        };
        let (found, done) = target.find(context, Asked::Find(find)).await?;
        Ok(FileListing { entries: entries(found), truncated: done.truncated })
    }
}

impl Operation for GrepFiles {
    type Result = GrepResult;
    const NAME: &'static str = "grep_files";
    const TOOL: Option<&'static str> = Some("task_file_grep");
    const TITLE: &'static str = "Find lines in a task's files";
    const DESCRIPTION: &'static str = "Find lines that fit a regular expression in the files of a task.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let target = Target { task_id: &self.task_id, root: &self.root };
        let grep = Grep {
            path: target.below(&self.path)?,
            pattern: self.pattern.into_bytes(),
            fixed: self.fixed,
            ignore_case: self.ignore_case,
            glob: self.glob.into_bytes(),
            max_matches: bound(self.max_matches)?,
        };
        let (found, done) = target.find(context, Asked::Grep(grep)).await?;
        let matches = found.into_iter().filter_map(|reply| match reply {
            Reply::Match(found) => Some(found.into()),
            Reply::Entry(_) | Reply::Change(_) => None,
        });
        Ok(GrepResult { matches: matches.collect(), truncated: done.truncated })
    }
}
