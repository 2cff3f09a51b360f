//! Making what an archive describes, below a target.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod, fchown, fgetxattr,
    flistxattr, fsetxattr, ftruncate, futimens, linkat, mkdirat, openat, renameat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::archive::Attribute;
use super::failure::{Result, text};
use super::reader::Member;
use super::replacement::{Before, Replacement, with_new_name};
use super::report::Report;
use super::root::{Root, split};
use super::sparse::{self, Extent};
use super::stamp::Stamp;

/// Bytes of a file that are read at once.
const PIECE: usize = 128 << 10;
/// The most bytes of an extended attribute, and of the names of all (xattr(7)).
const MOST_ATTRIBUTE: usize = 64 << 10;
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW);

/// Why an entry was not made.
pub enum Trouble {
    /// The archive cannot be read any further.
    Source(std::io::Error),
    /// The kernel did not do it.
    Target(Errno),
    /// It is not done.
    Refused(&'static str),
}

impl From<Errno> for Trouble {
    fn from(error: Errno) -> Self {
        Self::Target(error)
    }
}

type Made<T> = std::result::Result<T, Trouble>;

pub struct Target {
    root: Root,
    keep_owners: bool,
    /// Directories get their modes and times at the end: one that is read-only takes no files, and
    /// every file in it changes its time.
    directories: Vec<(Vec<u8>, Member)>,
    buffer: Vec<u8>,
    /// The directory of the last name: the next one is mostly in it, too.
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
}

impl Target {
    pub fn new(root: Root, keep_owners: bool) -> Self {
        Self { root, keep_owners, directories: Vec::new(), buffer: vec![0; PIECE], last: None }
    }

    /// A directory. One that exists stays, also if it is a link to one below the target.
    pub fn directory(&mut self, name: &[u8], member: Member) -> Made<()> {
        let parent = self.parent(name)?;
        self.last = None; // the same path may lead elsewhere from now on
        let last = split(name).1;
        match mkdirat(&parent, last, Mode::RWXU) {
            Err(Errno::EXIST) if openat(&parent, last, DIRECTORY, Mode::empty()).is_ok() => {}
            Err(Errno::EXIST) if self.root.open_at(name, OFlags::PATH | OFlags::DIRECTORY).is_ok() => return Ok(()),
            Err(Errno::EXIST) => {
                unlinkat(&parent, last, AtFlags::empty())?;
                mkdirat(&parent, last, Mode::RWXU)?;
            }
            other => other?,
        }
        self.directories.push((name.to_vec(), member));
        Ok(())
    }

    /// A regular file; returns the length of its content.
    pub fn file(&mut self, name: &[u8], member: &Member, content: &mut impl Read) -> Made<u64> {
        let parent = self.parent(name)?;
        let replacement = Replacement::begin(parent.as_fd())?;
        let mut length = 0;
        for extent in &member.extents {
            self.copy(&replacement.file, *extent, content)?;
            length += extent.length;
        }
        ftruncate(&replacement.file, member.size)?;
        self.dress(replacement.file.as_fd(), member)?;
        replacement.commit(split(name).1, Before::Anything)?;
        Ok(length)
    }

    fn copy(&mut self, file: &File, extent: Extent, content: &mut impl Read) -> Made<()> {
        let mut done = 0;
        while done < extent.length {
            let most = (extent.length - done).min(PIECE as u64) as usize;
            let read = match content.read(&mut self.buffer[..most]) {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Trouble::Source(error)),
            };
            let written = sparse::write_at(file, &self.buffer[..read], extent.offset + done);
            written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            done += read as u64;
        }
        Ok(())
    }

    pub fn symlink(&mut self, name: &[u8], member: &Member) -> Made<()> {
        let parent = self.parent(name)?;
        self.last = None; // the same path may lead elsewhere from now on
        let (temporary, ()) = with_new_name(|temporary| symlinkat(member.link.as_slice(), &parent, temporary))?;
        if self.keep_owners {
            let (owner, group) = (Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)));
            chownat(&parent, temporary.as_str(), owner, group, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        // Some file systems have no times for links.
        let _ = utimensat(&parent, temporary.as_str(), &times(member.mtime), AtFlags::SYMLINK_NOFOLLOW);
        put(&parent, &temporary, split(name).1)
    }

    /// One more name for something below the target.
    pub fn hard_link(&mut self, name: &[u8], first: &[u8]) -> Made<()> {
        let parent = self.parent(name)?;
        self.last = None; // a link can be one to a link
        let (above, last) = split(first);
        let above = self.root.open_at(above, OFlags::PATH | OFlags::DIRECTORY)?;
        let link = |temporary: &str| linkat(&above, last, &parent, temporary, AtFlags::empty());
        let (temporary, ()) = with_new_name(link)?;
        put(&parent, &temporary, split(name).1)
    }

    /// Gives directories what they could not be given before.
    pub fn finish(&mut self, report: &mut Report) -> Result<()> {
        for (name, member) in std::mem::take(&mut self.directories).into_iter().rev() {
            let opened = self.root.open_at(&name, DIRECTORY);
            if let Err(error) = opened.and_then(|directory| self.dress(directory.as_fd(), &member)) {
                report.notice(&name, text(error))?;
            }
        }
        Ok(())
    }

    /// The directory of a name, made if it is missing.
    fn parent(&mut self, name: &[u8]) -> Made<Rc<OwnedFd>> {
        let parent = split(name).0;
        if let Some((last, directory)) = &self.last
            && last == parent
        {
            return Ok(directory.clone());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let opened = match self.root.open_at(parent, flags) {
            Err(Errno::NOENT) => {
                // Says the same as the next look if it failed.
                let _ = self.root.make_parents(name);
                self.root.open_at(parent, flags)?
            }
            other => other?,
        };
        let opened = Rc::new(opened);
        self.last = Some((parent.to_vec(), opened.clone()));
        Ok(opened)
    }

    fn dress(&self, file: impl AsFd + Copy, member: &Member) -> rustix::io::Result<()> {
        if self.keep_owners {
            fchown(file, Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)))?;
        }
        fchmod(file, Mode::from_raw_mode(member.mode))?;
        for attribute in &member.attributes {
            // Which of them a file system takes is its own business.
            let _ = fsetxattr(file, attribute.name.as_slice(), &attribute.value, XattrFlags::empty());
        }
        futimens(file, &times(member.mtime))
    }
}

/// Renames what was made, in place of whatever has the name.
fn put(parent: &OwnedFd, temporary: &str, name: &[u8]) -> Made<()> {
    let renamed = renameat(parent, temporary, parent, name);
    // Two names of one file stay two when one is renamed to the other.
    let _ = unlinkat(parent, temporary, AtFlags::empty());
    Ok(renamed?)
}

fn times(mtime: Stamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() },
    }
}

/// The extended attributes of an open file, sorted. Those that cannot be read are left out.
pub fn attributes(file: &impl AsFd) -> Vec<Attribute> {
    let mut names = Vec::new();
    if flistxattr_of(file, &mut names).is_err() || names.is_empty() {
        return Vec::new();
    }
    let mut attributes: Vec<_> = names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty() && !name.contains(&b'='))
        .filter_map(|name| {
            let mut value = Vec::with_capacity(MOST_ATTRIBUTE);
            fgetxattr(file, name, spare_capacity(&mut value)).ok()?;
            value.shrink_to_fit();
            Some(Attribute { name: name.to_vec(), value })
        })
        .collect();
    attributes.sort_by(|one, other| one.name.cmp(&other.name));
    attributes
}

fn flistxattr_of(file: &impl AsFd, names: &mut Vec<u8>) -> rustix::io::Result<()> {
    // Most files have none, and need no room for them.
    let length = rustix::fs::flistxattr_query(file)?;
    if length > 0 {
        names.reserve(MOST_ATTRIBUTE);
        flistxattr(file, spare_capacity(names))?;
    }
    Ok(())
}
