//! What is to be done with each change: decided before anything is touched.
//!
//! A plan lives until it is carried out, and holds the host's state that its decisions rest on. Only [`plan`] looks at
//! the host, and only at the paths of the changes and the directories they are in; [`decide`] is pure.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::change::Change;
use super::names::{self, Reason};
use crate::entry::Kind;
use crate::undo::{Found, Root, State, parent};

/// What to do where the host and the guest both changed a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Merging {
    /// That is a conflict.
    #[default]
    Never,
    /// They are merged, with markers where they cannot be.
    Texts,
}

/// What the user wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Paths that are taken although they would be refused: exact, byte for byte.
    pub allow: Vec<Vec<u8>>,
    /// What to do where both changed a text.
    pub merging: Merging,
}

/// What is to be done with one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A file is written, with these permission bits.
    Write {
        /// Permission bits.
        mode: u32,
    },
    /// The host's and the guest's text are merged.
    Merge {
        /// Permission bits.
        mode: u32,
    },
    /// A file or link is deleted.
    Delete,
    /// A directory is made.
    MakeDirectory {
        /// Permission bits.
        mode: u32,
    },
    /// A directory is removed.
    RemoveDirectory,
    /// A symbolic link is made.
    Link,
    /// Only the permission bits change.
    SetMode {
        /// Permission bits.
        mode: u32,
    },
    /// The host has the new state already.
    Same,
    /// The host is not as it was seeded, or something stands in the way.
    Conflict {
        /// A sentence.
        why: String,
    },
    /// It is not taken from a guest unless the user asks for it by name.
    Refused {
        /// Its kind.
        reason: Reason,
        /// A sentence.
        why: String,
    },
}

/// A change and what is to be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The change.
    pub change: Change,
    /// What is to be done.
    pub decision: Decision,
    /// What the host had when that was decided.
    pub(crate) host: Option<State>,
}

/// Something that is taken, and that the user should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The path.
    pub path: Vec<u8>,
    /// The program that obeys the file without being asked.
    pub obeyed_by: &'static str,
}

/// What is to be done, in the order of the paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The tree's root: absolute.
    pub root: PathBuf,
    /// Each change with its decision.
    pub steps: Vec<Planned>,
    /// What is taken but starts programs.
    pub warnings: Vec<Warning>,
}

fn conflict(why: &str) -> Decision {
    Decision::Conflict { why: why.to_owned() }
}

/// Decides what is to be done. Changes nothing.
///
/// # Errors
/// Where the root cannot be opened. What stands in the way below it is a conflict.
pub fn plan(root: &Path, mut changes: Vec<Change>, policy: &Policy) -> io::Result<Plan> {
    let path = root.canonicalize()?;
    let root = Root::open(&path)?;
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    let mut planner = Planner { root: &root, policy, steps: Vec::new(), by_path: BTreeMap::new() };
    for change in changes {
        planner.add(change);
    }
    planner.check_removals();
    let taken =
        |step: &&Planned| matches!(step.decision, Decision::Write { .. } | Decision::Merge { .. } | Decision::Link);
    let warnings = planner.steps.iter().filter(taken).filter_map(|step| {
        names::obeyed_by(&step.change.path).map(|obeyed_by| Warning { path: step.change.path.clone(), obeyed_by })
    });
    Ok(Plan { root: path, warnings: warnings.collect(), steps: planner.steps })
}

struct Planner<'a> {
    root: &'a Root,
    policy: &'a Policy,
    steps: Vec<Planned>,
    by_path: BTreeMap<Vec<u8>, usize>,
}

impl Planner<'_> {
    fn add(&mut self, change: Change) {
        let (decision, host) = self.judge(&change);
        // Of two changes of one path neither is known to be right, and the second is refused.
        self.by_path.entry(change.path.clone()).or_insert(self.steps.len());
        self.steps.push(Planned { change, decision, host });
    }

    fn judge(&self, change: &Change) -> (Decision, Option<State>) {
        if self.by_path.contains_key(&change.path) {
            return (Decision::Refused { reason: Reason::Lie, why: "The path is there twice.".into() }, None);
        }
        if let Some(refused) = refuse(change, self.policy) {
            return (refused, None);
        }
        let host = match self.look(&change.path) {
            Ok(Found::Absent) => None,
            Ok(Found::Is(seen)) => Some(seen.state),
            Ok(Found::Special) => return (conflict("The host has a device, a pipe or a socket there."), None),
            Ok(Found::Blocked) => {
                return (conflict("On the host a directory of the path is a symbolic link or no directory."), None);
            }
            Err(error) => {
                return (Decision::Conflict { why: format!("The host's file cannot be read: {error}.") }, None);
            }
        };
        let decision = decide(change, host.as_ref(), self.policy.merging);
        let makes = matches!(decision, Decision::Write { .. } | Decision::Link | Decision::MakeDirectory { .. });
        if makes && !self.has_directory(parent(&change.path)) {
            return (conflict("The directory that it belongs to is not there."), host);
        }
        (decision, host)
    }

    fn planned(&self, path: &[u8]) -> Option<&Planned> {
        self.by_path.get(path).map(|index| &self.steps[*index])
    }

    fn look(&self, path: &[u8]) -> io::Result<Found> {
        // Below a directory that takes the place of a file there is nothing yet.
        let new = |step: &Planned| matches!(step.decision, Decision::MakeDirectory { .. });
        if self.planned(parent(path)).is_some_and(new) { Ok(Found::Absent) } else { self.root.look(path) }
    }

    fn has_directory(&self, path: &[u8]) -> bool {
        match self.planned(path).map(|step| (&step.decision, &step.host)) {
            Some((Decision::MakeDirectory { .. }, _)) => true,
            Some((Decision::Same | Decision::SetMode { .. }, Some(host))) => host.kind == Kind::Directory,
            Some(_) => false,
            None => self.root.directory(path).is_ok(),
        }
    }

    /// A directory is removed or replaced only with all that is in it, and all of that must be in the plan.
    fn check_removals(&mut self) {
        for index in (0..self.steps.len()).rev() {
            let step = &self.steps[index];
            let was_directory = step.host.as_ref().is_some_and(|host| host.kind == Kind::Directory);
            let goes = matches!(step.decision, Decision::RemoveDirectory | Decision::Write { .. } | Decision::Link);
            if !(was_directory && goes) {
                continue;
            }
            let why = match self.stays_in(&step.change.path) {
                Ok(None) => continue,
                Ok(Some(name)) => format!("The host has `{name}` in it, which stays."),
                Err(error) => format!("The host's directory cannot be read: {error}."),
            };
            self.steps[index].decision = Decision::Conflict { why };
        }
    }

    fn stays_in(&self, path: &[u8]) -> io::Result<Option<String>> {
        for entry in rustix::fs::Dir::new(self.root.directory(path)?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let below = [path, b"/", name].concat();
            let goes = |step: &Planned| matches!(step.decision, Decision::Delete | Decision::RemoveDirectory);
            if !self.planned(&below).is_some_and(goes) {
                return Ok(Some(name.escape_ascii().to_string()));
            }
        }
        Ok(None)
    }
}

fn refuse(change: &Change, policy: &Policy) -> Option<Decision> {
    let mut found = names::of_path(&change.path);
    if let Some(after) = &change.after {
        found.extend(names::of_entry(&change.path, after, change.target.as_deref()));
    }
    let allowed = policy.allow.contains(&change.path);
    let refusal = found.into_iter().find(|refusal| !(allowed && refusal.reason.can_be_allowed()))?;
    Some(Decision::Refused { reason: refusal.reason, why: refusal.why })
}

/// Decides about one change that is not refused.
pub(super) fn decide(change: &Change, host: Option<&State>, merging: Merging) -> Decision {
    let before = change.before.as_ref().map(State::from);
    let after = change.after.as_ref().map(State::from);
    let mode = after.as_ref().map_or(0, |after| mode_to_write(before.as_ref(), after, host));
    if is_there_already(before.as_ref(), after.as_ref(), host, mode) {
        return Decision::Same;
    }
    match (&before, host) {
        (None, None) => {}
        (None, Some(_)) => return conflict("The host has something there that the guest never saw."),
        (Some(_), None) => return conflict("It was removed on the host."),
        (Some(before), Some(host)) if as_seeded(before, host) => {}
        (Some(before), Some(host)) => {
            let files = [Some(before), Some(host), after.as_ref()];
            let texts = files.iter().all(|state| state.is_some_and(|state| state.kind == Kind::File));
            let content_only = texts && merging == Merging::Texts && !host.same_content(before);
            return if content_only { Decision::Merge { mode } } else { conflict("It was changed on the host.") };
        }
    }
    match (after, host) {
        (None, Some(host)) if host.kind == Kind::Directory => Decision::RemoveDirectory,
        (None, _) => Decision::Delete,
        (Some(after), Some(host)) if after.same_content(host) => Decision::SetMode { mode },
        (Some(after), _) => match after.kind {
            Kind::File => Decision::Write { mode },
            Kind::Directory => Decision::MakeDirectory { mode },
            Kind::Symlink => Decision::Link,
        },
    }
}

/// Modes are compared as Git compares them: seeding from a commit, or under another mask, is no change of the host.
fn same_executable(one: &State, other: &State) -> bool {
    one.mode & 0o100 == other.mode & 0o100
}

fn as_seeded(before: &State, host: &State) -> bool {
    before.same_content(host) && (before.kind == Kind::Directory || same_executable(before, host))
}

fn is_there_already(before: Option<&State>, after: Option<&State>, host: Option<&State>, mode: u32) -> bool {
    let (Some(after), Some(host)) = (after, host) else { return after.is_none() && host.is_none() };
    let new = before.is_none() && (after.kind == Kind::Directory || same_executable(after, host));
    after.same_content(host) && (host.mode == mode || new)
}

/// The permission bits of what is written. Where the guest did not change them the host's stay; and a guest gives
/// nobody else the right to write who did not have it.
fn mode_to_write(before: Option<&State>, after: &State, host: Option<&State>) -> u32 {
    let before = before.filter(|before| before.kind == after.kind);
    let kept = host.filter(|host| host.kind == after.kind && before.is_some_and(|before| before.mode == after.mode));
    let for_others = 0o022 & !before.map_or(0, |before| before.mode);
    kept.map_or(after.mode & 0o6777 & !for_others, |host| host.mode)
}
