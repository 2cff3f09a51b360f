//! The registry: which VMs and tasks there are, across all processes.
//!
//! ```text
//! DATA/registry.sqlite        one row for each VM and task, one for each that is gone since a day
//! DATA/registry.lock          held for a moment while the schema is made or the index made anew
//! DATA/vms/ID/record.json     the same record; the registry can be made again from these
//! ```
//!
//! Every change is written to the record's own directory first and to the registry after that, by
//! whoever holds the directory's lock. Readers open the registry for a moment and keep nothing.
//! A registry that is missing or damaged is made anew from the directories; a newer one is refused.

pub mod record;
mod schema;
#[cfg(test)]
mod tests;

pub use record::{Ended, Kind, Record, State};

use std::path::{Path, PathBuf};
use std::time::Duration;

use pyro_hostfs::directory;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::Error;
use crate::error::{RegistryProblem, host};
use crate::vm::VmId;

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
    /// It is there.
    Here(Box<Record>),
    /// It was there.
    Gone {
        /// Its id.
        id: VmId,
        /// VM or task.
        kind: Kind,
        /// How it ended.
        reason: Ended,
    },
    /// It never was, or more than a day ago.
    Nothing,
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
            Err(schema::OpenError::Missing | schema::OpenError::Damaged) => Self::make(data),
            Err(schema::OpenError::Newer(found)) => {
                Err(RegistryProblem::Newer { path, found, ours: schema::VERSION }.into())
            }
            Err(schema::OpenError::Sql(source)) => Err(RegistryProblem::Sql { path, source }.into()),
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
        let sql = |source| Error::from(RegistryProblem::Sql { path: path.clone(), source });
        // Whoever held the lock before may have made it.
        let connection = match schema::open(&path, BUSY) {
            Ok(connection) => return Ok(Self { connection, path }),
            Err(schema::OpenError::Damaged) => {
                schema::put_aside(&path).map_err(host("put the damaged registry aside"))?;
                schema::create(&path, BUSY).map_err(sql)?
            }
            Err(_) => schema::create(&path, BUSY).map_err(sql)?,
        };
        let mut registry = Self { connection, path };
        let records = record::all(&data.join("vms"));
        registry.change(|transaction| {
            schema::install(transaction)?;
            records.iter().try_for_each(|record| upsert(transaction, record))
        })?;
        Ok(registry)
    }

    /// Writes a record; the caller holds the lock of its directory and has written it there.
    pub fn put(&mut self, record: &Record) -> Result<(), Error> {
        self.change(|transaction| upsert(transaction, record))
    }

    /// Replaces a record by the memory of it. Only its first reason counts.
    pub fn bury(&mut self, id: &VmId, reason: Ended, now: f64) -> Result<(), Error> {
        self.change(|transaction| {
            transaction.execute(
                "INSERT OR IGNORE INTO gone (id, kind, attempt_id, reason, at)
                 SELECT id, kind, attempt_id, ?2, ?3 FROM machines WHERE id = ?1",
                params![id.as_str(), reason.word(), now],
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

    /// What came of an attempt to create something.
    pub fn find_attempt(&self, attempt_id: &str) -> Result<Known, Error> {
        self.known("attempt_id", attempt_id)
    }

    /// Every record of a kind whose id begins so, oldest first.
    pub fn list(&self, kind: Kind, prefix: &str) -> Result<Vec<Record>, Error> {
        let list = || {
            let mut statement = self.connection.prepare(
                "SELECT record FROM machines WHERE kind = ?1 AND substr(id, 1, length(?2)) = ?2 ORDER BY created_at, id",
            )?;
            let rows = statement.query_map(params![kind.word(), prefix], |row| row.get::<_, String>(0))?;
            rows.collect::<Result<Vec<String>, _>>()
        };
        let texts = list().map_err(|source| self.problem(source))?;
        texts.iter().map(|text| self.parse(text)).collect()
    }

    fn known(&self, column: &str, value: &str) -> Result<Known, Error> {
        let here =
            self.connection.query_row(&format!("SELECT record FROM machines WHERE {column} = ?1"), [value], |row| {
                row.get::<_, String>(0)
            });
        if let Some(text) = here.optional().map_err(|source| self.problem(source))? {
            return Ok(Known::Here(Box::new(self.parse(&text)?)));
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

    fn parse(&self, text: &str) -> Result<Record, Error> {
        let unreadable = |source| RegistryProblem::Row { path: self.path.clone(), source };
        Ok(serde_json::from_str(text).map_err(unreadable)?)
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
    let text = serde_json::to_string(record).expect("a record has string keys only");
    transaction.execute(
        "INSERT INTO machines (id, kind, created_at, attempt_id, record) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET record = excluded.record",
        params![record.id.as_str(), record.kind.word(), record.created_at, record.attempt_id, text],
    )?;
    Ok(())
}

fn path(data: &Path) -> PathBuf {
    data.join("registry.sqlite")
}
