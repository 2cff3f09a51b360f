//! Carries a plan out: all of it, or nothing.
//!
//! ```text
//! stage (old and new contents, verified) ─▶ record `applying`, durable ─▶ step by step ─▶ flush ─▶ record `applied`
//!      │ error: forgotten, nothing changed                                    │ error: taken back, `rolled_back`
//!      └ killed: a directory without record                                   └ killed: `applying` with a free lock
//! ```
//!
//! The lock of the application's directory is held from its beginning to its end.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use pyro_hostfs::lock::{self, Lock};

use super::change::Contents;
use super::error::ApplyError;
use super::order::{Ordered, operations};
use super::plan::{Decision, Plan};
use super::stage;
use crate::entry::Kind;
use crate::undo::{self, Number, Operation, Record, Root, Stage, Steps};

/// How a plan is carried out.
pub struct Application<'a> {
    /// Where reversals are kept. It is made if it is not there. It should not be in the tree.
    pub undo_directory: &'a Path,
    /// The time for the record.
    pub now: SystemTime,
    /// Hears of each step; [`undo::NoSteps`] outside of tests.
    pub steps: &'a dyn Steps,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The number of its reversal; `None` where nothing had to be changed.
    pub number: Option<Number>,
    /// The paths that were changed, in the order of the paths.
    pub changed: Vec<Vec<u8>>,
    /// The paths that were merged, and how many places in each have conflict markers.
    pub merged: Vec<(Vec<u8>, usize)>,
}

impl Plan {
    /// The plan without its conflicts and refusals, for a user who wants the rest.
    #[must_use]
    pub fn without_problems(mut self) -> Self {
        self.steps.retain(|step| !matches!(step.decision, Decision::Conflict { .. } | Decision::Refused { .. }));
        self
    }

    fn problems(&self) -> (usize, usize) {
        let count = |wanted: fn(&Decision) -> bool| self.steps.iter().filter(|step| wanted(&step.decision)).count();
        let conflicts = count(|decision| matches!(decision, Decision::Conflict { .. }));
        (conflicts, count(|decision| matches!(decision, Decision::Refused { .. })))
    }
}

/// Carries out a plan that has neither conflicts nor refusals.
///
/// # Errors
/// [`ApplyError`]. The tree is then as it was, but for the paths that [`ApplyError::Failed`] names.
pub fn carry_out(
    plan: &Plan,
    contents: &mut dyn Contents,
    application: &Application<'_>,
) -> Result<Applied, ApplyError> {
    let (conflicts, refused) = plan.problems();
    if conflicts + refused > 0 {
        return Err(ApplyError::NotClean { conflicts, refused });
    }
    if let Some(number) = undo::unfinished(application.undo_directory)?.first() {
        return Err(ApplyError::Unfinished(*number));
    }
    let ordered = operations(&plan.steps);
    if ordered.is_empty() {
        return Ok(Applied { number: None, changed: Vec::new(), merged: Vec::new() });
    }
    let root = Root::open(&plan.root).map_err(ApplyError::file(&plan.root))?;
    let home = Home::make(application.undo_directory).map_err(ApplyError::file(application.undo_directory))?;
    let staged = begin(plan, &root, &ordered, contents, &home, application);
    let (record, merged) = staged.inspect_err(|_| {
        // The first error is the one to tell; what cannot be removed is found as unfinished.
        let _ = pyro_hostfs::directory::remove(&home.directory);
    })?;
    go(&root, &record, &home, application)?;
    let mut changed: Vec<_> = ordered.iter().map(|one| one.operation.path.clone()).collect();
    changed.sort();
    changed.dedup();
    Ok(Applied { number: Some(home.number), changed, merged })
}

/// The directory of this application, and the lock that says that it is alive.
struct Home {
    number: Number,
    directory: PathBuf,
    token: String,
    _lock: Lock,
}

impl Home {
    fn make(undo_directory: &Path) -> io::Result<Self> {
        pyro_hostfs::directory::private(undo_directory)?;
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let token = undo::hexadecimal(&random);
        // It gets its number with its lock held: nobody takes it for one that was interrupted.
        let new = undo_directory.join(format!(".new-{token}"));
        for part in ["old", "new"] {
            pyro_hostfs::directory::private(&new.join(part))?;
        }
        let lock = lock::exclusive(&new.join("lock"))?;
        let names = fs::read_dir(undo_directory)?.map(|entry| entry.map(|entry| entry.file_name()));
        let mut number = 1;
        for name in names {
            let taken = name?.to_str().and_then(|name| name.parse::<u64>().ok());
            number = number.max(taken.unwrap_or(0) + 1);
        }
        loop {
            let directory = undo_directory.join(number.to_string());
            match fs::rename(&new, &directory) {
                Ok(()) => return Ok(Self { number: Number(number), directory, token, _lock: lock }),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) =>
                {
                    number += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn content(&self, part: &str, index: usize) -> PathBuf {
        self.directory.join(part).join(index.to_string())
    }
}

type Merges = Vec<(Vec<u8>, usize)>;

/// Stages everything and makes the record durable. Nothing of the tree is changed yet.
fn begin(
    plan: &Plan,
    root: &Root,
    ordered: &[Ordered<'_>],
    contents: &mut dyn Contents,
    home: &Home,
    application: &Application<'_>,
) -> Result<(Record, Merges), ApplyError> {
    let mut operations: Vec<Operation> = Vec::with_capacity(ordered.len());
    let mut merges = Merges::new();
    for (index, Ordered { operation, from }) in ordered.iter().enumerate() {
        let mut operation = operation.clone();
        let (old, new) = (home.content("old", index), home.content("new", index));
        step(application, "staging", &operation.path)?;
        let mode_only = matches!(from.decision, Decision::SetMode { .. });
        if let Some(before) = operation.before.as_ref().filter(|before| before.kind != Kind::Directory && !mode_only) {
            stage::keep_old(root, &operation.path, before, &old)?;
        }
        match (&from.decision, &operation.after) {
            (Decision::Merge { mode }, _) => {
                let (state, conflicts) = stage::lay_merged(contents, &from.change, *mode, &old, &new)?;
                operation.after = Some(state);
                merges.push((operation.path.clone(), conflicts));
            }
            (Decision::Write { .. } | Decision::Link, Some(_)) => stage::lay_new(contents, &from.change, &new)?,
            _ => {}
        }
        operations.push(operation);
    }
    let since = application.now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let record = Record {
        stage: Stage::Applying,
        root: plan.root.as_os_str().as_bytes().to_vec(),
        time_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        token: home.token.clone(),
        operations,
    };
    let durable = || {
        pyro_hostfs::write::flush_directory(&home.directory.join("old"))?;
        record.write(&home.directory)?;
        pyro_hostfs::write::flush_directory(application.undo_directory)
    };
    durable().map_err(ApplyError::file(&home.directory))?;
    Ok((record, merges))
}

fn step(application: &Application<'_>, name: &'static str, path: &[u8]) -> Result<(), ApplyError> {
    application.steps.reached(name, path).map_err(ApplyError::content(path))
}

/// Steps through the operations. Where one fails, takes back those before it.
fn go(root: &Root, record: &Record, home: &Home, application: &Application<'_>) -> Result<(), ApplyError> {
    let fail = |source, path: &[u8]| {
        let taken_back = undo::reverse(root, record, &home.directory, application.steps);
        let rolled_back = Record { stage: taken_back_stage(&taken_back), ..record.clone() };
        // Without it the record still says `applying`, and that is taken back again: to no effect.
        let _ = undo::flush(root, record).and_then(|()| rolled_back.write(&home.directory));
        let _ = undo::drop_new(&home.directory);
        ApplyError::Failed { number: home.number, path: path.to_owned(), source, taken_back }
    };
    for (index, operation) in record.operations.iter().enumerate() {
        let content = home.content("new", index);
        let done =
            application.steps.reached("before a step", &operation.path).map_err(undo::Trouble::from).and_then(|()| {
                let temporary = undo::temporary(&record.token, index);
                undo::perform(root, operation, &content, &temporary, application.steps)
            });
        done.map_err(|trouble| fail(trouble, &operation.path))?;
    }
    let finished = application.steps.reached("before the end", b"").and_then(|()| undo::flush(root, record));
    finished.map_err(|error| fail(error.into(), b""))?;
    let whole = Record { stage: Stage::Applied, ..record.clone() };
    whole.write(&home.directory).map_err(|error| fail(error.into(), b""))?;
    // The tree has what was staged. What cannot be removed of that now goes with the reversal.
    let _ = application.steps.reached("applied", b"").and_then(|()| undo::drop_new(&home.directory));
    Ok(())
}

fn taken_back_stage(reversal: &undo::Reversal) -> Stage {
    if reversal.left.is_empty() { Stage::RolledBack } else { Stage::Undoing }
}
