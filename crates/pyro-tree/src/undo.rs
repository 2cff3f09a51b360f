//! The reversal of applications: everything that [`crate::apply`] changes can be put back.
//!
//! An undo directory belongs to one tree's owner and lives until he removes it; each application has a numbered
//! directory in it (`undo/record.rs`). Operations are symmetric: applying and undoing carry out the same steps
//! (`undo/step.rs`), one forward from `before` to `after`, the other backward.
//!
//! A killed application leaves a record that says `applying` and a free lock. [`unfinished`] finds it, [`roll_back`]
//! takes it back. A killed [`undo`] is simply called again.
//!
//! What is not kept: owners, times, extended attributes and hard links of files that were replaced.

mod back;
mod hook;
mod host;
mod record;
mod state;
mod step;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use pyro_hostfs::lock::{self, Lock, TryError};
use rustix::io::Errno;

pub(crate) use back::reverse;
pub use back::{Left, Reversal};
pub use hook::{NoSteps, Steps};
pub use host::{Found, Root, Seen};
pub(crate) use host::{hexadecimal, leaf, parent};
pub use record::{FORMAT, Record, Stage};
pub use state::{Operation, State};
pub use step::Trouble;
pub(crate) use step::{perform, temporary};

/// The number of an application in its undo directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub u64);

/// Why an application could not be taken back.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// There is no application of this number.
    #[error("there is no application {}", .0.0)]
    Unknown(Number),
    /// It is being applied or undone by a living process.
    #[error("application {} is being worked on by another process", .0.0)]
    Busy(Number),
    /// It is in a state in which this cannot be done.
    #[error("application {} cannot be taken back: it is {stage:?}", .number.0)]
    WrongStage {
        /// The application.
        number: Number,
        /// Its state.
        stage: Stage,
    },
    /// What the file system says.
    #[error("{path}")]
    File {
        /// Where.
        path: PathBuf,
        /// What.
        source: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> UndoError + '_ {
    |source| UndoError::File { path: path.to_owned(), source }
}

/// The directory of an application.
pub(crate) fn directory_of(undo_directory: &Path, number: Number) -> PathBuf {
    undo_directory.join(number.0.to_string())
}

/// The applications that are kept, oldest first. `None` for one that died before it changed anything.
///
/// # Errors
/// What the file system says, and where a record is damaged.
pub fn list(undo_directory: &Path) -> Result<Vec<(Number, Option<Record>)>, UndoError> {
    let entries = match fs::read_dir(undo_directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(at(undo_directory))?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(at(undo_directory))?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse().ok()).map(Number));
    }
    numbers.sort_unstable();
    let read = |number: Number| {
        let directory = directory_of(undo_directory, number);
        Record::read(&directory).map(|record| (number, record)).map_err(at(&directory))
    };
    numbers.into_iter().map(read).collect()
}

/// The applications that were interrupted and wait for [`roll_back`].
///
/// # Errors
/// As [`list`].
pub fn unfinished(undo_directory: &Path) -> Result<Vec<Number>, UndoError> {
    let mut found = Vec::new();
    for (number, record) in list(undo_directory)? {
        let lock = directory_of(undo_directory, number).join("lock");
        let open = record.is_none_or(|record| record.stage == Stage::Applying);
        if open && !lock::is_held(&lock).map_err(at(&lock))? {
            found.push(number);
        }
    }
    Ok(found)
}

/// Takes back an application that is whole. The host's files that are no longer what it wrote are left and named.
///
/// # Errors
/// [`UndoError`]; nothing was changed then.
pub fn undo(undo_directory: &Path, number: Number, steps: &dyn Steps) -> Result<Reversal, UndoError> {
    let directory = directory_of(undo_directory, number);
    let (_lock, record) = claim(&directory, number)?;
    match record {
        Some(record) if matches!(record.stage, Stage::Applied | Stage::Undoing) => {
            take_back(&directory, record, Some(Stage::Undoing), Stage::Undone, steps)
        }
        Some(record) => Err(UndoError::WrongStage { number, stage: record.stage }),
        None => Err(UndoError::WrongStage { number, stage: Stage::Applying }),
    }
}

/// Takes back an application that was interrupted. One that had changed nothing yet is forgotten.
///
/// # Errors
/// [`UndoError`]; nothing was changed then.
pub fn roll_back(undo_directory: &Path, number: Number, steps: &dyn Steps) -> Result<Reversal, UndoError> {
    let directory = directory_of(undo_directory, number);
    let (_lock, record) = claim(&directory, number)?;
    match record {
        Some(record) if record.stage == Stage::Applying => {
            take_back(&directory, record, None, Stage::RolledBack, steps)
        }
        Some(record) => Err(UndoError::WrongStage { number, stage: record.stage }),
        None => {
            forget(&directory).map_err(at(&directory))?;
            Ok(Reversal::default())
        }
    }
}

/// Removes what is kept of an application. It cannot be taken back afterwards.
///
/// # Errors
/// [`UndoError`]; one that was interrupted is not removed. One whose record is damaged is.
pub fn remove(undo_directory: &Path, number: Number) -> Result<(), UndoError> {
    let directory = directory_of(undo_directory, number);
    let _lock = hold(&directory, number)?;
    match Record::read(&directory) {
        Ok(Some(Record { stage: stage @ (Stage::Applying | Stage::Undoing), .. })) => {
            Err(UndoError::WrongStage { number, stage })
        }
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(at(&directory)(error)),
        _ => forget(&directory).map_err(at(&directory)),
    }
}

fn claim(directory: &Path, number: Number) -> Result<(Lock, Option<Record>), UndoError> {
    let lock = hold(directory, number)?;
    Ok((lock, Record::read(directory).map_err(at(directory))?))
}

fn hold(directory: &Path, number: Number) -> Result<Lock, UndoError> {
    if !directory.try_exists().map_err(at(directory))? {
        return Err(UndoError::Unknown(number));
    }
    lock::try_exclusive(&directory.join("lock")).map_err(|error| match error {
        TryError::Held => UndoError::Busy(number),
        TryError::Io(source) => UndoError::File { path: directory.join("lock"), source },
    })
}

fn take_back(
    directory: &Path,
    mut record: Record,
    meanwhile: Option<Stage>,
    then: Stage,
    steps: &dyn Steps,
) -> Result<Reversal, UndoError> {
    let path = PathBuf::from(OsString::from_vec(record.root.clone()));
    let root = Root::open(&path).map_err(at(&path))?;
    if let Some(stage) = meanwhile {
        record.stage = stage;
        record.write(directory).map_err(at(directory))?;
    }
    let reversal = reverse(&root, &record, directory, steps);
    flush(&root, &record).map_err(at(&path))?;
    // What is left can be tried again.
    record.stage = if reversal.left.is_empty() { then } else { Stage::Undoing };
    record.write(directory).map_err(at(directory))?;
    drop_new(directory).map_err(at(directory))?;
    Ok(reversal)
}

/// Makes the names that the operations changed durable.
pub(crate) fn flush(root: &Root, record: &Record) -> io::Result<()> {
    let parents: std::collections::BTreeSet<&[u8]> =
        record.operations.iter().map(|operation| parent(&operation.path)).collect();
    for path in parents {
        match root.directory(path) {
            Ok(directory) => rustix::fs::fsync(directory)?,
            // It was removed, and its own parent is among the others; or the user put something else there.
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes what was to be written: the tree has it now, or does not want it any more.
pub(crate) fn drop_new(directory: &Path) -> io::Result<()> {
    pyro_hostfs::directory::remove(&directory.join("new"))
}

fn forget(directory: &Path) -> io::Result<()> {
    // The record goes first: without it nobody takes back with half of the contents.
    match fs::remove_file(directory.join("undo.json")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    pyro_hostfs::directory::remove(directory)
}
