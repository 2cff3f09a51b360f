//! Going through a tree, sorted, one directory at a time, without following a symbolic link.
//!
//! Each directory is opened in the one above it, so nobody can lead the walk elsewhere by changing
//! links. It goes into a directory only when it is asked to. File systems that are no files (those
//! of processes, devices' properties, control groups) seem empty.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstatfs, openat, statat};
use rustix::io::Errno;

use super::failure::{At, Result};
use super::report::Report;
use super::root::{Root, join};

/// A directory whose names are read.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// proc, sysfs, cgroup, cgroup2, devpts, debugfs, tracefs, securityfs, bpf (linux/magic.h).
const NO_FILES: [u32; 9] =
    [0x9fa0, 0x6265_6572, 0x0027_e0eb, 0x6367_7270, 0x1cd1, 0x6462_6720, 0x7472_6163, 0x7363_6673, 0xcafe_4a11];

/// A name that was met.
pub struct Item {
    pub directory: Rc<OwnedFd>,
    pub name: Vec<u8>,
    /// Relative to the root.
    pub path: Vec<u8>,
    pub stat: Stat,
    pub moment: Moment,
}

/// A directory is met once more when all that is in it was met, if it was entered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Met,
    Left,
}

pub struct Walk {
    levels: Vec<Level>,
}

struct Level {
    directory: Rc<OwnedFd>,
    path: Vec<u8>,
    device: u64,
    /// Sorted backwards.
    names: Vec<Vec<u8>>,
    /// The directory as it was met in the one above.
    origin: Option<Item>,
}

impl Item {
    /// A single name.
    pub fn at(directory: OwnedFd, name: &[u8], path: &[u8]) -> Result<Self> {
        let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).at(path)?;
        let (directory, name, path) = (Rc::new(directory), name.to_vec(), path.to_vec());
        Ok(Self { directory, name, path, stat, moment: Moment::Met })
    }

    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// Opens it if it is still what it was. It is never waited for, not even if it is a pipe.
    pub fn open(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        openat(&*self.directory, self.name.as_slice(), flags, Mode::empty())
    }
}

impl Walk {
    /// All that is in a directory. A symbolic link to it is followed.
    pub fn inside(root: &Root, path: &[u8]) -> Result<Self> {
        let directory = root.open_at(path, DIRECTORY).at(path)?;
        let device = rustix::fs::fstat(&directory).at(path)?.st_dev;
        Ok(Self { levels: vec![Level::new(directory, path.to_vec(), device, None).at(path)?] })
    }

    /// Nothing, until something is entered.
    pub fn nowhere() -> Self {
        Self { levels: Vec::new() }
    }

    /// How many bytes of the paths below the first directory are its own, with the slash.
    pub fn path_length(&self) -> usize {
        self.levels.first().map_or(0, |level| join(&level.path, b"").len())
    }

    /// The next name. One that cannot be looked at gets a notice.
    pub fn next(&mut self, report: &mut Report) -> Result<Option<Item>> {
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let Some(name) = level.names.pop() else {
                match self.levels.pop().and_then(|level| level.origin) {
                    Some(origin) => return Ok(Some(Item { moment: Moment::Left, ..origin })),
                    None => continue,
                }
            };
            let path = join(&level.path, &name);
            match statat(&*level.directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    let directory = level.directory.clone();
                    return Ok(Some(Item { directory, name, path, stat, moment: Moment::Met }));
                }
                Err(Errno::NOENT) => {} // gone since its name was read
                Err(error) => report.notice(&path, super::failure::text(error))?,
            }
        }
    }

    /// Goes into a directory: what is in it comes next.
    pub fn enter(&mut self, item: Item) -> std::result::Result<(), Box<(Item, Errno)>> {
        let flags = DIRECTORY | OFlags::NOFOLLOW;
        let opened = openat(&*item.directory, item.name.as_slice(), flags, Mode::empty());
        let outside = self.levels.last().map_or(item.stat.st_dev, |level| level.device);
        let level = opened.and_then(|directory| {
            let device = item.stat.st_dev;
            if device != outside && NO_FILES.contains(&(fstatfs(&directory)?.f_type as u32)) {
                return Ok(Level {
                    directory: Rc::new(directory),
                    path: Vec::new(),
                    device,
                    names: Vec::new(),
                    origin: None,
                });
            }
            Level::new(directory, item.path.clone(), device, None)
        });
        match level {
            Ok(level) => {
                self.levels.push(Level { origin: Some(item), ..level });
                Ok(())
            }
            Err(error) => Err(Box::new((item, error))),
        }
    }

    /// Goes into what is a directory, and says so where it cannot.
    pub fn enter_if_directory(&mut self, item: Item, report: &mut Report) -> Result<()> {
        if item.is_directory()
            && item.moment == Moment::Met
            && let Err(failed) = self.enter(item)
        {
            let (item, error) = *failed;
            report.notice(&item.path, super::failure::text(error))?;
        }
        Ok(())
    }
}

impl Level {
    fn new(directory: OwnedFd, path: Vec<u8>, device: u64, origin: Option<Item>) -> rustix::io::Result<Self> {
        let mut names = names(&directory)?;
        names.sort_unstable_by(|one, other| other.cmp(one));
        Ok(Self { directory: Rc::new(directory), path, device, names, origin })
    }
}

/// The names in a directory that is open to be read, in no order.
pub fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}
