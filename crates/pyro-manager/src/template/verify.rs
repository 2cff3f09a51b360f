//! Whether a template's record can be believed, and whether its files are what was saved.

use std::io;
use std::path::Path;

use pyro_environment::EnvironmentError;
use pyro_hostfs::{digest, fingerprint};

use super::record::{FORMAT, RECORD, Read, read_record};
use crate::Error;
use crate::error::host;

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
        let now = match fingerprint::of(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Verdict::Damaged(format!("{}: {error}", file.name)));
            }
            now => now.map_err(host("look at a template's file"))?.to_string(),
        };
        if now == file.fingerprint {
            continue;
        }
        let digest = digest::of_sparse_file(&path).map_err(host("read a template's file"))?;
        if digest != file.digest {
            return Ok(Verdict::Damaged(format!("{} has changed since it was saved (its digest differs)", file.name)));
        }
        file.fingerprint = now;
        moved = true;
    }
    if moved {
        // A fingerprint that cannot be written down costs the next one the same look again.
        let _ = record.write(directory);
    }
    Ok(Verdict::Whole)
}
