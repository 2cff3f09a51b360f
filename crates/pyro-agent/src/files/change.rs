//! Making, removing and renaming.

use pyro_protocol::files::{MakeDirectory, Move, Remove, reason};
use rustix::fs::{AtFlags, FileType, Mode, RenameFlags, mkdirat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use super::failure::{At, Failure, Result, text};
use super::report::{Outcome, Report};
use super::root::Root;
use super::walk::{Item, Moment, Walk};

pub fn make_directory(root: &Root, request: &MakeDirectory, report: &mut Report) -> Result<Outcome> {
    let path = &request.path;
    let mode = Mode::from_raw_mode(request.mode.unwrap_or(0o755) & 0o7777);
    if request.parents {
        root.make_parents(path)?;
    }
    let place = root.place(path)?;
    match mkdirat(&place.directory, place.name.as_slice(), mode) {
        Ok(()) => {
            // mkdir(2) may drop the bits above 0777.
            rustix::fs::chmodat(&place.directory, place.name.as_slice(), mode, AtFlags::empty()).at(path)?;
            report.count(1, 0)?;
        }
        Err(Errno::EXIST) if request.parents => {
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
            root.open_at(path, flags).at(path)?;
        }
        Err(error) => return Err(error).at(path),
    }
    Ok(Outcome::default())
}

pub fn rename(root: &Root, request: &Move, report: &mut Report) -> Result<Outcome> {
    let (from, to) = (root.place(&request.from)?, root.place(&request.to)?);
    // Which of the two is missing, the kernel does not say.
    statat(&from.directory, from.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).at(&request.from)?;
    let (from_name, to_name) = (from.name.as_slice(), to.name.as_slice());
    let renamed = if request.replace {
        renameat(&from.directory, from_name, &to.directory, to_name)
    } else {
        renameat_with(&from.directory, from_name, &to.directory, to_name, RenameFlags::NOREPLACE)
    };
    match renamed {
        Err(Errno::XDEV) => Err(Failure::new(reason::FAILED, &request.to, "it is on another file system")),
        other => other.at(&request.to),
    }?;
    report.count(1, 0)?;
    Ok(Outcome::default())
}

pub fn remove(root: &Root, request: &Remove, report: &mut Report) -> Result<Outcome> {
    let place = root.place(&request.path)?;
    let top = Item::at(place.directory, &place.name, &request.path)?;
    if !request.recursive || !top.is_directory() {
        unlink(&top).at(&request.path)?;
        report.count(1, 0)?;
        return Ok(Outcome::default());
    }
    let mut first = None;
    let mut walk = Walk::nowhere();
    walk.enter(top).map_err(|failed| failed.1).at(&request.path)?;
    while let Some(item) = walk.next(report)? {
        let (item, error) = if item.is_directory() && item.moment == Moment::Met {
            match walk.enter(item) {
                Ok(()) => continue,
                Err(failed) => *failed,
            }
        } else {
            match unlink(&item) {
                Ok(()) | Err(Errno::NOENT) => {
                    report.count(1, 0)?;
                    continue;
                }
                // What is still in it was named before.
                Err(Errno::NOTEMPTY | Errno::EXIST) if first.is_some() => continue,
                Err(error) => (item, error),
            }
        };
        report.notice(&item.path, text(error))?;
        if first.is_none() {
            first = Err::<(), _>(error).at(&item.path).err();
        }
    }
    first.map_or_else(|| Ok(Outcome::default()), Err)
}

fn unlink(item: &Item) -> rustix::io::Result<()> {
    let is_directory = item.kind() == FileType::Directory;
    let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    unlinkat(&*item.directory, item.name.as_slice(), flags)
}
