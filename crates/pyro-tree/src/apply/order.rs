//! The order in which decisions are carried out. Pure.
//!
//! ```text
//! clear the way ─▶ directories ─▶ files ─▶ links ─▶ modes ─▶ deletions ─▶ directory removals ─▶ directories' modes
//! ```
//!
//! Whatever takes the place of something of another kind is two operations: the way is cleared first. A directory that
//! nobody may write in gets its mode last.

use super::plan::{Decision, Planned};
use crate::entry::Kind;
use crate::undo::{Operation, State};

/// One operation, and the decision that it comes from.
#[derive(Debug)]
pub(super) struct Ordered<'a> {
    pub operation: Operation,
    pub from: &'a Planned,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Clear,
    Directories,
    Files,
    Links,
    Modes,
    Deletions,
    Removals,
    LastModes,
}

/// The owner may read, write and enter.
const USABLE: u32 = 0o700;

/// The operations of a plan, in order.
pub(super) fn operations(steps: &[Planned]) -> Vec<Ordered<'_>> {
    let mut all: Vec<(Phase, Ordered<'_>)> = steps.iter().flat_map(|step| of_one(step, steps)).collect();
    all.sort_by(|(one_phase, one), (other_phase, other)| {
        let paths = one.operation.path.cmp(&other.operation.path);
        // What is inside goes before the directory that it is in.
        let inside_first = matches!(one_phase, Phase::Clear | Phase::Deletions | Phase::Removals | Phase::LastModes);
        one_phase.cmp(other_phase).then(if inside_first { paths.reverse() } else { paths })
    });
    all.into_iter().map(|(_, ordered)| ordered).collect()
}

fn of_one<'a>(step: &'a Planned, steps: &[Planned]) -> Vec<(Phase, Ordered<'a>)> {
    let host = step.host.clone();
    let made = |kind, mode| {
        let (size, digest) = match &step.change.after {
            Some(after) if kind != Kind::Directory => (after.size, after.digest.clone()),
            _ => (0, String::new()),
        };
        Some(State { kind, mode, size, digest })
    };
    let operation = |phase, before, after| {
        (phase, Ordered { operation: Operation { path: step.change.path.clone(), before, after }, from: step })
    };
    let is_directory = host.as_ref().is_some_and(|host| host.kind == Kind::Directory);
    let cleared = || operation(Phase::Clear, host.clone(), None);
    match &step.decision {
        Decision::Write { mode } if is_directory => {
            vec![cleared(), operation(Phase::Files, None, made(Kind::File, *mode))]
        }
        Decision::Write { mode } | Decision::Merge { mode } => {
            vec![operation(Phase::Files, host, made(Kind::File, *mode))]
        }
        Decision::Link if is_directory => vec![cleared(), operation(Phase::Links, None, made(Kind::Symlink, 0))],
        Decision::Link => vec![operation(Phase::Links, host, made(Kind::Symlink, 0))],
        Decision::MakeDirectory { mode } => {
            let usable = made(Kind::Directory, *mode | USABLE);
            let mut all = vec![operation(Phase::Directories, None, usable.clone())];
            if host.is_some() {
                all.push(cleared());
            }
            if *mode & USABLE != USABLE {
                all.push(operation(Phase::LastModes, usable, made(Kind::Directory, *mode)));
            }
            all
        }
        Decision::SetMode { mode } => {
            let phase = match (is_directory, *mode & USABLE == USABLE) {
                (true, true) => Phase::Directories,
                (true, false) => Phase::LastModes,
                (false, _) => Phase::Modes,
            };
            let after = host.clone().map(|host| State { mode: *mode, ..host });
            vec![operation(phase, host, after)]
        }
        Decision::Delete if makes_way(step, steps) => vec![cleared()],
        Decision::RemoveDirectory if makes_way(step, steps) => vec![cleared()],
        Decision::Delete => vec![operation(Phase::Deletions, host, None)],
        Decision::RemoveDirectory => vec![operation(Phase::Removals, host, None)],
        Decision::Same | Decision::Conflict { .. } | Decision::Refused { .. } => Vec::new(),
    }
}

/// Whether a directory above it becomes a file or a link.
fn makes_way(step: &Planned, steps: &[Planned]) -> bool {
    let path = &step.change.path;
    let above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
    above.into_iter().any(|above| {
        let found = steps.binary_search_by(|other| other.change.path.as_slice().cmp(above));
        found.is_ok_and(|at| matches!(steps[at].decision, Decision::Write { .. } | Decision::Link))
    })
}
