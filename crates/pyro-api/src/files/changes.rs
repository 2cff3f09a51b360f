//! A workspace that was seeded: what changed, and taking it over.

use std::path::PathBuf;

use pyro_manager::{ApplyRequest, DiffBinary, DiffForm, DiffOptions, DiffRequest, Error, FileIo, SeedRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::trees::TreeMoved;
use crate::operation::{Context, Effect, Operation};

/// Seeds a task's empty workspace.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SeedTask {
    /// The task's id
    pub task_id: String,
    /// A directory, a Git checkout, or a tar archive (.tar, .tar.gz, .tar.zst) on the host
    pub source: String,
    /// Of a Git checkout, also the files that Git ignores
    #[serde(default)]
    pub all: bool,
    /// Without the checkout's .git
    #[serde(default)]
    pub no_git: bool,
}

/// Shows what changed since the seed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DiffTask {
    /// The task's id
    pub task_id: String,
    /// Only below these paths
    #[serde(default)]
    pub paths: Vec<String>,
    /// patch, stat, or names
    #[serde(default)]
    pub form: DiffShape,
    /// Binary files with their contents, so that the patch can be applied
    #[serde(default)]
    pub binary: bool,
}

/// What a diff shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiffShape {
    /// Git's patch.
    #[default]
    Patch,
    /// The number of changed lines.
    Stat,
    /// The names alone.
    Names,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TaskDiff {
    /// The task.
    pub task_id: String,
    /// Each changed path.
    pub changes: Vec<ChangedPath>,
    /// The patch or the statistics. Bytes that are not UTF-8 become the replacement character.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A changed path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChangedPath {
    /// Below the workspace.
    pub path: String,
    /// `added`, `deleted`, `modified`, `type_changed` or `mode_changed`.
    pub change: &'static str,
}

/// Takes what changed over into a directory of the host.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ApplyTask {
    /// The task's id
    pub task_id: String,
    /// The directory on the host
    pub to: String,
    /// Only paths that fit one of these patterns
    #[serde(default)]
    pub only: Vec<String>,
    /// Paths to take although they are refused otherwise, by their exact names
    #[serde(default)]
    pub allow: Vec<String>,
    /// Merge texts that the host has changed as well, with conflict markers
    #[serde(default)]
    pub merge: bool,
    /// Leave out what is refused or in conflict; otherwise nothing is changed then
    #[serde(default)]
    pub skip_problems: bool,
    /// Only say what would be done
    #[serde(default)]
    pub dry_run: bool,
}

/// What was taken over, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TaskApplied {
    /// The task.
    pub task_id: String,
    /// Each changed path and what is done with it.
    pub steps: Vec<ApplyStep>,
    /// The number for undoing it; null where nothing was changed.
    pub number: Option<u64>,
    /// Files with conflict markers.
    pub marked: Vec<String>,
}

/// A path, and what is done with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ApplyStep {
    /// Below the directory.
    pub path: String,
    /// `write`, `merge`, `delete`, `make_directory`, `remove_directory`, `link`, `set_mode`, `same`, `conflict` or
    /// `refused`.
    pub action: &'static str,
    /// Why, or what to look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Takes an application back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UndoApply {
    /// The task's id
    pub task_id: String,
    /// The number of the application; the last one where it is left out
    pub number: Option<u64>,
}

/// What was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ApplyUndone {
    /// The task.
    pub task_id: String,
    /// The number of the application.
    pub number: u64,
    /// Paths that are as they were.
    pub restored: Vec<String>,
    /// Paths that were changed since and were left, with the reason.
    pub left: Vec<String>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Operation for SeedTask {
    type Result = TreeMoved;
    const NAME: &'static str = "seed_task";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Seed a task's workspace";
    const DESCRIPTION: &'static str = "Fill a task's empty /workspace with a directory, a Git checkout or an archive of \
        the host. What changes from then on can be shown and taken over.";
    const EFFECT: Effect = Effect::Adds;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let Self { task_id, source, all, no_git } = self;
        let io = FileIo { events: context.io.events, cancel: context.io.cancel };
        let request = SeedRequest { task_id: task_id.clone(), source: PathBuf::from(source), all, no_git };
        let manifest = Box::pin(context.pyro.seed(request, &io)).await?;
        let bytes = manifest.entries().iter().map(|entry| entry.size).sum();
        let (entries, destination) = (manifest.entries().len() as u64, pyro_manager::WORKSPACE.into());
        Ok(TreeMoved { task_id, destination, entries, bytes })
    }
}

impl DiffTask {
    /// The bytes of the diff, as Git gives them.
    ///
    /// # Errors
    /// As the operation.
    pub async fn bytes(&self, context: Context<'_>, color: bool) -> Result<Vec<u8>, Error> {
        let io = FileIo { events: context.io.events, cancel: context.io.cancel };
        let options = DiffOptions {
            form: match self.form {
                DiffShape::Patch => DiffForm::Patch,
                DiffShape::Stat => DiffForm::Stat,
                DiffShape::Names => DiffForm::NameOnly,
            },
            binary: if self.binary { DiffBinary::Whole } else { DiffBinary::Named },
            color: if color { pyro_manager::DiffColor::Always } else { pyro_manager::DiffColor::Never },
            ..DiffOptions::default()
        };
        let request = DiffRequest { task_id: self.task_id.clone(), paths: self.paths.clone(), options };
        Box::pin(context.pyro.diff(request, &io)).await
    }
}

impl Operation for DiffTask {
    type Result = TaskDiff;
    const NAME: &'static str = "diff_task";
    const TOOL: Option<&'static str> = Some("task_diff");
    const TITLE: &'static str = "Show what changed in a task";
    const DESCRIPTION: &'static str = "Show what changed in a task's workspace since it was seeded, as a Git patch.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let (pyro, host) = (context.pyro, context.host);
        let io = FileIo { events: context.io.events.clone(), cancel: context.io.cancel.clone() };
        let names = Box::pin(pyro.changed_names(&self.task_id, &self.paths, &io)).await?;
        let changes = names.iter().map(|name| ChangedPath { path: text(&name.path), change: name.what }).collect();
        let text = match self.form {
            DiffShape::Names => None,
            DiffShape::Patch | DiffShape::Stat => {
                Some(text(&self.bytes(Context { pyro, host, io: context.io }, false).await?))
            }
        };
        Ok(TaskDiff { task_id: self.task_id, changes, text })
    }
}

impl Operation for ApplyTask {
    type Result = TaskApplied;
    const NAME: &'static str = "apply_task";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Take over what changed in a task";
    const DESCRIPTION: &'static str = "Take over what changed in a task's workspace into a directory of the host: all \
        of it or nothing. Files that are no longer what was seeded are conflicts. undo_apply takes it back.";
    const EFFECT: Effect = Effect::Changes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let Self { task_id, to, only, allow, merge, skip_problems, dry_run } = self;
        let io = FileIo { events: context.io.events, cancel: context.io.cancel };
        let (id, to) = (task_id.clone(), PathBuf::from(to));
        let request = ApplyRequest { task_id: id, to, only, allow, merge, skip_problems, dry_run };
        let applied = Box::pin(context.pyro.apply(request, &io)).await?;
        let steps = applied.steps.into_iter();
        let steps = steps.map(|step| ApplyStep { path: text(&step.path), action: step.action, note: step.note });
        let marked = applied.marked.iter().map(|(path, _)| text(path)).collect();
        Ok(TaskApplied { task_id, steps: steps.collect(), number: applied.number, marked })
    }
}

impl Operation for UndoApply {
    type Result = ApplyUndone;
    const NAME: &'static str = "undo_apply";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Undo what was taken over from a task";
    const DESCRIPTION: &'static str = "Put the files back as they were before apply_task. Files that were changed since \
        are left as they are.";
    const EFFECT: Effect = Effect::Changes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let undone = Box::pin(context.pyro.undo_apply(&self.task_id, self.number)).await?;
        let left = undone.left.iter().map(|(path, why)| format!("{}: {why}", text(path))).collect();
        let restored = undone.restored.iter().map(|path| text(path)).collect();
        Ok(ApplyUndone { task_id: self.task_id, number: undone.number, restored, left })
    }
}
