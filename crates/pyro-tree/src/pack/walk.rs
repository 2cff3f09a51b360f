//! Every name below a directory. Links are named, not followed.

use std::collections::BTreeSet;
use std::io;

use rustix::fs::{AtFlags, Dir, DirEntry, FileType, statat};

use crate::beneath::Root;
use crate::name;
use crate::notice::{Notice, Problem};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub paths: BTreeSet<Vec<u8>>,
    pub notices: Vec<Notice>,
}

/// Adds everything below the directory `start` (empty for the root) that `wanted` says yes to. A directory that
/// cannot be listed is a notice.
pub(super) fn walk(root: &Root, start: &[u8], wanted: &dyn Fn(&[u8]) -> bool, found: &mut Found) {
    let mut waiting = vec![start.to_vec()];
    while let Some(directory) = waiting.pop() {
        let Err(error) = list(root, &directory, wanted, found, &mut waiting) else {
            continue;
        };
        let problem = match error.kind() {
            io::ErrorKind::NotFound => Problem::Vanished,
            _ => Problem::Unreadable(error.to_string()),
        };
        found.notices.push(Notice { path: directory, problem });
    }
}

fn list(
    root: &Root,
    directory: &[u8],
    wanted: &dyn Fn(&[u8]) -> bool,
    found: &mut Found,
    waiting: &mut Vec<Vec<u8>>,
) -> io::Result<()> {
    let descriptor = root.readable(directory)?;
    for entry in Dir::read_from(&descriptor)? {
        let entry = entry?;
        let own = entry.file_name().to_bytes();
        if matches!(own, b"." | b"..") || !wanted(own) {
            continue;
        }
        let path = name::join(directory, own);
        if is_directory(&descriptor, &entry)? {
            waiting.push(path.clone());
        }
        found.paths.insert(path);
    }
    Ok(())
}

fn is_directory(directory: impl std::os::fd::AsFd, entry: &DirEntry) -> io::Result<bool> {
    let kind = match entry.file_type() {
        FileType::Unknown => match statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            // It is gone; sending it will say so.
            Err(rustix::io::Errno::NOENT) => return Ok(false),
            stat => FileType::from_raw_mode(stat?.st_mode),
        },
        kind => kind,
    };
    Ok(kind == FileType::Directory)
}
