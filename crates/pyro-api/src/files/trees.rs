//! Whole trees between the host and a task.

use std::path::PathBuf;

use pyro_manager::{Error, ExportRequest, FileIo, PushRequest, RunEvent, WORKSPACE};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::target::workspace;
use crate::operation::{Context, Effect, Operation};

/// Sends a tree of the host into a task.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct PushFiles {
    /// The task's id
    #[cfg_attr(feature = "cli", arg(value_name = "ID"))]
    pub task_id: String,
    /// A directory, a Git checkout, or a tar archive (.tar, .tar.gz, .tar.zst) on the host
    #[cfg_attr(feature = "cli", arg(value_name = "SOURCE"))]
    pub source: String,
    /// The directory in the task that it goes to; created if it is missing
    #[serde(default = "workspace")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR", default_value = "/workspace", visible_alias = "dest"))]
    pub destination: String,
    /// Of a Git checkout, also the files that Git ignores
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub all: bool,
    /// Without the checkout's .git
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub no_git: bool,
}

/// Takes a tree out of a task.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct ExportFiles {
    /// The task's id
    #[cfg_attr(feature = "cli", arg(value_name = "ID"))]
    pub task_id: String,
    /// A new directory on the host, or an archive by its name (.tar, .tar.gz, .tar.zst)
    #[cfg_attr(feature = "cli", arg(long, short, value_name = "HOST_PATH"))]
    pub output: String,
    /// The directory in the task
    #[serde(default = "workspace")]
    #[cfg_attr(feature = "cli", arg(value_name = "PATH", default_value = "/workspace"))]
    pub path: String,
    /// Keep symbolic links that lead out of the directory; they are left out otherwise
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub keep_links: bool,
}

/// A tree that was sent or received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TreeMoved {
    /// The task.
    pub task_id: String,
    /// Where it went to.
    pub destination: String,
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
}

impl Operation for PushFiles {
    type Result = TreeMoved;
    const NAME: &'static str = "push_files";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Send a tree into a task";
    const DESCRIPTION: &'static str = "Send a directory, a Git checkout or an archive of the host into a task. What is there is replaced file by file.";
    const EFFECT: Effect = Effect::Changes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let Self { task_id, source, destination, all, no_git } = self;
        let io = FileIo { events: context.io.events, cancel: context.io.cancel };
        let (source, id) = (PathBuf::from(source), task_id.clone());
        let request = PushRequest { task_id: id, source, destination: destination.clone(), all, no_git };
        let (manifest, done) = Box::pin(context.pyro.push(request, &io)).await?;
        Ok(TreeMoved { task_id, destination, entries: manifest.entries().len() as u64, bytes: done.bytes })
    }
}

impl Operation for ExportFiles {
    type Result = TreeMoved;
    const NAME: &'static str = "export_files";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Take a tree out of a task";
    const DESCRIPTION: &'static str = "Write a directory of a task to a new directory or an archive on the host.";
    const EFFECT: Effect = Effect::Adds;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let Self { task_id, output, path, keep_links } = self;
        let io = FileIo { events: context.io.events, cancel: context.io.cancel };
        let directory = if path.starts_with('/') { path } else { format!("{WORKSPACE}/{path}") };
        let (id, target) = (task_id.clone(), PathBuf::from(&output));
        let request = ExportRequest { task_id: id, directory, output: target, keep_links };
        let received = Box::pin(context.pyro.export(request, &io)).await?;
        for notice in received.notices {
            let _ = io.events.send(RunEvent::Notice(notice.to_string())).await;
        }
        Ok(TreeMoved { task_id, destination: output, entries: received.entries, bytes: received.bytes })
    }
}
