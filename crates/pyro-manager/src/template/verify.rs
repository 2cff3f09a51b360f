//! Whether a template's record can be believed, and whether its files are what was saved.

use std::fs;
use std::io;
use std::path::Path;

use pyro_environment::EnvironmentError;
use pyro_hostfs::seal::{self, Seal};
use pyro_hostfs::{digest, stamp};

use super::{FORMAT, RECORD, Record};
use crate::Error;
use crate::error::host;

/// What a template's record says of itself.
pub enum Read {
    Record(Record),
    Missing,
    Damaged(String),
    Older(u64),
    Newer(u64),
}

pub fn read_record(directory: &Path) -> Result<Read, Error> {
    let text = match fs::read(directory.join(RECORD)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Read::Missing),
        text => text.map_err(host("read a template's record"))?,
    };
    let value: serde_json::Value = match serde_json::from_slice(&text) {
        Ok(value) => value,
        Err(error) => return Ok(Read::Damaged(format!("{RECORD}: {error}"))),
    };
    let format = value["format"].as_u64();
    Ok(match (format, serde_json::from_value(value)) {
        (Some(format), _) if format > u64::from(FORMAT) => Read::Newer(format),
        _ if seal::check(&text) == Seal::Broken => Read::Damaged(format!("{RECORD}: its checksum does not hold")),
        (Some(format), _) if format < u64::from(FORMAT) => Read::Older(format),
        (_, Ok(record)) => Read::Record(record),
        (_, Err(error)) => Read::Damaged(format!("{RECORD}: {error}")),
    })
}

/// What a look at a template has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was saved.
    Whole,
    /// There is none.
    Missing,
    /// It is not what was saved: what is wrong.
    Damaged(String),
}

/// Looks at a template. Costs three stats where nothing has changed.
///
/// # Errors
/// When it could not be read, or a newer release made it. That says nothing against it.
pub fn verify(directory: &Path) -> Result<Verdict, Error> {
    let mut record = match read_record(directory)? {
        Read::Record(record) => record,
        Read::Missing => return Ok(Verdict::Missing),
        Read::Damaged(problem) => return Ok(Verdict::Damaged(problem)),
        Read::Older(format) => return Ok(Verdict::Damaged(format!("{RECORD} has format {format}"))),
        Read::Newer(found) => {
            let path = directory.join(RECORD);
            return Err(EnvironmentError::Newer { path, found, ours: FORMAT }.into());
        }
    };
    let mut moved = false;
    for file in &mut record.files {
        let path = directory.join(&file.name);
        let now = match stamp::of(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Verdict::Damaged(format!("{}: {error}", file.name)));
            }
            now => now.map_err(host("look at a template's file"))?.to_string(),
        };
        if now == file.stamp {
            continue;
        }
        let digest = digest::of_sparse_file(&path).map_err(host("read a template's file"))?;
        if digest != file.digest {
            return Ok(Verdict::Damaged(format!("{} is not what was saved (its digest differs)", file.name)));
        }
        file.stamp = now;
        moved = true;
    }
    if moved {
        // A stamp that cannot be written down costs the next one the same look again.
        let _ = record.write(directory);
    }
    Ok(Verdict::Whole)
}

impl Record {
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let text = seal::seal(&serde_json::to_string_pretty(self).expect("a record has string keys only"));
        pyro_hostfs::write::atomically(&directory.join(RECORD), text.as_bytes())
    }
}
