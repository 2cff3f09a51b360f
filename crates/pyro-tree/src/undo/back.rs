//! Walks the operations of a record backward: what the host still has as it was written becomes what it was.
//!
//! It lives for one reversal. Nothing that somebody else changed meanwhile is overwritten: it is named.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::AtFlags;

use super::hook::Steps;
use super::host::{Found, Root, look_in};
use super::record::Record;
use super::state::{Operation, State};
use super::step::{Trouble, perform, temporary};
use crate::entry::Kind;

/// What became of a reversal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reversal {
    /// The paths that were put back, in order.
    pub restored: Vec<Vec<u8>>,
    /// The paths that were not, each with the reason. The host's files there are as they were found.
    pub left: Vec<Left>,
}

/// A path that was not put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The path below the root.
    pub path: Vec<u8>,
    /// Why.
    pub why: String,
}

/// Takes the operations back, the last one first. Done twice it does nothing the second time.
pub(crate) fn reverse(root: &Root, record: &Record, directory: &Path, steps: &dyn Steps) -> Reversal {
    let mut reversal = Reversal::default();
    for (index, operation) in record.operations.iter().enumerate().rev() {
        let (forward, back) = (temporary(&record.token, index), temporary_back(&record.token, index));
        let outcome = clean(root, operation, &forward)
            .and_then(|()| clean(root, &operation.reversed(), &back))
            .and_then(|()| reverse_one(root, record, index, directory, steps));
        match outcome {
            Ok(Outcome::Restored) => reversal.restored.push(operation.path.clone()),
            Ok(Outcome::Already) => {}
            Err(why) => reversal.left.push(Left { path: operation.path.clone(), why }),
        }
    }
    reversal
}

/// Another name than that of the step forward: it tells in which direction a killed one went.
fn temporary_back(token: &str, index: usize) -> String {
    format!("{}-back", temporary(token, index))
}

enum Outcome {
    Restored,
    Already,
}

fn reverse_one(
    root: &Root,
    record: &Record,
    index: usize,
    directory: &Path,
    steps: &dyn Steps,
) -> Result<Outcome, String> {
    let operation = &record.operations[index];
    let found = match root.look(&operation.path).map_err(|error| error.to_string())? {
        Found::Absent => None,
        Found::Is(seen) => Some(seen.state),
        Found::Special => return Err("a device, pipe or socket is there now".into()),
        Found::Blocked if is_below_an_earlier_state(root, record, &operation.path) => None,
        Found::Blocked => return Err("a directory of its path was replaced".into()),
    };
    if operation.meets(found.as_ref(), operation.after.as_ref()) {
        steps.reached("going back", &operation.path).map_err(|error| error.to_string())?;
        let content = directory.join("old").join(index.to_string());
        return perform(root, &operation.reversed(), &content, &temporary_back(&record.token, index), steps)
            .map(|()| Outcome::Restored)
            .map_err(|trouble| reason(&trouble));
    }
    // A path with two operations may still be before the first of them.
    let known = |other: &Operation| {
        other.path == operation.path
            && [&other.before, &other.after].iter().any(|end| other.meets(found.as_ref(), end.as_ref()))
    };
    if record.operations.iter().any(known) { Ok(Outcome::Already) } else { Err(changed(found.as_ref())) }
}

/// Whether a directory above is still, or again, what it was before it became one: then nothing is below it.
fn is_below_an_earlier_state(root: &Root, record: &Record, path: &[u8]) -> bool {
    let is_earlier = |operation: &Operation| match root.look(&operation.path) {
        Ok(Found::Is(seen)) => {
            seen.state.kind != Kind::Directory && operation.meets(Some(&seen.state), operation.before.as_ref())
        }
        _ => false,
    };
    let above = |other: &&Operation| path.strip_prefix(&other.path[..]).is_some_and(|rest| rest.starts_with(b"/"));
    record.operations.iter().filter(above).any(is_earlier)
}

fn reason(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Changed => changed(None),
        Trouble::File(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            "there are files in it that are not from here".into()
        }
        other => other.to_string(),
    }
}

fn changed(found: Option<&State>) -> String {
    if found.is_some() { "it was changed since".into() } else { "it was removed or changed since".into() }
}

/// Removes what a killed `operation` left under its temporary name. Somebody else's file, caught in the middle of an
/// exchange, stays there and is named.
fn clean(root: &Root, operation: &Operation, name: &str) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let Ok(parent) = root.parent_of(&operation.path) else { return Ok(()) };
    let Found::Is(aside) = look_in(parent.as_fd(), name.as_bytes()).map_err(text)? else { return Ok(()) };
    if aside.state.kind == Kind::Directory {
        return rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR).map_err(|error| text(error.into()));
    }
    let here = match root.look(&operation.path).map_err(text)? {
        Found::Is(seen) => Some(seen.state),
        _ => None,
    };
    let written = [&operation.before, &operation.after]
        .into_iter()
        .any(|end| end.as_ref().is_some_and(|state| state.same_content(&aside.state)));
    // Before the exchange the name holds an unfinished copy, and the host's file is in its place.
    let unfinished = operation.after.is_some() && !operation.meets(here.as_ref(), operation.after.as_ref());
    if !written && !unfinished {
        return Err(format!("a file of yours was caught in the middle, and is kept beside it as {name}"));
    }
    rustix::fs::unlinkat(&parent, name, AtFlags::empty()).map_err(|error| text(error.into()))
}
