//! What an overlay shows, read from its layers.
//!
//! The kernel's documentation of overlayfs says what is in an upper layer: a character device 0/0
//! stands for nothing, an *opaque* directory hides the one below it, and a *redirected* one has
//! another one below it. The seed is the lowest layer, in which these mean nothing.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, fgetxattr, fstat, major, minor, openat, openat2, statat,
};
use rustix::io::Errno;

use super::root::join;
use super::walk::{self, Item, Moment};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const OPAQUE: &str = "trusted.overlay.opaque";
const REDIRECT: &str = "trusted.overlay.redirect";
/// The longest redirection in bytes (`OVL_REDIRECT_MAX` and more).
const LONGEST: usize = 4096;

/// A directory of one layer.
pub type Directory = Rc<OwnedFd>;

/// A directory of the overlay.
pub struct Merged {
    upper: Option<Directory>,
    lower: Option<Directory>,
}

/// What a name stands for in a layer, or nothing.
pub fn find(layer: Option<&Directory>, name: &[u8], path: &[u8]) -> rustix::io::Result<Option<Item>> {
    Ok(look(layer, name, path)?.filter(|item| !is_whiteout(&item.stat)))
}

/// Goes into a directory of a layer.
pub fn enter(layer: Option<&Directory>, name: &[u8]) -> rustix::io::Result<Option<Directory>> {
    let Some(layer) = layer else { return Ok(None) };
    match openat(layer, name, DIRECTORY, Mode::empty()) {
        Ok(directory) => Ok(Some(Rc::new(directory))),
        // Nothing, or something else.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether two are one and the same.
pub fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

impl Merged {
    /// The root of an overlay, or without a lower layer any directory.
    pub fn new(upper: OwnedFd, lower: Option<Directory>) -> Self {
        Self { upper: Some(Rc::new(upper)), lower }
    }

    /// What a name stands for, or nothing.
    pub fn find(&self, name: &[u8], path: &[u8]) -> rustix::io::Result<Option<Item>> {
        match look(self.upper.as_ref(), name, path)? {
            Some(item) => Ok(Some(item).filter(|item| !is_whiteout(&item.stat))),
            None => find(self.lower.as_ref(), name, path),
        }
    }

    /// Goes into a directory.
    pub fn enter(&self, name: &[u8], seed: Option<&Directory>) -> rustix::io::Result<Self> {
        if look(self.upper.as_ref(), name, b"")?.is_none() {
            return Ok(Self { upper: None, lower: enter(self.lower.as_ref(), name)? });
        }
        // What is no directory hides one.
        let Some(upper) = enter(self.upper.as_ref(), name)? else { return Ok(Self { upper: None, lower: None }) };
        let lower = match attribute(&upper, REDIRECT)? {
            _ if attribute(&upper, OPAQUE)?.is_some_and(|value| value == b"y") => None,
            None => enter(self.lower.as_ref(), name)?,
            Some(absolute) if absolute.starts_with(b"/") => below(seed, &absolute)?,
            Some(other) => enter(self.lower.as_ref(), &other)?,
        };
        Ok(Self { upper: Some(upper), lower })
    }

    /// The names in it that can stand for something else than in a directory of the seed: where that
    /// is what shines through, only those of the upper layer.
    pub fn names(&self, before: Option<&Directory>) -> rustix::io::Result<Vec<Vec<u8>>> {
        let mut all = names(self.upper.as_ref())?;
        let is_unmoved = match (&self.lower, before) {
            (None, None) => true,
            (Some(lower), Some(before)) => is_same(&fstat(lower)?, &fstat(before)?),
            _ => false,
        };
        if !is_unmoved {
            all.extend(names(self.lower.as_ref())?);
            all.extend(names(before)?);
        }
        Ok(all)
    }
}

/// The names in a directory of one layer, if there is one.
pub fn names(layer: Option<&Directory>) -> rustix::io::Result<Vec<Vec<u8>>> {
    layer.map_or(Ok(Vec::new()), |layer| walk::names(layer))
}

fn look(layer: Option<&Directory>, name: &[u8], path: &[u8]) -> rustix::io::Result<Option<Item>> {
    let Some(layer) = layer else { return Ok(None) };
    match statat(layer, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            let (directory, name, path) = (layer.clone(), name.to_vec(), path.to_vec());
            Ok(Some(Item { directory, name, path, stat, moment: Moment::Met }))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && (major(stat.st_rdev), minor(stat.st_rdev)) == (0, 0)
}

/// A directory by its path from the root of the seed. The kernel follows no link here either.
fn below(seed: Option<&Directory>, path: &[u8]) -> rustix::io::Result<Option<Directory>> {
    let Some(seed) = seed else { return Ok(None) };
    let path = join(b".", path.strip_prefix(b"/").unwrap_or(path));
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(seed, path, DIRECTORY, Mode::empty(), resolve) {
        Ok(directory) => Ok(Some(Rc::new(directory))),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error),
    }
}

fn attribute(directory: impl AsFd, name: &str) -> rustix::io::Result<Option<Vec<u8>>> {
    let mut value = Vec::with_capacity(LONGEST);
    match fgetxattr(directory, name, spare_capacity(&mut value)) {
        Ok(_) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}
