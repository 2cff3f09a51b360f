//! What names stand for.

use pyro_protocol::files::{Entry, Kind, List, Stat};
use rustix::fs::{FileType, OFlags, fstat, readlinkat};

use super::failure::{At, Result};
use super::report::{Outcome, Report};
use super::root;
use super::root::Root;
use super::walk::{Item, Moment, Walk};

pub fn list(root: &Root, request: &List, report: &mut Report) -> Result<Outcome> {
    let mut walk = Walk::inside(root, &request.path)?;
    while let Some(item) = walk.next(report)? {
        if item.moment == Moment::Left {
            continue;
        }
        if request.max_entries > 0 && report.entries() == request.max_entries {
            return Ok(Outcome { truncated: true, ..Outcome::default() });
        }
        report.entry(entry_of(&item))?;
        report.count(1, 0)?;
        if request.recursive {
            walk.enter_if_directory(item, report)?;
        }
    }
    Ok(Outcome::default())
}

pub fn stat(root: &Root, request: &Stat, report: &mut Report) -> Result<Outcome> {
    let path = &request.path;
    let entry = match root::split(path).1 {
        // The root, or a directory that has no name here.
        b"" | b"." | b".." => {
            let directory = root.open_at(path, OFlags::PATH).at(path)?;
            entry(path, &fstat(&directory).at(path)?)
        }
        _ => {
            let place = root.place(path)?;
            entry_of(&Item::at(place.directory, &place.name, path)?)
        }
    };
    report.entry(entry)?;
    report.count(1, 0)?;
    Ok(Outcome::default())
}

/// All that is known of a name that was met.
pub fn entry_of(item: &Item) -> Entry {
    let mut entry = entry(&item.path, &item.stat);
    if item.kind() == FileType::Symlink {
        // Empty if it is gone meanwhile.
        let target = readlinkat(&*item.directory, item.name.as_slice(), Vec::new());
        entry.link_target = target.map(std::ffi::CString::into_bytes).unwrap_or_default();
    }
    entry
}

fn entry(path: &[u8], stat: &rustix::fs::Stat) -> Entry {
    let kind = kind(FileType::from_raw_mode(stat.st_mode));
    let has_size = matches!(kind, Kind::File | Kind::Symlink);
    let seconds = stat.st_mtime.saturating_mul(1_000_000_000);
    Entry {
        path: path.to_vec(),
        kind: kind as i32,
        size: if has_size { stat.st_size as u64 } else { 0 },
        mode: stat.st_mode & 0o7777,
        mtime_ns: seconds.saturating_add(stat.st_mtime_nsec as i64),
        uid: stat.st_uid,
        gid: stat.st_gid,
        ..Entry::default()
    }
}

pub fn kind(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}
