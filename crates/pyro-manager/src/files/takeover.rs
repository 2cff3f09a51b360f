//! Taking over what changed in a workspace into a tree of the host.
//!
//! ```text
//! changes (what the guest has now) + manifest (what was sent to it) ─▶ plan: a decision for each path
//!        ─▶ carried out: all of it or nothing, with a reversal in DATA/applied/ID/NUMBER
//! ```
//!
//! A file of the host that is not what was sent is a conflict. `pyro-tree` says what is refused from a guest.

use std::path::PathBuf;
use std::time::SystemTime;

use pyro_store::{Kind, Record};
use pyro_tree::apply::{Application, Decision, Merging, Plan, Policy, carry_out, plan, select};
use pyro_tree::undo::{self, NoSteps, Number};

use super::call::FileIo;
use super::changes::ChangeSet;
use crate::error::{Error, chain, host};
use crate::pyro::Pyro;
use crate::threads::off_thread;

/// What is taken over, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyRequest {
    /// The task.
    pub task_id: String,
    /// The directory of the host that is changed.
    pub to: PathBuf,
    /// Only paths that fit one of these patterns; none for all.
    pub only: Vec<String>,
    /// Paths that are taken although they would be refused, by their exact names.
    pub allow: Vec<String>,
    /// Merge texts that the host has changed as well.
    pub merge: bool,
    /// Leave out what is refused or in conflict. Otherwise nothing is taken over.
    pub skip_problems: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What is done with one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedStep {
    /// Below the directory.
    pub path: Vec<u8>,
    /// `write`, `merge`, `delete`, `make_directory`, `remove_directory`, `link`, `set_mode`, `same`, `conflict`, `refused`.
    pub action: &'static str,
    /// Why it is refused or in conflict, or what the user should know.
    pub note: Option<String>,
}

/// What was done, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedChanges {
    /// Each changed path.
    pub steps: Vec<AppliedStep>,
    /// The number of the reversal; none where nothing was changed.
    pub number: Option<u64>,
    /// Merged files with conflict markers, and how many places each has.
    pub marked: Vec<(Vec<u8>, usize)>,
}

/// What an undoing has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoneChanges {
    /// The number of the application.
    pub number: u64,
    /// Paths that are as they were.
    pub restored: Vec<Vec<u8>>,
    /// Paths that were changed since, and were left, with the reason.
    pub left: Vec<(Vec<u8>, String)>,
}

impl Pyro {
    /// Takes over what changed in a task's workspace since it was seeded.
    ///
    /// # Errors
    /// [`Error::Apply`]: something is refused or in conflict, or cannot be written; the tree is as it was. Otherwise as
    /// [`Pyro::task_file`].
    pub async fn apply(&self, request: ApplyRequest, io: &FileIo) -> Result<AppliedChanges, Error> {
        let record = self.record_of(Kind::Task, &request.task_id).await?;
        let manifest = self.manifest_of(&record).await?;
        let mut told = self.told_changes(&request.task_id, &[], io).await?;
        if !request.allow.is_empty() {
            // What is allowed by its name may be in a `.git` directory.
            told.extend(self.told_changes(&request.task_id, &request.allow, io).await?);
            told.sort_by(|one, other| one.path.cmp(&other.path));
            told.dedup_by(|one, other| one.path == other.path);
        }
        let ChangeSet { mut changes, contents } = self.change_set(&request.task_id, told, io).await?;
        for change in &mut changes {
            // What was sent is the host's own knowledge.
            change.before = manifest.as_ref().and_then(|manifest| manifest.get(&change.path).cloned());
        }
        changes.retain(|change| change.before.is_some() || change.after.is_some());
        let undo_directory = self.undo_directory(&record);
        off_thread(move || {
            let changes = select(changes, &request.only).map_err(|error| refuse(chain(&error)))?;
            let merging = if request.merge { Merging::Texts } else { Merging::Never };
            let allow = request.allow.iter().map(|path| path.clone().into_bytes()).collect();
            let planned = plan(&request.to, changes, &Policy { allow, merging });
            let planned = planned.map_err(host(format!("open {}", request.to.display())))?;
            let steps = steps(&planned);
            if request.dry_run {
                return Ok(AppliedChanges { steps, number: None, marked: Vec::new() });
            }
            let planned = if request.skip_problems { planned.without_problems() } else { planned };
            let application = Application { undo_directory: &undo_directory, now: SystemTime::now(), steps: &NoSteps };
            pyro_hostfs::directory::private(&undo_directory).map_err(host("make the directory of reversals"))?;
            let mut contents = contents;
            let applied = carry_out(&planned, &mut contents, &application)
                .map_err(|error| Error::Apply { problem: problem(&chain(&error), &steps) })?;
            let marked = applied.merged.into_iter().filter(|(_, places)| *places > 0).collect();
            Ok(AppliedChanges { steps, number: applied.number.map(|number| number.0), marked })
        })
        .await
    }

    /// Takes an application back: the last one, or that of a number. What was changed since is left as it is.
    ///
    /// # Errors
    /// [`Error::Apply`]: there is none, or its record cannot be read.
    pub async fn undo_apply(&self, task_id: &str, number: Option<u64>) -> Result<UndoneChanges, Error> {
        let id = crate::id::VmId::parse(task_id);
        let id = id.ok_or_else(|| refuse(format!("{task_id:?} is not a task's whole id")))?;
        let directory = self.config().data.join(APPLIED).join(id.as_str());
        off_thread(move || {
            let failed = |error: undo::UndoError| Error::Apply { problem: chain(&error) };
            let known = if directory.exists() { undo::list(&directory).map_err(failed)? } else { Vec::new() };
            let standing = known.iter().rev().find(|(_, record)| {
                record
                    .as_ref()
                    .is_some_and(|record| matches!(record.stage, undo::Stage::Applied | undo::Stage::Undoing))
            });
            let last = standing.map(|(number, _)| *number);
            let none = || Error::Apply { problem: "nothing was taken over that could be taken back".into() };
            let number = number.map(Number).or(last).ok_or_else(none)?;
            let reversal = undo::undo(&directory, number, &NoSteps).map_err(failed)?;
            let left = reversal.left.into_iter().map(|left| (left.path, left.why.to_string())).collect();
            Ok(UndoneChanges { number: number.0, restored: reversal.restored, left })
        })
        .await
    }

    fn undo_directory(&self, record: &Record) -> PathBuf {
        self.config().data.join(APPLIED).join(record.id.as_str())
    }
}

/// Where reversals are kept. They outlive their tasks.
const APPLIED: &str = "applied";

fn refuse(problem: String) -> Error {
    Error::InvalidArgument { problem }
}

/// The error, and the first paths that are the reason.
fn problem(error: &str, steps: &[AppliedStep]) -> String {
    let problems = steps.iter().filter(|step| matches!(step.action, "conflict" | "refused"));
    let lines = problems.take(20).map(|step| {
        let note = step.note.as_deref().unwrap_or_default();
        format!("\n  {}: {}: {note}", String::from_utf8_lossy(&step.path), step.action)
    });
    format!("{error}{}", lines.collect::<String>())
}

fn steps(plan: &Plan) -> Vec<AppliedStep> {
    let warning = |path: &[u8]| {
        let warning = plan.warnings.iter().find(|warning| warning.path == path);
        warning.map(|warning| format!("{} obeys it without being asked", warning.obeyed_by))
    };
    let step = |planned: &pyro_tree::apply::Planned| {
        let path = planned.change.path.clone();
        let (action, note) = match &planned.decision {
            Decision::Write { .. } => ("write", warning(&path)),
            Decision::Merge { .. } => ("merge", warning(&path)),
            Decision::Delete => ("delete", None),
            Decision::MakeDirectory { .. } => ("make_directory", None),
            Decision::RemoveDirectory => ("remove_directory", None),
            Decision::Link => ("link", warning(&path)),
            Decision::SetMode { .. } => ("set_mode", None),
            Decision::Same => ("same", None),
            Decision::Conflict { why } => ("conflict", Some(why.clone())),
            Decision::Refused { why, .. } => ("refused", Some(why.clone())),
        };
        AppliedStep { path, action, note }
    };
    plan.steps.iter().map(step).collect()
}
