//! A seeded workspace: an overlay whose lower layer is what the workspace was at first, and whose
//! upper layer has what was changed since.
//!
//! ```text
//! /var/lib/pyro/workspace/   seed    filled by Unpack
//!                            upper   what was changed
//!                            work    the overlay's own
//!                            seeded  the seed is whole, and on the disk
//!
//! (nothing) ──BeginSeed──▶ begun ──MountWorkspace──▶ seeded and mounted ──reboot──▶ seeded
//!                           └─▲ again: anew                   ▲────MountWorkspace────┘
//! ```
//!
//! A seed that is begun holds nothing that anybody relies on, so it may be begun again. One that is
//! marked as seeded is never touched again. The lock of the directory makes one worker wait for
//! another.

use std::os::fd::OwnedFd;

use pyro_protocol::files::{Remove, SEED, WORKSPACE, reason};
use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, Stat, chmodat, chownat, flock, fstat, fsync, mkdirat, openat, statat, syncfs,
};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;

use super::failure::{At, Failure, Result};
use super::report::{Outcome, Report};
use super::root::{Root, split};
use super::{change, overlay, walk};

/// A directory whose names are read.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);
/// The layers' directories and those above are root's alone; the overlay shows what is in them.
const PRIVATE: Mode = Mode::RWXU;
const UPPER: &[u8] = b"upper";
const SEEDED: &[u8] = b"seeded";

/// Where the layers of a workspace are, and the workspace.
struct Places {
    layers: OwnedFd,
    workspace: OwnedFd,
}

pub fn begin(root: &Root, report: &mut Report) -> Result<Outcome> {
    let places = Places::make(root)?;
    if places.is_seeded()? || overlay::is_mounted(&places.workspace).at(below(WORKSPACE))? {
        return Err(Failure::new(reason::EXISTS, below(SEED), "the workspace has a seed"));
    }
    if !walk::names(&places.workspace).at(below(WORKSPACE))?.is_empty() {
        return Err(Failure::new(reason::NOT_EMPTY, below(WORKSPACE), "the workspace is not empty"));
    }
    // An overlay's root looks as the upper one does.
    let look = fstat(&places.workspace).at(below(WORKSPACE))?;
    for name in [split(below(SEED)).1, UPPER, overlay::WORK] {
        let path = [split(below(SEED)).0, b"/", name].concat();
        match change::remove(root, &Remove { path: path.clone(), recursive: true }, report) {
            Err(failure) if failure.reason != reason::NOT_FOUND => return Err(failure),
            _ => make_like(&places.layers, name, &look).at(&path)?,
        }
        report.count(1, 0)?;
    }
    Ok(Outcome::default())
}

pub fn mount(root: &Root, report: &mut Report) -> Result<Outcome> {
    let places = Places::make(root)?;
    if !overlay::is_mounted(&places.workspace).at(below(WORKSPACE))? {
        statat(&places.layers, split(below(SEED)).1, AtFlags::SYMLINK_NOFOLLOW).at(below(SEED))?;
        overlay::mount(&places.layers, &places.workspace)?;
        report.count(1, 0)?;
    }
    if !places.is_seeded()? {
        places.mark().at(below(SEED))?;
    }
    Ok(Outcome::default())
}

/// What Changes looks at.
pub enum Layers {
    /// There is a seed, and what was changed.
    Seeded { seed: OwnedFd, upper: OwnedFd },
    /// All in the workspace is new.
    Unseeded { workspace: OwnedFd },
}

/// Opens what there is.
pub fn layers(root: &Root) -> Result<Layers> {
    let workspace = root.open_at(below(WORKSPACE), DIRECTORY).at(below(WORKSPACE))?;
    let layers = match root.open_at(split(below(SEED)).0, DIRECTORY) {
        Err(Errno::NOENT) => return Ok(Layers::Unseeded { workspace }),
        other => other.at(split(below(SEED)).0)?,
    };
    let places = Places { layers, workspace };
    // Mounted and not marked: nobody waited for the mark, and the layers are what they are.
    let is_mounted = overlay::is_mounted(&places.workspace).at(below(WORKSPACE))?;
    match (places.is_seeded()?, is_mounted) {
        (false, false) => return Ok(Layers::Unseeded { workspace: places.workspace }),
        (true, false) => {
            return Err(Failure::new(reason::FAILED, below(WORKSPACE), "the workspace has a seed that is not mounted"));
        }
        (_, true) => {}
    }
    let open = |name: &[u8]| openat(&places.layers, name, DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    Ok(Layers::Seeded { seed: open(split(below(SEED)).1).at(below(SEED))?, upper: open(UPPER).at(UPPER)? })
}

impl Places {
    /// Makes what is missing, and holds its lock.
    fn make(root: &Root) -> Result<Self> {
        let (layers, _) = split(below(SEED));
        root.make_parents(split(layers).0)?;
        for private in [split(layers).0, layers] {
            let place = root.place(private)?;
            match mkdirat(&place.directory, place.name.as_slice(), PRIVATE) {
                Err(Errno::EXIST) => {}
                other => other.at(private)?,
            }
        }
        let layers = root.open_at(layers, DIRECTORY).at(layers)?;
        flock(&layers, FlockOperation::LockExclusive).at(b"")?;
        root.make_parents(&[below(WORKSPACE), b"/x"].concat())?;
        Ok(Self { layers, workspace: root.open_at(below(WORKSPACE), DIRECTORY).at(below(WORKSPACE))? })
    }

    fn is_seeded(&self) -> Result<bool> {
        match statat(&self.layers, SEEDED, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error).at(SEEDED),
        }
    }

    /// Says that the seed is whole, when it is on the disk.
    fn mark(&self) -> rustix::io::Result<()> {
        syncfs(&self.layers)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fsync(openat(&self.layers, SEEDED, flags, Mode::RUSR)?)?;
        fsync(&self.layers)
    }
}

fn make_like(directory: &OwnedFd, name: &[u8], look: &Stat) -> rustix::io::Result<()> {
    mkdirat(directory, name, PRIVATE)?;
    let (owner, group) = (Uid::from_raw(look.st_uid), Gid::from_raw(look.st_gid));
    chownat(directory, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    chmodat(directory, name, Mode::from_raw_mode(look.st_mode & 0o7777), AtFlags::empty())
}

/// An absolute path of the machine, below its root.
fn below(path: &str) -> &[u8] {
    path.trim_start_matches('/').as_bytes()
}
