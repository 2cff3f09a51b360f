//! The registry: which VMs and tasks there are, across all processes.
//!
//! ```text
//! DATA/registry.sqlite        one row for each VM and task, one for each that is gone since a day
//! DATA/registry.lock          held for a moment while the schema is made or the index made anew
//! DATA/vms/ID/record.json     the same record; the registry can be made again from these
//! ```
//!
//! The holder of the directory's lock writes every change, first to the record in the directory and then
//! to the registry. Readers open the registry briefly and write nothing.
//! A missing or damaged registry is rebuilt from the directories, and the damaged file is kept
//! under another name. A newer registry is refused. An unreadable row is reported; the others are read.

mod schema;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pyro_hostfs::directory;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use schema::OpenError;

use crate::error::{Error, RecordProblem, RegistryProblem, host};
use crate::id::VmId;
use crate::lifecycle::{Ended, Kind};
use crate::record::Record;

/// How long a writer waits for another one. Transactions take milliseconds.
const BUSY: Duration = Duration::from_secs(15);
/// How long an id that is gone is remembered, in seconds.
const MEMORY_SECONDS: f64 = 86_400.0;

/// The registry, open.
pub struct Registry {
    connection: Connection,
    path: PathBuf,
}

/// What is known of an id or an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// It exists.
    Here(Box<Record>),
    /// It existed and was removed.
    Gone {
        /// Its id.
        id: VmId,
        /// VM or task.
        kind: Kind,
        /// How it ended.
        reason: Ended,
    },
    /// It never existed, or was removed more than a day ago.
    Nothing,
}

/// The rows of a registry.
#[derive(Debug, Default)]
pub struct Rows {
    /// Those that can be read.
    pub records: Vec<Record>,
    /// The unreadable rows, with their ids if readable.
    pub broken: Vec<(String, Error)>,
}

impl Registry {
    /// Opens the registry of a data directory; the first one makes it.
    ///
    /// # Errors
    /// When it is of a newer release, on a network file system, or cannot be written.
    pub fn open(data: &Path) -> Result<Self, Error> {
        directory::private(data).map_err(host(format!("make {}", data.display())))?;
        let path = path(data);
        match schema::open(&path, BUSY) {
            Ok(connection) => Ok(Self { connection, path }),
            Err(OpenError::Missing | OpenError::Damaged) => Self::make(data),
            Err(error) => Err(refusal(path, error)),
        }
    }

    /// Opens it to read it, which needs no right to write. Where there is none that can be read, it is made
    /// from the directories of the machines: on disk where that is possible, else in memory.
    ///
    /// # Errors
    /// When it is of a newer release, or the host refuses to read.
    pub fn read(data: &Path) -> Result<Self, Error> {
        let path = path(data);
        match schema::open_to_read(&path, BUSY) {
            Ok(connection) => Ok(Self { connection, path }),
            Err(error @ (OpenError::Newer(_) | OpenError::Io(_))) => Err(refusal(path, error)),
            Err(OpenError::Sql(error)) if error.sqlite_error_code() != Some(ErrorCode::ReadOnly) => {
                Err(refusal(path, OpenError::Sql(error)))
            }
            Err(OpenError::Missing | OpenError::Damaged | OpenError::Sql(_)) => match Self::open(data) {
                Err(_) => Self::in_memory(data),
                opened => opened,
            },
        }
    }

    /// Fails if a newer release made the registry, or if that cannot be determined. Needs no
    /// write permission.
    ///
    /// # Errors
    /// As said.
    pub fn refuse_newer(data: &Path) -> Result<(), Error> {
        let path = path(data);
        match schema::open_to_read(&path, BUSY) {
            Ok(_) | Err(OpenError::Missing) => Ok(()),
            Err(error) => Err(refusal(path, error)),
        }
    }

    /// Makes the registry, or makes it anew, from the directories of the machines.
    fn make(data: &Path) -> Result<Self, Error> {
        if let Some(kind) = directory::network_file_system(data).map_err(host("look at the data directory"))? {
            return Err(RegistryProblem::Network { path: data.to_owned(), kind }.into());
        }
        let path = path(data);
        let lock = pyro_hostfs::lock::exclusive(&data.join("registry.lock"));
        let _lock = lock.map_err(host("lock the registry"))?;
        // The previous holder of the lock may have made it.
        match schema::open(&path, BUSY) {
            Ok(connection) => return Ok(Self { connection, path }),
            Err(OpenError::Damaged) => schema::put_aside(&path).map_err(host("put the damaged registry aside"))?,
            Err(OpenError::Missing) => {}
            Err(error) => return Err(refusal(path, error)),
        }
        Self::fill(data)
    }

    /// Puts a damaged registry aside and makes another from the directories of the machines. What was
    /// remembered of those that are gone goes with it.
    ///
    /// # Errors
    /// The error of the host.
    pub fn make_anew(data: &Path) -> Result<Self, Error> {
        let lock = pyro_hostfs::lock::exclusive(&data.join("registry.lock"));
        let _lock = lock.map_err(host("lock the registry"))?;
        schema::put_aside(&path(data)).map_err(host("put the damaged registry aside"))?;
        Self::fill(data)
    }

    fn fill(data: &Path) -> Result<Self, Error> {
        let path = path(data);
        let sql = |source| Error::from(RegistryProblem::Sql { path: path.clone(), source });
        let connection = schema::create(&path, BUSY).map_err(sql)?;
        Self { connection, path }.with_records_of(data)
    }

    fn in_memory(data: &Path) -> Result<Self, Error> {
        let path = path(data);
        let connection = Connection::open_in_memory();
        let connection = connection.map_err(|source| RegistryProblem::Sql { path: path.clone(), source })?;
        Self { connection, path }.with_records_of(data)
    }

    fn with_records_of(mut self, data: &Path) -> Result<Self, Error> {
        let records = readable_records(&data.join("vms"))?;
        self.change(|transaction| {
            schema::install(transaction)?;
            records.iter().try_for_each(|record| upsert(transaction, record))
        })?;
        Ok(self)
    }

    /// The damage of the database file; `None` if it is whole.
    pub fn damage(&self) -> Result<Option<String>, Error> {
        let said = self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
        match said {
            Ok(said) if said == "ok" => Ok(None),
            Ok(said) => Ok(Some(said)),
            Err(error) if is_damage(&error) => Ok(Some(error.to_string())),
            Err(error) => Err(self.problem(error)),
        }
    }

    /// Writes a record; the caller holds the lock of its directory and has written it there.
    pub fn put(&mut self, record: &Record) -> Result<(), Error> {
        self.change(|transaction| upsert(transaction, record))
    }

    /// Replaces a record by the memory of it. Only its first reason counts.
    pub fn add_tombstone(&mut self, id: &VmId, reason: Ended, now: f64) -> Result<(), Error> {
        self.change(|transaction| {
            transaction.execute(
                "INSERT OR IGNORE INTO gone (id, kind, attempt_id, reason, at)
                 SELECT id, kind, attempt_id, ?2, ?3 FROM machines WHERE id = ?1",
                params![id.as_str(), reason.as_str(), now],
            )?;
            transaction.execute("DELETE FROM machines WHERE id = ?1", [id.as_str()])?;
            transaction.execute("DELETE FROM gone WHERE at < ?1", [now - MEMORY_SECONDS])?;
            Ok(())
        })
    }

    /// Removes a record as if it had never been.
    pub fn forget(&mut self, id: &VmId) -> Result<(), Error> {
        self.change(|transaction| {
            transaction.execute("DELETE FROM machines WHERE id = ?1", [id.as_str()])?;
            Ok(())
        })
    }

    /// What is known of an id.
    pub fn find(&self, id: &VmId) -> Result<Known, Error> {
        self.known("id", id.as_str())
    }

    /// The result of an earlier attempt to create a VM or task.
    pub fn find_attempt(&self, attempt_id: &str) -> Result<Known, Error> {
        self.known("attempt_id", attempt_id)
    }

    /// Every record, oldest first, and every unreadable row.
    pub fn rows(&self) -> Result<Rows, Error> {
        let all = || {
            let mut statement = self.connection.prepare("SELECT id, record FROM machines ORDER BY created_at, id")?;
            let rows = statement.query_map([], id_and_text)?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        let mut rows = Rows::default();
        for (id, text) in all().map_err(|source| self.problem(source))? {
            match self.parse(&id, &text) {
                Ok(record) => rows.records.push(record),
                Err(problem) => rows.broken.push((id, problem)),
            }
        }
        Ok(rows)
    }

    /// Every record of a kind whose id begins so, oldest first. Rows that cannot be read are left out.
    pub fn list(&self, kind: Kind, prefix: &str) -> Result<Vec<Record>, Error> {
        let is_wanted = |record: &Record| record.kind == kind && record.id.as_str().starts_with(prefix);
        Ok(self.rows()?.records.into_iter().filter(is_wanted).collect())
    }

    fn known(&self, column: &str, value: &str) -> Result<Known, Error> {
        let here = self.connection.query_row(
            &format!("SELECT id, record FROM machines WHERE {column} = ?1"),
            [value],
            id_and_text,
        );
        if let Some((id, text)) = here.optional().map_err(|source| self.problem(source))? {
            return Ok(Known::Here(Box::new(self.parse(&id, &text)?)));
        }
        let gone = self.connection.query_row(
            &format!("SELECT id, kind, reason FROM gone WHERE {column} = ?1 ORDER BY at DESC"),
            [value],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)),
        );
        let gone = gone.optional().map_err(|source| self.problem(source))?;
        Ok(gone
            .and_then(|(id, kind, reason)| {
                Some(Known::Gone { id: VmId::parse(&id)?, kind: Kind::parse(&kind)?, reason: Ended::parse(&reason)? })
            })
            .unwrap_or(Known::Nothing))
    }

    fn parse(&self, id: &str, text: &[u8]) -> Result<Record, Error> {
        let broken =
            |source| RegistryProblem::Row { path: self.path.clone(), id: id.to_owned(), source: Box::new(source) };
        let record = Record::parse(text, &self.path).map_err(broken)?;
        if record.id.as_str() != id {
            let why = format!("it holds the record of {}", record.id);
            return Err(broken(RecordProblem::Damaged { path: self.path.clone(), why }).into());
        }
        Ok(record)
    }

    fn problem(&self, source: rusqlite::Error) -> Error {
        RegistryProblem::Sql { path: self.path.clone(), source }.into()
    }

    fn change(&mut self, change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>) -> Result<(), Error> {
        let result =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
                change(&transaction)?;
                transaction.commit()
            });
        result.map_err(|source| self.problem(source))
    }
}

fn upsert(transaction: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
    let text = record.text();
    transaction.execute(
        "INSERT INTO machines (id, kind, created_at, attempt_id, record) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET record = excluded.record",
        params![record.id.as_str(), record.kind.as_str(), record.created_at, record.attempt_id, text],
    )?;
    Ok(())
}

/// The registry's file.
pub fn path(data: &Path) -> PathBuf {
    data.join("registry.sqlite")
}

/// The records of all machines whose record can be read. The others are kept, and reported by whoever asks.
fn readable_records(vms: &Path) -> Result<Vec<Record>, Error> {
    let names = match fs::read_dir(vms) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names.map_err(host("read the machines' directory"))?,
    };
    let mut records = Vec::new();
    for entry in names {
        let entry = entry.map_err(host("read the machines' directory"))?;
        if VmId::parse(&entry.file_name().to_string_lossy()).is_none() {
            continue;
        }
        match Record::read(&entry.path()) {
            Ok(record) => records.extend(record),
            Err(problem @ RecordProblem::Unread { .. }) => return Err(problem.into()),
            Err(_) => {}
        }
    }
    Ok(records)
}

/// A row's id and record, whatever bytes they are.
fn id_and_text(row: &Row<'_>) -> rusqlite::Result<(String, Vec<u8>)> {
    let bytes = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_bytes().unwrap_or_default().to_vec());
    Ok((String::from_utf8_lossy(&bytes(0)?).into_owned(), bytes(1)?))
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

fn refusal(path: PathBuf, error: OpenError) -> Error {
    let damaged = || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), None);
    match error {
        OpenError::Newer(found) => RegistryProblem::Newer { path, found, ours: schema::VERSION }.into(),
        OpenError::Io(source) => host(format!("open {}", path.display()))(source),
        OpenError::Sql(source) => RegistryProblem::Sql { path, source }.into(),
        OpenError::Missing | OpenError::Damaged => RegistryProblem::Sql { path, source: damaged() }.into(),
    }
}
