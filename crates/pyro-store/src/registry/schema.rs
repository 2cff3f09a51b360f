//! The registry's schema, its versions, and the ways in which a file is not a registry.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

/// The steps from nothing to the present schema. Step N leads from version N to N + 1; released
/// steps never change.
const STEPS: &[&str] = &["
    CREATE TABLE machines (
        id          TEXT PRIMARY KEY,
        kind        TEXT NOT NULL,
        created_at  REAL NOT NULL,
        attempt_id  TEXT UNIQUE,
        record      TEXT NOT NULL
    ) STRICT;
    CREATE TABLE gone (
        id          TEXT PRIMARY KEY,
        kind        TEXT NOT NULL,
        attempt_id  TEXT,
        reason      TEXT NOT NULL,
        at          REAL NOT NULL
    ) STRICT;
"];

/// The version of the present schema.
pub const VERSION: i64 = STEPS.len() as i64;

/// Why a registry cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// There is none, or it has no schema yet.
    Missing,
    /// The file is not a whole database.
    Damaged,
    /// A newer release made it: its version.
    Newer(i64),
    /// The host refused.
    Io(io::Error),
    /// SQLite refused.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged,
            _ => Self::Sql(error),
        }
    }
}

/// Opens a registry that is there, and brings an older one up to date.
pub fn open(path: &Path, busy: Duration) -> Result<Connection, OpenError> {
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    prepare(&connection, busy)?;
    match version(&connection)? {
        0 => Err(OpenError::Missing),
        VERSION => Ok(connection),
        newer if newer > VERSION => Err(OpenError::Newer(newer)),
        _ => {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            install(&transaction)?;
            transaction.commit()?;
            Ok(connection)
        }
    }
}

/// Opens a registry for reading. This writes nothing, so it also works on a full or read-only file system.
/// SQLite refuses a registry that a killed writer left half-written.
pub fn open_to_read(path: &Path, busy: Duration) -> Result<Connection, OpenError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(busy)?;
    match version(&connection)? {
        0 => Err(OpenError::Missing),
        newer if newer > VERSION => Err(OpenError::Newer(newer)),
        _ => Ok(connection),
    }
}

/// Only a file that is not there is missing; one that cannot be opened is not.
fn connect(path: &Path, access: OpenFlags) -> Result<Connection, OpenError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenError::Missing),
        Err(error) => return Err(OpenError::Io(error)),
        Ok(_) => {}
    }
    Ok(Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?)
}

/// Makes the file, for its owner only, without a schema.
pub fn create(path: &Path, busy: Duration) -> rusqlite::Result<Connection> {
    use std::os::unix::fs::OpenOptionsExt;
    // SQLite gives its other files the rights of this one. A failure shows below.
    let _ = fs::File::options().write(true).create(true).truncate(false).mode(0o600).open(path);
    let connection = Connection::open(path)?;
    prepare(&connection, busy)?;
    Ok(connection)
}

/// Applies the remaining migration steps.
pub fn install(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    for step in STEPS.iter().skip(usize::try_from(version(transaction)?).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)
}

/// Renames a damaged registry and its companion files. All damaged registries are kept, so that a person can
/// examine them.
pub fn put_aside(path: &Path) -> io::Result<()> {
    let aside = |suffix: &str, number: u32| {
        let number = if number == 0 { String::new() } else { format!("-{number}") };
        path.with_file_name(format!("registry.damaged{number}.sqlite{suffix}"))
    };
    let mut number = 0;
    while aside("", number).try_exists()? {
        number += 1;
    }
    for suffix in ["", "-journal"] {
        match fs::rename(path.with_file_name(format!("registry.sqlite{suffix}")), aside(suffix, number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn prepare(connection: &Connection, busy: Duration) -> rusqlite::Result<()> {
    connection.busy_timeout(busy)?;
    // A full disk must not keep anybody from reading, so nothing is made to read (a write-ahead log
    // needs a file of shared memory for that), and what was made to write once is kept.
    connection.pragma_update(None, "journal_mode", "persist")?;
    connection.pragma_update(None, "synchronous", "full")
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}
