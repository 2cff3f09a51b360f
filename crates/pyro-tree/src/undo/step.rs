//! Carries out one [`Operation`] on the host: whole or not at all.
//!
//! ```text
//! make     directory beside the target ─▶ rename, if nothing is there
//! write    copy beside the target ─▶ look at the target ─▶ exchange ─▶ was it the one looked at? ─▶ remove the old
//! delete   look at the target ─▶ rename aside ─▶ was it the one looked at? ─▶ remove
//! ```
//!
//! What turns out to be another file than the one looked at is put back. It owns nothing: the temporary name beside
//! the target lives for the one step, and is found by its name after a kill ([`temporary`]).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, renameat_with, unlinkat};
use rustix::io::Errno;

use super::hook::Steps;
use super::host::{Found, Identity, Root, Seen, leaf, look_in};
use super::state::{Operation, State};
use crate::entry::Kind;

/// Why a step was not done. The host's file is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The host's file is not what the step expects.
    #[error("the host's file is not what it was")]
    Changed,
    /// What the file system says.
    #[error("{0}")]
    File(#[from] io::Error),
    /// As `File`, and the host's file could not be given its name back.
    #[error("{0}; the host's file is kept beside its place as {1}")]
    Aside(io::Error, String),
}

impl From<Errno> for Trouble {
    fn from(error: Errno) -> Self {
        Self::File(error.into())
    }
}

/// The name beside the target under which a step keeps the other file for a moment.
pub(crate) fn temporary(token: &str, index: usize) -> String {
    format!(".pyro-{token}-{index}")
}

/// Carries out `operation`. `content` is a file with the new content, or with the new link's target.
pub(crate) fn perform(
    root: &Root,
    operation: &Operation,
    content: &Path,
    temporary: &str,
    steps: &dyn Steps,
) -> Result<(), Trouble> {
    let place = Place { parent: root.parent_of(&operation.path)?, leaf: leaf(&operation.path), temporary, steps };
    match (&operation.before, &operation.after) {
        (Some(before), Some(after)) if before.same_content(after) => place.set_mode(operation, before, after.mode),
        (None, Some(State { kind: Kind::Directory, mode, .. })) => place.make_directory(*mode),
        (Some(State { kind: Kind::Directory, .. }), None) => {
            Ok(unlinkat(&place.parent, place.leaf, AtFlags::REMOVEDIR)?)
        }
        (before, Some(after)) => place.put(operation, before.is_some(), after, content),
        (Some(_), None) => place.take_away(operation),
        (None, None) => Ok(()),
    }
}

struct Place<'a> {
    parent: OwnedFd,
    leaf: &'a [u8],
    temporary: &'a str,
    steps: &'a dyn Steps,
}

impl Place<'_> {
    fn expect(&self, operation: &Operation) -> Result<Option<Seen>, Trouble> {
        let seen = match look_in(self.parent.as_fd(), self.leaf)? {
            Found::Absent => None,
            Found::Is(seen) => Some(seen),
            Found::Special | Found::Blocked => return Err(Trouble::Changed),
        };
        let meets = operation.meets(seen.as_ref().map(|seen| &seen.state), operation.before.as_ref());
        if meets { Ok(seen) } else { Err(Trouble::Changed) }
    }

    /// Under the temporary name first, so that it has its mode when it has its name.
    fn make_directory(&self, mode: u32) -> Result<(), Trouble> {
        rustix::fs::mkdirat(&self.parent, self.temporary, Mode::RWXU)?;
        let finished = || {
            self.steps.reached("directory made", self.leaf)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = rustix::fs::openat(&self.parent, self.temporary, flags, Mode::empty())?;
            // A group that the directory inherits stays.
            let inherited = rustix::fs::fstat(&made)?.st_mode & 0o2000;
            rustix::fs::fchmod(&made, Mode::from_raw_mode(mode | inherited))?;
            self.place_new()
        };
        finished().inspect_err(|_: &Trouble| {
            // The first error is the one to tell.
            let _ = unlinkat(&self.parent, self.temporary, AtFlags::REMOVEDIR);
        })
    }

    fn set_mode(&self, operation: &Operation, before: &State, mode: u32) -> Result<(), Trouble> {
        let seen = self.expect(operation)?;
        if before.kind == Kind::Symlink {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.parent, self.leaf, flags, Mode::empty())?;
        self.same(seen.as_ref(), &rustix::fs::fstat(&opened)?)?;
        Ok(rustix::fs::fchmod(&opened, Mode::from_raw_mode(mode))?)
    }

    fn same(&self, seen: Option<&Seen>, stat: &rustix::fs::Stat) -> Result<(), Trouble> {
        let same = seen.is_some_and(|seen| seen.identity == Identity::from(stat));
        if same { Ok(()) } else { Err(Trouble::Changed) }
    }

    fn put(&self, operation: &Operation, replaces: bool, after: &State, content: &Path) -> Result<(), Trouble> {
        let placed = self.prepare(after, content).and_then(|()| {
            self.steps.reached("prepared", self.leaf)?;
            let seen = self.expect(operation)?;
            self.steps.reached("looked", self.leaf)?;
            if replaces { self.exchange(seen.as_ref()) } else { self.place_new() }
        });
        if matches!(placed, Err(Trouble::Changed | Trouble::File(_))) {
            // The first error is the one to tell.
            let _ = unlinkat(&self.parent, self.temporary, AtFlags::empty());
        }
        placed
    }

    fn prepare(&self, after: &State, content: &Path) -> Result<(), Trouble> {
        if after.kind == Kind::Symlink {
            return Ok(rustix::fs::symlinkat(std::fs::read(content)?, &self.parent, self.temporary)?);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&self.parent, self.temporary, flags, Mode::RUSR | Mode::WUSR)?);
        self.steps.reached("writing", self.leaf)?;
        io::copy(&mut File::open(content)?, &mut file)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(after.mode))?;
        Ok(file.sync_all()?)
    }

    fn place_new(&self) -> Result<(), Trouble> {
        match renameat_with(&self.parent, self.temporary, &self.parent, self.leaf, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => Err(Trouble::Changed),
            Err(Errno::INVAL | Errno::NOSYS) => {
                Ok(rustix::fs::renameat(&self.parent, self.temporary, &self.parent, self.leaf)?)
            }
            renamed => Ok(renamed?),
        }
    }

    fn exchange(&self, seen: Option<&Seen>) -> Result<(), Trouble> {
        let swap = || renameat_with(&self.parent, self.temporary, &self.parent, self.leaf, RenameFlags::EXCHANGE);
        match swap() {
            // A file system that cannot: what was looked at a moment ago is replaced.
            Err(Errno::INVAL | Errno::NOSYS) => {
                return Ok(rustix::fs::renameat(&self.parent, self.temporary, &self.parent, self.leaf)?);
            }
            swapped => swapped?,
        }
        self.settle(seen, "exchanged", || swap().map_err(io::Error::from))
    }

    fn take_away(&self, operation: &Operation) -> Result<(), Trouble> {
        let seen = self.expect(operation)?;
        self.steps.reached("looked", self.leaf)?;
        rustix::fs::renameat(&self.parent, self.leaf, &self.parent, self.temporary)?;
        self.settle(seen.as_ref(), "renamed aside", || {
            let flags = RenameFlags::NOREPLACE;
            Ok(renameat_with(&self.parent, self.temporary, &self.parent, self.leaf, flags)?)
        })
    }

    /// The host's file is under the temporary name. It is removed if it is the one looked at, and put `back` if not.
    fn settle(
        &self,
        seen: Option<&Seen>,
        step: &'static str,
        back: impl Fn() -> io::Result<()>,
    ) -> Result<(), Trouble> {
        let checked = || {
            self.steps.reached(step, self.leaf)?;
            self.same(seen, &rustix::fs::statat(&self.parent, self.temporary, AtFlags::SYMLINK_NOFOLLOW)?)?;
            Ok(unlinkat(&self.parent, self.temporary, AtFlags::empty())?)
        };
        let Err(trouble) = checked() else { return Ok(()) };
        back().map_err(|error| Trouble::Aside(error, self.temporary.to_owned()))?;
        Err(trouble)
    }
}
