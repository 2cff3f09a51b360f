//! The bytes of a file.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::OwnedFd;

use pyro_protocol::files::{Read, reason};
use rustix::fs::{FileType, OFlags, fstat};

use super::failure::{At, Failure, Result};
use super::report::{Outcome, Report};
use super::root::Root;

pub fn read(root: &Root, request: &Read, report: &mut Report) -> Result<Outcome> {
    let path = &request.path;
    let mut file = regular(root, path)?;
    // The kernel's files are short and end where they end: their sizes say nothing.
    if request.offset > 0 {
        file.seek(SeekFrom::Start(request.offset)).at(path)?;
    }
    let most = if request.length == 0 { u64::MAX } else { request.length };
    report.copy(&file, most)?.1.at(path)?;
    report.count(1, 0)?;
    Ok(Outcome::default())
}

/// Opens a regular file. A symbolic link is followed.
pub fn regular(root: &Root, path: &[u8]) -> Result<File> {
    // A named pipe without a writer is not waited for.
    let opened = root.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK).at(path)?;
    check_regular(opened, path)
}

/// Refuses everything but regular files.
pub fn check_regular(opened: OwnedFd, path: &[u8]) -> Result<File> {
    match FileType::from_raw_mode(fstat(&opened).at(path)?.st_mode) {
        FileType::RegularFile => Ok(opened.into()),
        FileType::Directory => Err(Failure::new(reason::IS_A_DIRECTORY, path, "it is a directory")),
        _ => Err(Failure::new(reason::FAILED, path, "it is not a regular file")),
    }
}
