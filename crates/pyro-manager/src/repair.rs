//! `pyro repair`: what is damaged in the data directory, what can be restored from what, and doing so.
//!
//! ```text
//! record damaged or missing ◀── the registry's row        row damaged, missing or old ◀── the record
//! registry damaged          ◀── all records               journal damaged: read around, and kept aside
//! ```
//!
//! It looks and changes nothing, unless it is told to. What it replaces is kept under another name. It removes
//! nothing but what the caller names, and leaves what lives to its owner, who also deletes it where nobody else can
//! read what it is. What a newer release wrote it names, and leaves alone.

use pyro_store::journal;
use pyro_store::machines::Machines;
use pyro_store::record;
use pyro_store::{Ended, Kind, Record, Rows};
use schemars::JsonSchema;
use serde::Serialize;

use crate::client::connect;
use crate::conversation::put_to;
use crate::error::{RecordProblem, RegistryProblem, Unavailable, host};
use crate::id::VmId;
use crate::look::look;
use crate::payload::Problem;
use crate::supervisor::rpc::{Reply, Request};
use crate::threads::off_thread;
use crate::{Error, Pyro};

/// What is said of a machine whose record nobody but its owner knows.
const UNREAD: &[&str] = &["newer_record", "record_damaged", "record_missing"];

/// What a repair may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairRequest {
    /// Whether anything is changed.
    pub mode: RepairMode,
    /// VMs, tasks and left-over directories to remove for good, by their whole ids.
    pub delete: Vec<String>,
}

/// Whether a repair changes anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RepairMode {
    /// It only says what it would do.
    #[default]
    Look,
    /// It does so.
    Apply,
}

/// What a repair found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RepairReport {
    /// Whether it was to change anything.
    pub applied: bool,
    /// How many things it found.
    pub count: usize,
    /// Each of them.
    pub findings: Vec<Finding>,
}

/// Something that is damaged, and what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// What is wrong.
    #[serde(flatten)]
    pub problem: Problem,
    /// `restore_record`, `write_row`, `make_registry`, `keep_journal_aside`, `delete`, or `keep`: nothing
    /// can be done, and nothing is removed.
    pub action: &'static str,
    /// Whether it was done.
    pub done: bool,
    /// Why it was not, although it was to be.
    pub failed: Option<String>,
}

/// What can be done about a finding.
enum Cure {
    Nothing,
    RestoreRecord(Box<Record>),
    WriteRow(Box<Record>),
    MakeRegistry,
    KeepJournalAside,
}

impl Cure {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Nothing => "keep",
            Self::RestoreRecord(_) => "restore_record",
            Self::WriteRow(_) => "write_row",
            Self::MakeRegistry => "make_registry",
            Self::KeepJournalAside => "keep_journal_aside",
        }
    }
}

impl Pyro {
    /// Looks for damage in the data directory, and repairs it where it is told to. Removes nothing but what
    /// the request names.
    ///
    /// # Errors
    /// When a newer release has made the registry, the directory cannot be read, or an id to be removed is of
    /// something that is not there, or that lives and can be read.
    pub async fn repair(&self, request: RepairRequest) -> Result<RepairReport, Error> {
        let (machines, named) = (self.machines(), request.delete);
        let (living, deletions) = off_thread(move || {
            let (mut living, mut dead) = (Vec::new(), Vec::new());
            for id in deletions(&machines, &named)? {
                if machines.is_alive(&id)? { living.push(id) } else { dead.push(id) }
            }
            Ok((living, dead))
        })
        .await?;
        let mut findings = Vec::new();
        for id in &living {
            let result = match request.mode {
                RepairMode::Look => None,
                RepairMode::Apply => Some(self.end_unread(id).await),
            };
            findings.push(Finding::of_deletion(id, result));
        }
        let machines = self.machines();
        off_thread(move || {
            let named = [deletions.clone(), living].concat();
            for (id, problem, cure) in diagnose(&machines, &named)? {
                let result = match request.mode {
                    RepairMode::Look => None,
                    RepairMode::Apply => apply(&machines, id.as_ref(), &cure).transpose(),
                };
                findings.push(Finding::new(problem, cure.as_str(), result));
            }
            for id in deletions {
                let result = (request.mode == RepairMode::Apply).then(|| delete(&machines, &id));
                findings.push(Finding::of_deletion(&id, result));
            }
            Ok(RepairReport { applied: request.mode == RepairMode::Apply, count: findings.len(), findings })
        })
        .await
    }

    /// Has its supervisor delete what lives, where nobody else can read what it is.
    async fn end_unread(&self, id: &VmId) -> Result<(), Error> {
        let directory = &self.machines().directory(id);
        let connect = || async move { connect(directory).await.map(Some).map_err(host("connect to the supervisor")) };
        let Some(mut connection) = put_to(&*self.failpoints, connect, &Request::Delete).await? else { return Ok(()) };
        match connection.reply().await? {
            Some(Reply::Deleted) => Ok(()),
            Some(Reply::Failed { failure }) => Err(failure.into()),
            _ => Err(Error::InvalidArgument { problem: format!("{id} ended before it was deleted; try again") }),
        }
    }
}

impl Finding {
    fn of_deletion(id: &VmId, result: Option<Result<(), Error>>) -> Self {
        let (error, code) = ("it was named for deletion".into(), "delete".into());
        Self::new(Problem { id: Some(id.to_string()), error, code, hint: None }, "delete", result)
    }

    fn new(problem: Problem, action: &'static str, result: Option<Result<(), Error>>) -> Self {
        let failed = result.as_ref().and_then(|result| result.as_ref().err()).map(|error| error.failure().error);
        Self { problem, action, done: matches!(result, Some(Ok(()))), failed }
    }
}

/// The ids that are to be removed; all of them are there, and their owners are dead, or alone know what they are:
/// what lives and can be read is deleted by its own command.
fn deletions(machines: &Machines, ids: &[String]) -> Result<Vec<VmId>, Error> {
    ids.iter()
        .map(|text| {
            let unknown = || Unavailable::Unknown { kind: Kind::Task, id: text.clone() };
            let id = VmId::parse(text).ok_or_else(unknown)?;
            if !machines.ids()?.contains(&id) && !has_broken_row(machines, &id)? {
                return Err(unknown().into());
            }
            let looked = look(machines, &id);
            let is_unread = looked.is_err_and(|error| UNREAD.contains(&error.code()));
            if machines.is_alive(&id)? && !is_unread {
                let problem = format!("{id} is running; delete it with `pyro task delete {id}`");
                return Err(Error::InvalidArgument { problem });
            }
            Ok(id)
        })
        .collect()
}

fn has_broken_row(machines: &Machines, id: &VmId) -> Result<bool, Error> {
    Ok(machines.registry_to_read()?.rows()?.broken.iter().any(|(broken, _)| broken == id.as_str()))
}

/// What the registry has.
struct Index {
    records: Vec<Record>,
    /// Rows that cannot be read, and why.
    broken: Vec<(String, Error)>,
    /// A record that it does not have is missing in it.
    is_whole: bool,
}

type Diagnosis = (Option<VmId>, Problem, Cure);

fn diagnose(machines: &Machines, but: &[VmId]) -> Result<Vec<Diagnosis>, Error> {
    let mut found = Vec::new();
    let read = machines.registry_to_read().and_then(|registry| Ok((registry.damage()?, registry.rows()?)));
    let rows = match read.map_err(Error::from) {
        Err(error @ Error::Registry(RegistryProblem::Newer { .. })) => return Err(error),
        Ok((None, rows)) => Some(rows),
        Ok((Some(why), rows)) => {
            let error = format!("the registry is damaged: {why}");
            let problem = Problem { id: None, error, code: "registry_unusable".into(), hint: None };
            found.push((None, problem, Cure::MakeRegistry));
            Some(rows)
        }
        Err(error) if error.code() == "registry_unusable" => {
            found.push((None, Problem::of(None, &error), Cure::MakeRegistry));
            None
        }
        Err(error) => return Err(error),
    };
    let is_whole = rows.is_some() && found.is_empty();
    let Rows { records, broken } = rows.unwrap_or_default();
    let broken = broken.into_iter().map(|(id, error)| (id, error.into())).collect();
    let index = Index { records, broken, is_whole };
    let ids = machines.ids()?;
    for id in ids.iter().filter(|id| !but.contains(id)) {
        diagnose_one(machines, id, &index, &mut found)?;
    }
    let is_named = |id: &str| ids.iter().chain(but).any(|named| named.as_str() == id);
    for (id, error) in index.broken.iter().filter(|(id, _)| !is_named(id)) {
        found.push((None, Problem::of(Some(id.clone()), error), Cure::Nothing));
    }
    // Records first: the registry is made of them.
    found.sort_by_key(|(_, _, cure)| !matches!(cure, Cure::RestoreRecord(_)));
    Ok(found)
}

fn diagnose_one(machines: &Machines, id: &VmId, index: &Index, found: &mut Vec<Diagnosis>) -> Result<(), Error> {
    let directory = machines.directory(id);
    if machines.is_one_shot(id)? {
        return Ok(());
    }
    let lives = machines.is_alive(id)?;
    let row = index.records.iter().find(|row| row.id == *id);
    let tell = |error: &Error| Problem::of(Some(id.to_string()), error);
    match (Record::read(&directory), row) {
        (Ok(Some(record)), row) if row != Some(&record) && index.is_whole && !lives => {
            let path = machines.registry_path();
            let stale = || Error::from(RegistryProblem::Stale { path, id: id.to_string() });
            let broken = index.broken.iter().find(|(broken, _)| broken == id.as_str());
            let problem = broken.map_or_else(|| tell(&stale()), |(_, error)| tell(error));
            found.push((Some(id.clone()), problem, Cure::WriteRow(Box::new(record))));
        }
        (Ok(Some(_)), _) => {}
        (Ok(None), row) => {
            let error = Error::from(RecordProblem::Missing { directory: directory.clone() });
            found.push((Some(id.clone()), tell(&error), from_row(row, lives)));
        }
        (Err(problem @ RecordProblem::Damaged { .. }), row) => {
            found.push((Some(id.clone()), tell(&problem.into()), from_row(row, lives)));
        }
        (Err(problem), _) => found.push((Some(id.clone()), tell(&problem.into()), Cure::Nothing)),
    }
    match journal::read(&directory) {
        Ok(contents) => {
            if let Some(error) = contents.problem() {
                let is_kept = journal::is_kept_aside(&directory, &contents.gaps)?;
                let cure = if lives || is_kept { Cure::Nothing } else { Cure::KeepJournalAside };
                found.push((Some(id.clone()), Problem::journal(id.to_string(), error), cure));
            }
        }
        Err(error) => found.push((Some(id.clone()), tell(&error.into()), Cure::Nothing)),
    }
    Ok(())
}

fn from_row(row: Option<&Record>, lives: bool) -> Cure {
    match row {
        Some(row) if !lives => Cure::RestoreRecord(Box::new(row.clone())),
        // One that lives has its record in memory, and writes it with its next change.
        _ => Cure::Nothing,
    }
}

/// Does what is to be done; `None` where nothing is.
fn apply(machines: &Machines, id: Option<&VmId>, cure: &Cure) -> Result<Option<()>, Error> {
    let done = match (cure, id) {
        (Cure::Nothing, _) | (_, None) if !matches!(cure, Cure::MakeRegistry) => return Ok(None),
        (Cure::MakeRegistry, _) => machines.make_registry_anew(),
        (Cure::RestoreRecord(record), Some(id)) => machines.while_dead(id, |directory| {
            record::set_aside(directory)?;
            record.write(directory)
        }),
        (Cure::WriteRow(record), Some(id)) => machines.while_dead(id, |_| {
            let mut registry = machines.registry()?;
            registry.forget(id)?;
            registry.put(record)
        }),
        (Cure::KeepJournalAside, Some(id)) => machines.while_dead(id, journal::recover),
        _ => return Ok(None),
    };
    done.map(Some).map_err(Error::from)
}

fn delete(machines: &Machines, id: &VmId) -> Result<(), Error> {
    if !machines.ids()?.contains(id) {
        return Ok(machines.registry()?.forget(id)?); // a row is all that is left of it
    }
    Ok(machines.while_dead(id, |_| machines.remove_with_tombstone(id, Ended::Deleted))?)
}
