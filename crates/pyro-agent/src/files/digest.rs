//! SHA-256 of files.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use pyro_protocol::files::Digest;
use rustix::fs::{FileType, OFlags, fstat};
use sha2::{Digest as _, Sha256};

use super::failure::{At, Result};
use super::list::entry_of;
use super::read::{check_regular, regular};
use super::report::{Outcome, Report};
use super::root::Root;
use super::walk::{Item, Walk};

/// Bytes that are read at once.
const PIECE: usize = 128 << 10;

pub fn digest(root: &Root, request: &Digest, report: &mut Report) -> Result<Outcome> {
    let path = &request.path;
    let opened = root.open_at(path, OFlags::PATH).at(path)?;
    let is_directory = FileType::from_raw_mode(fstat(opened.as_fd()).at(path)?.st_mode) == FileType::Directory;
    if !is_directory {
        let place = root.followed(path)?;
        let item = Item::at(place.directory, &place.name, path)?;
        one(&item, regular(root, path)?, report)?;
        return Ok(Outcome::default());
    }
    let mut walk = Walk::inside(root, path)?;
    while let Some(item) = walk.next(report)? {
        if item.kind() == FileType::RegularFile {
            let file = item.open().at(&item.path).and_then(|opened| check_regular(opened, &item.path));
            if let Err(failure) = file.and_then(|file| one(&item, file, report)) {
                report.notice(&item.path, failure.message)?;
            }
        } else {
            walk.enter_if_directory(item, report)?;
        }
    }
    Ok(Outcome::default())
}

fn one(item: &Item, file: File, report: &mut Report) -> Result<()> {
    let (digest, bytes) = of(file).at(&item.path)?;
    let mut entry = entry_of(item);
    entry.digest = digest;
    entry.size = bytes;
    report.entry(entry)?;
    report.count(1, bytes)
}

/// The digest of all that can be read, and how many bytes that is.
pub fn of(mut source: impl Read) -> std::io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; PIECE];
    let mut bytes = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok((hex(hasher), bytes)),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub fn hex(hasher: Sha256) -> String {
    use std::fmt::Write;
    hasher.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
