//! What is known of machines, for those who only look: nothing here needs a right to write.
//!
//! The dead are settled on the way where that is possible. Where it is not (a full disk, a file system that is
//! read-only), the answer is what settling would have written down.

use std::collections::HashMap;

use pyro_store::Error as StoreError;
use pyro_store::machines::{Decision, Machines, Mark, decide, exists, stopped};
use pyro_store::{Ended, Kind, Known, Record, Rows};

use crate::clock::now;
use crate::error::{Error, RecordProblem, RegistryProblem};
use crate::id::VmId;
use crate::payload::Problem;

/// A VM or task, and what is wrong with its files.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub record: Record,
    pub problems: Vec<Problem>,
}

/// What is known of an id.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It is there.
    Here(Box<Seen>),
    /// It was there.
    Gone { kind: Kind, reason: Ended },
    /// It never was, or was of one run.
    Nothing,
}

impl From<Record> for Seen {
    fn from(record: Record) -> Self {
        Self { record, problems: Vec::new() }
    }
}

/// What is known of an id.
///
/// # Errors
/// When there is something that cannot be read, and nothing else says what it is.
pub fn look(machines: &Machines, id: &VmId) -> Result<Found, Error> {
    let unsettled = if machines.is_alive(id)? { None } else { unless_newer(machines.look_after(id).map(drop))?.err() };
    if !exists(&machines.directory(id))? {
        return Ok(match machines.registry_to_read()?.find(id)? {
            Known::Here(record) => Found::gone(&record, now()),
            Known::Gone { kind, reason, .. } => Found::Gone { kind, reason },
            Known::Nothing => Found::Nothing,
        });
    }
    view(machines, id, unsettled.as_ref(), || match machines.registry_to_read()?.find(id)? {
        Known::Here(record) => Ok(Some(*record)),
        _ => Ok(None),
    })
}

/// Everything of a kind whose id begins so, oldest first; and what could not be read, whatever it is of.
///
/// # Errors
/// When the machines' directory cannot be read, or a newer release has made the registry.
pub fn look_at_all(machines: &Machines, kind: Kind, prefix: &str) -> Result<(Vec<Seen>, Vec<Problem>), Error> {
    let mut problems = Vec::new();
    let unsettled = unless_newer(machines.recover())?.err();
    let rows = unless_newer(machines.registry_to_read().and_then(|registry| registry.rows()))?;
    let Rows { records, broken } = rows.unwrap_or_else(|error| {
        problems.push(Problem::of(None, &error));
        Rows::default()
    });
    let ids = machines.ids()?;
    problems.extend(broken.into_iter().map(|(id, error)| Problem::of(Some(id), &error.into())));
    let rows: HashMap<VmId, Record> = records.into_iter().map(|record| (record.id.clone(), record)).collect();
    let mut seen = Vec::new();
    for id in ids.iter().filter(|id| id.as_str().starts_with(prefix)) {
        match view(machines, id, unsettled.as_ref(), || Ok(rows.get(id).cloned())) {
            Ok(Found::Here(one)) if one.record.kind == kind => {
                problems.extend(one.problems.iter().cloned());
                seen.push(*one);
            }
            Ok(_) => {}
            // It may have gone at this moment.
            Err(_) if !exists(&machines.directory(id))? => {}
            Err(error) => problems.push(Problem::of(Some(id.to_string()), &error)),
        }
    }
    // Somebody removed these by hand. What cannot be written down now will be later.
    for id in rows.keys().filter(|id| !ids.contains(id)) {
        let _ = machines.look_after(id);
    }
    seen.sort_by(|one, other| {
        let key = |seen: &Seen| (seen.record.created_at, seen.record.id.to_string());
        key(one).partial_cmp(&key(other)).unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok((seen, problems))
}

/// A directory that is there: its record, or the registry's row where that cannot be read. `unsettled` is
/// what kept it from being settled just now.
fn view(
    machines: &Machines,
    id: &VmId,
    unsettled: Option<&Error>,
    row: impl FnOnce() -> Result<Option<Record>, Error>,
) -> Result<Found, Error> {
    let directory = machines.directory(id);
    let (mut seen, mark) = match (Record::read(&directory), machines.mark(id)?) {
        (Ok(Some(record)), mark) => (Seen::from(record), mark),
        (Ok(None), Mark::OneShot) => return Ok(Found::Nothing),
        (Ok(None), mark) => (from_row(id, RecordProblem::Missing { directory }, row)?, mark),
        (Err(problem @ RecordProblem::Damaged { .. }), mark) => (from_row(id, problem, row)?, mark),
        (Err(problem), _) => return Err(problem.into()),
    };
    if machines.is_alive(id)? {
        return Ok(Found::Here(Box::new(seen)));
    }
    match decide(Some(&seen.record), mark, now()) {
        Decision::Keep => return Ok(Found::Here(Box::new(seen))),
        Decision::Remove if seen.problems.is_empty() => return Ok(Found::Nothing),
        Decision::Tombstone(reason) if seen.problems.is_empty() => {
            return Ok(Found::Gone { kind: seen.record.kind, reason });
        }
        Decision::Stop | Decision::Remove | Decision::Tombstone(_) => seen.record = stopped(seen.record),
    }
    if let Some(error) = unsettled {
        let mut problem = Problem::of(Some(id.to_string()), error);
        problem.error = format!("the end of its supervisor could not be recorded: {}", problem.error);
        seen.problems.push(problem);
    }
    Ok(Found::Here(Box::new(seen)))
}

impl Found {
    /// One whose directory is not there any more.
    fn gone(record: &Record, now: f64) -> Self {
        let reason = if record.is_expired(now) { Ended::Expired } else { Ended::Deleted };
        Self::Gone { kind: record.kind, reason }
    }
}

/// The registry's row stands in for a record that is damaged or missing.
fn from_row(
    id: &VmId,
    problem: RecordProblem,
    row: impl FnOnce() -> Result<Option<Record>, Error>,
) -> Result<Seen, Error> {
    // That the row cannot be read either makes the first reason no other.
    let Ok(Some(record)) = row() else { return Err(problem.into()) };
    let mut problem = Problem::of(Some(id.to_string()), &problem.into());
    problem.error.push_str("; the data shown is from the registry");
    Ok(Seen { record, problems: vec![problem] })
}

/// A registry of a newer release ends everything; other errors leave something to be told.
fn unless_newer<T>(result: Result<T, StoreError>) -> Result<Result<T, Error>, Error> {
    match result.map_err(Error::from) {
        Err(error @ Error::Registry(RegistryProblem::Newer { .. })) => Err(error),
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use pyro_store::{Admission, Outside, State, journal};

    use super::*;
    use crate::limits::VmOptions;

    #[test]
    fn a_dead_task_that_cannot_be_settled_is_shown_stopped_with_the_reason() {
        let base = tempfile::tempdir().unwrap();
        let machines = Machines::new(base.path().join("data"), Outside { end_processes: |_| {}, remove: |_| {} });
        let id = VmId::random().unwrap();
        let new = Record::new(id.clone(), Kind::Task, "debian:12", "1", VmOptions::default().into(), now());
        let record = Record { state: State::Started, ..new };
        let publish = || machines.registry()?.put(&record);
        machines.admit(&id, Admission::Limit(1), |path| record.write(path), publish).unwrap();
        std::fs::write(machines.directory(&id).join(journal::LOG), b"pyrolog2 of a later release").unwrap();
        let Found::Here(seen) = look(&machines, &id).unwrap() else { panic!("it is there") };
        assert_eq!((seen.record.state, seen.problems[0].code.as_str()), (State::Stopped, "newer_journal"));
    }
}
