//! Changes: a file's content, directories, names.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use pyro_manager::file_protocol::{Done, MakeDirectory as Make, Move, Operation as Asked, Remove, Write};
use pyro_manager::{Error, FileInput, NoOutput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::target::{Target, workspace};
use crate::operation::{Context, Effect, Operation};

/// Bytes of a content in a request at most.
const MAX_CONTENT: usize = 64 << 20;

/// Replaces a file, or makes it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WriteFile {
    /// The task's id
    pub task_id: String,
    /// The file, below the root
    pub path: String,
    /// The new content, as text
    pub content: Option<String>,
    /// The new content, in base64
    pub data: Option<String>,
    /// Permission bits in octal, such as 0755; a replaced file keeps its own, a new one has 0644
    pub mode: Option<String>,
    /// SHA-256 of the content that is to be replaced, or absent: refuses when the file is another one
    pub if_digest: Option<String>,
    /// Write over the bytes from here on instead of replacing the file
    pub offset: Option<u64>,
    /// Make missing directories above it
    #[serde(default = "yes")]
    pub create_parents: bool,
    /// Directory that no path leads out of
    #[serde(default = "workspace")]
    pub root: String,
}

/// Makes a directory.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct MakeDirectory {
    /// The task's id
    #[cfg_attr(feature = "cli", arg(value_name = "ID"))]
    pub task_id: String,
    /// The directory, below the root
    #[cfg_attr(feature = "cli", arg(value_name = "PATH"))]
    pub path: String,
    /// Make missing directories above it, and accept one that is there
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(short, long))]
    pub parents: bool,
    /// Directory that no path leads out of
    #[serde(default = "workspace")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR", default_value = "/workspace"))]
    pub root: String,
}

/// Removes a file or a directory.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct RemoveFile {
    /// The task's id
    #[cfg_attr(feature = "cli", arg(value_name = "ID"))]
    pub task_id: String,
    /// What is removed, below the root
    #[cfg_attr(feature = "cli", arg(value_name = "PATH"))]
    pub path: String,
    /// Also a directory with all that is in it
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(short, long))]
    pub recursive: bool,
    /// Directory that no path leads out of
    #[serde(default = "workspace")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR", default_value = "/workspace"))]
    pub root: String,
}

/// Gives a file or a directory another name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct MoveFile {
    /// The task's id
    #[cfg_attr(feature = "cli", arg(value_name = "ID"))]
    pub task_id: String,
    /// The old name, below the root
    #[cfg_attr(feature = "cli", arg(value_name = "SOURCE"))]
    pub source: String,
    /// The new name, below the root
    #[cfg_attr(feature = "cli", arg(value_name = "DESTINATION"))]
    pub destination: String,
    /// Replace what has the new name
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub replace: bool,
    /// Directory that no path leads out of
    #[serde(default = "workspace")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR", default_value = "/workspace"))]
    pub root: String,
}

/// What was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileChanged {
    /// The path, as it was asked for.
    pub path: String,
    /// Entries that were changed.
    pub entries: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// SHA-256 of what was written, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

fn yes() -> bool {
    true
}

fn changed(path: String, done: Done) -> FileChanged {
    let digest = Some(done.digest).filter(|digest| !digest.is_empty());
    FileChanged { path, entries: done.entries, bytes: done.bytes, digest }
}

/// Permission bits of a text such as 0644.
pub(super) fn permission_bits(text: &str) -> Result<u32, Error> {
    let bits = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o7777);
    bits.ok_or_else(|| Error::InvalidArgument { problem: format!("mode is {text:?}; it must be octal, such as 0644") })
}

impl WriteFile {
    fn bytes(&self) -> Result<Bytes, Error> {
        let refuse = |problem: &str| Err(Error::InvalidArgument { problem: problem.into() });
        let bytes = match (&self.content, &self.data) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(data)) => match BASE64_STANDARD.decode(data) {
                Ok(bytes) => bytes,
                Err(error) => return refuse(&format!("data is not base64: {error}")),
            },
            _ => return refuse("give either content or data"),
        };
        if bytes.len() > MAX_CONTENT {
            return refuse(&format!("the content has {} bytes; the limit is {MAX_CONTENT}", bytes.len()));
        }
        Ok(bytes.into())
    }
}

impl Operation for WriteFile {
    type Result = FileChanged;
    const NAME: &'static str = "write_file";
    const TOOL: Option<&'static str> = Some("task_file_write");
    const TITLE: &'static str = "Write a file in a task";
    const DESCRIPTION: &'static str = "Replace a file of a task as a whole, or create it. if_digest refuses when the \
        file has changed since it was read.";
    const EFFECT: Effect = Effect::Changes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let target = Target { task_id: &self.task_id, root: &self.root };
        let write = Write {
            path: target.below(&self.path)?,
            mode: self.mode.as_deref().map(permission_bits).transpose()?,
            if_digest: self.if_digest.clone().unwrap_or_default(),
            create_parents: self.create_parents,
            offset: self.offset,
        };
        let input = FileInput::whole(self.bytes()?);
        let done = target.carry_out(context, Asked::Write(write), input, &mut NoOutput).await?;
        Ok(changed(self.path, done))
    }
}

impl Operation for MakeDirectory {
    type Result = FileChanged;
    const NAME: &'static str = "make_directory";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Make a directory in a task";
    const DESCRIPTION: &'static str = "Make a directory in a task.";
    const EFFECT: Effect = Effect::Changes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let target = Target { task_id: &self.task_id, root: &self.root };
        let make = Make { path: target.below(&self.path)?, mode: None, parents: self.parents };
        let done = target.carry_out(context, Asked::MakeDirectory(make), FileInput::None, &mut NoOutput).await?;
        Ok(changed(self.path, done))
    }
}

impl Operation for RemoveFile {
    type Result = FileChanged;
    const NAME: &'static str = "remove_file";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Remove a file in a task";
    const DESCRIPTION: &'static str = "Remove a file or a directory in a task.";
    const EFFECT: Effect = Effect::Removes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let target = Target { task_id: &self.task_id, root: &self.root };
        let remove = Remove { path: target.below(&self.path)?, recursive: self.recursive };
        let done = target.carry_out(context, Asked::Remove(remove), FileInput::None, &mut NoOutput).await?;
        Ok(changed(self.path, done))
    }
}

impl Operation for MoveFile {
    type Result = FileChanged;
    const NAME: &'static str = "move_file";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Move a file in a task";
    const DESCRIPTION: &'static str = "Give a file or a directory in a task another name.";
    const EFFECT: Effect = Effect::Changes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let target = Target { task_id: &self.task_id, root: &self.root };
        let rename =
            Move { from: target.below(&self.source)?, to: target.below(&self.destination)?, replace: self.replace };
        let done = target.carry_out(context, Asked::Move(rename), FileInput::None, &mut NoOutput).await?;
        Ok(changed(self.destination, done))
    }
}
