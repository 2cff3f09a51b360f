//! The lines of a manifest's file. Pure. These types are on disk: a change of them is a new format.
//!
//! An entry is `[path, kind, mode, size, digest, mtime_ns]`. A path is a string where it is UTF-8, otherwise
//! `{"hex": "…"}`.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest;
use crate::entry::{Entry, Kind};

#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    pub format: u32,
    #[serde(default)]
    pub root: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Foot {
    pub entries: u64,
    pub crc32: u32,
}

impl Head {
    pub fn encode(&self) -> Vec<u8> {
        line(self)
    }

    pub fn decode(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

impl Foot {
    pub fn encode(&self) -> Vec<u8> {
        line(self)
    }

    pub fn decode(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

pub(super) fn encode(entry: &Entry, content: &mut Vec<u8>) {
    let Entry { path, kind, mode, size, digest, mtime_ns } = entry;
    let path = DiskPath(path.clone());
    content.extend(line(&(path, DiskKind::from(*kind), mode, size, digest, mtime_ns)));
}

pub(super) fn decode(line: &[u8]) -> Option<Entry> {
    let (path, kind, mode, size, digest, mtime_ns): (DiskPath, DiskKind, u32, u64, String, i64) =
        serde_json::from_slice(line).ok()?;
    Some(Entry { path: path.0, kind: kind.into(), mode, size, digest, mtime_ns })
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("numbers and strings are JSON");
    line.push(b'\n');
    line
}

#[derive(Serialize, Deserialize)]
enum DiskKind {
    #[serde(rename = "file")]
    File,
    #[serde(rename = "directory")]
    Directory,
    #[serde(rename = "symlink")]
    Symlink,
}

impl From<Kind> for DiskKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::File => Self::File,
            Kind::Directory => Self::Directory,
            Kind::Symlink => Self::Symlink,
        }
    }
}

impl From<DiskKind> for Kind {
    fn from(kind: DiskKind) -> Self {
        match kind {
            DiskKind::File => Self::File,
            DiskKind::Directory => Self::Directory,
            DiskKind::Symlink => Self::Symlink,
        }
    }
}

struct DiskPath(Vec<u8>);

impl Serialize for DiskPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("hex", &digest::hex(&self.0))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for DiskPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathVisitor)
    }
}

struct PathVisitor;

impl<'de> Visitor<'de> for PathVisitor {
    type Value = DiskPath;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string or {\"hex\": …}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<DiskPath, E> {
        Ok(DiskPath(text.as_bytes().to_vec()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DiskPath, A::Error> {
        match map.next_entry::<String, String>()? {
            Some((key, hex)) if key == "hex" => {
                from_hex(hex.as_bytes()).map(DiskPath).ok_or_else(|| A::Error::custom("not hexadecimal"))
            }
            _ => Err(A::Error::custom("a path has no other form")),
        }
    }
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}
