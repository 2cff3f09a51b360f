//! What is kept on disk of one application: `UNDO/NUMBER/undo.json`, and the contents beside it.
//!
//! ```text
//! UNDO/7/lock        held by the process that applies or undoes
//! UNDO/7/undo.json   the record, with a checksum. Not there: nothing of the tree was changed yet
//! UNDO/7/old/3       what the third operation replaces or deletes
//! UNDO/7/new/3       what it writes; gone when the application is whole
//!
//! (no record) ─▶ applying ─▶ applied ─▶ undoing ─▶ undone
//!                    └─▶ rolled_back
//! ```
//!
//! The record is made durable before the first change. The types here are the disk's and go nowhere else.

use std::fs;
use std::io;
use std::path::Path;

use pyro_hostfs::seal::{self, Seal};
use serde::{Deserialize, Serialize};

use super::host::hexadecimal;
use super::state::{Operation, State};
use crate::entry::Kind;

/// The format that this release writes. A newer one is refused.
pub const FORMAT: u32 = 1;

/// How far an application is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It has begun; it was interrupted if nobody holds the lock.
    Applying,
    /// It is whole.
    Applied,
    /// It failed or was interrupted, and was taken back.
    RolledBack,
    /// Its reversal has begun.
    Undoing,
    /// It was taken back at the user's wish.
    Undone,
}

/// One application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// How far it is.
    pub stage: Stage,
    /// The root of the tree: absolute.
    pub root: Vec<u8>,
    /// When it began: milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
    /// Makes its temporary names its own.
    pub token: String,
    /// In the order in which they are carried out.
    pub operations: Vec<Operation>,
}

#[derive(Serialize, Deserialize)]
struct Disk {
    format: u32,
    stage: Stage,
    root: Name,
    time_ms: u64,
    token: String,
    operations: Vec<DiskOperation>,
}

#[derive(Serialize, Deserialize)]
struct DiskOperation {
    path: Name,
    before: Option<DiskState>,
    after: Option<DiskState>,
}

#[derive(Serialize, Deserialize)]
struct DiskState {
    kind: Kind,
    mode: u32,
    size: u64,
    digest: String,
}

/// A path: a text, or bytes where it is none.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Bytes { hexadecimal: String },
}

impl Name {
    fn from_bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes { hexadecimal: hexadecimal(bytes) },
        }
    }

    fn into_bytes(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Bytes { hexadecimal } => {
                let digit = |at: usize| hexadecimal.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
                let bytes: Option<Vec<u8>> = (0..hexadecimal.len()).step_by(2).map(digit).collect();
                bytes.ok_or_else(|| invalid("a path in it is not hexadecimal"))
            }
        }
    }
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn to_disk(state: &State) -> DiskState {
    DiskState { kind: state.kind, mode: state.mode, size: state.size, digest: state.digest.clone() }
}

fn from_disk(state: DiskState) -> State {
    State { kind: state.kind, mode: state.mode, size: state.size, digest: state.digest }
}

impl Record {
    /// Writes the record into its directory: whole or not at all, and durable.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let operations = self.operations.iter().map(|operation| DiskOperation {
            path: Name::from_bytes(&operation.path),
            before: operation.before.as_ref().map(to_disk),
            after: operation.after.as_ref().map(to_disk),
        });
        let disk = Disk {
            format: FORMAT,
            stage: self.stage,
            root: Name::from_bytes(&self.root),
            time_ms: self.time_ms,
            token: self.token.clone(),
            operations: operations.collect(),
        };
        let text = serde_json::to_string_pretty(&disk)?;
        pyro_hostfs::write::atomically(&directory.join("undo.json"), seal::seal(&text).as_bytes())
    }

    /// Reads the record of a directory; `None` where there is none yet.
    ///
    /// # Errors
    /// What the file system says, and where the record is damaged or of a newer release.
    pub fn read(directory: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read(directory.join("undo.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        if seal::check(&text) != Seal::Whole {
            return Err(invalid(format!("{}/undo.json is damaged", directory.display())));
        }
        let disk: Disk = serde_json::from_slice(&text)?;
        if disk.format > FORMAT {
            return Err(invalid(format!("{}/undo.json is of a newer release", directory.display())));
        }
        let operations = disk.operations.into_iter().map(|operation| {
            Ok(Operation {
                path: operation.path.into_bytes()?,
                before: operation.before.map(from_disk),
                after: operation.after.map(from_disk),
            })
        });
        Ok(Some(Self {
            stage: disk.stage,
            root: disk.root.into_bytes()?,
            time_ms: disk.time_ms,
            token: disk.token,
            operations: operations.collect::<io::Result<_>>()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let state = State { kind: Kind::File, mode: 0o644, size: 3, digest: "ab".into() };
        let operation = Operation { path: b"a\xff\n/b".to_vec(), before: None, after: Some(state) };
        let root = b"/tree".to_vec();
        Record { stage: Stage::Applying, root, time_ms: 7, token: "t".into(), operations: vec![operation] }
    }

    #[test]
    fn what_is_written_is_read_and_a_damaged_record_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(directory.path()).unwrap(), None);
        record().write(directory.path()).unwrap();
        assert_eq!(Record::read(directory.path()).unwrap(), Some(record()));
        let file = directory.path().join("undo.json");
        let newer = fs::read_to_string(&file).unwrap().replace("\"time_ms\": 7", "\"time_ms\": 8");
        fs::write(&file, newer).unwrap();
        assert!(Record::read(directory.path()).unwrap_err().to_string().contains("damaged"));
    }
}
