//! What is written down of a template (`template.json`).

use std::fs;
use std::io;
use std::path::Path;

use pyro_hostfs::seal::{self, Seal};
use serde::{Deserialize, Serialize};

use crate::error::{Error, host};

/// Changes with what is kept, and with what was run before.
pub const FORMAT: u32 = 3;
pub const RECORD: &str = "template.json";

/// What `template.json` says (the form on disk).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub format: u32,
    pub environment: String,
    pub fingerprint: String,
    pub vcpu_count: u8,
    pub mem_mib: u32,
    /// What its guests keep time with.
    pub clock_source: String,
    pub files: Vec<FileRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    pub name: String,
    pub digest: String,
    #[serde(rename = "stamp")]
    pub fingerprint: String,
}

impl Record {
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let text = seal::seal(&serde_json::to_string_pretty(self).expect("a record has string keys only"));
        pyro_hostfs::write::atomically(&directory.join(RECORD), text.as_bytes())
    }
}

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
        _ if seal::check(&text) == Seal::Broken => Read::Damaged(format!("{RECORD}: its checksum does not match")),
        (Some(format), _) if format < u64::from(FORMAT) => Read::Older(format),
        (_, Ok(record)) => Read::Record(record),
        (_, Err(error)) => Read::Damaged(format!("{RECORD}: {error}")),
    })
}
