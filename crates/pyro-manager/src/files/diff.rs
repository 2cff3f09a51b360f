//! The diff of a workspace, made by the host's Git of what the guest sent.

use pyro_tree::apply::Change;
use pyro_tree::diff::{Git, Options, diff};
use pyro_tree::entry::Kind;

use super::call::FileIo;
use crate::error::Error;
use crate::pyro::Pyro;
use crate::threads::off_thread;

/// Which changes, and how they are shown.
#[derive(Clone, Debug, Default)]
pub struct DiffRequest {
    /// The task.
    pub task_id: String,
    /// Only below these paths; none for the whole workspace.
    pub paths: Vec<String>,
    /// How they are shown.
    pub options: Options,
}

/// A changed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedName {
    /// Below the workspace.
    pub path: Vec<u8>,
    /// `added`, `deleted`, `modified`, `type_changed` or `mode_changed`.
    pub what: &'static str,
}

impl Pyro {
    /// The text of what changed since the seed, as `git diff` gives it.
    ///
    /// # Errors
    /// [`Error::Source`]: Git is missing or fails. Otherwise as [`Pyro::task_file`].
    pub async fn diff(&self, request: DiffRequest, io: &FileIo) -> Result<Vec<u8>, Error> {
        let DiffRequest { task_id, paths, options } = request;
        let told = self.told_changes(&task_id, &paths, io).await?;
        let mut set = self.change_set(&task_id, told, io).await?;
        let search_path = self.config().search_path.clone();
        off_thread(move || {
            let scratch = set.contents.scratch().to_owned();
            let git = Git { search_path: &search_path, scratch: &scratch };
            diff(&set.changes, &mut set.contents, &options, &git).map_err(|error| {
                let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                Error::Source { problem: format!("{}{hint}", crate::error::chain(&error)) }
            })
        })
        .await
    }

    /// The names of what changed since the seed. No content is fetched, and Git is not needed.
    ///
    /// # Errors
    /// As [`Pyro::task_file`].
    pub async fn changed_names(&self, task_id: &str, paths: &[String], io: &FileIo) -> Result<Vec<ChangedName>, Error> {
        let told = self.told_changes(task_id, paths, io).await?;
        let changes = told.into_iter().filter_map(super::changes::change);
        Ok(changes.map(|change| ChangedName { what: what(&change), path: change.path }).collect())
    }
}

fn what(change: &Change) -> &'static str {
    match (&change.before, &change.after) {
        (None, _) => "added",
        (_, None) => "deleted",
        (Some(before), Some(after)) if before.kind != after.kind => "type_changed",
        (Some(before), Some(after)) if before.digest != after.digest || before.kind == Kind::Symlink => "modified",
        (Some(_), Some(_)) => "mode_changed",
    }
}
