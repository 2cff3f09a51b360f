//! Whether a member of an archive may be taken, after all that came before it. Pure; lives as long as the archive.
//!
//! It knows each name that was taken and what it is. Names below a file or a link are refused, so whoever writes the
//! members in their order never passes through a link.

use std::collections::HashMap;

use crate::archive::member::{Member, Type};
use crate::name;
use crate::notice::Problem;
use crate::reason::Reason;

/// Limits of an archive. All are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries, and directories that are only named as parents.
    pub max_entries: u64,
    /// Bytes of all files, holes included.
    pub max_bytes: u64,
    /// Bytes of one file, holes included.
    pub max_file_bytes: u64,
    /// Bytes of all names, and of all extended headers: the memory that names take.
    pub max_name_bytes: u64,
}

impl Limits {
    /// No limit but that of the names' memory, for an archive of the user's own.
    pub(crate) const OWN: Self =
        Self { max_entries: u64::MAX, max_bytes: u64::MAX, max_file_bytes: u64::MAX, max_name_bytes: 1 << 32 };
}

impl Default for Limits {
    /// A million entries, 64 GiB, 256 MiB of names.
    fn default() -> Self {
        Self { max_entries: 1_000_000, max_bytes: 64 << 30, max_file_bytes: 64 << 30, max_name_bytes: 256 << 20 }
    }
}

/// What becomes of symbolic links whose target is absolute or may lead out of the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// They are refused, and everything with them.
    #[default]
    Inside,
    /// They are left out, with a notice.
    Skip,
    /// They are kept as they are.
    Keep,
}

/// Who made the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The user: a later member replaces an earlier one, and modes are kept.
    User,
    /// Nobody to trust: names come once, and special mode bits are taken off.
    Guest,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    File,
    Symlink,
    Directory,
    /// A directory that was only named as a parent.
    Implied,
}

#[derive(Debug)]
pub(crate) struct Checker {
    limits: Limits,
    links: Links,
    origin: Origin,
    known: HashMap<Vec<u8>, Known>,
    entries: u64,
    bytes: u64,
    name_bytes: u64,
}

/// A member that may be taken.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    /// Directories that must be made before, the outermost first.
    pub implied: Vec<Vec<u8>>,
    /// It is left out after all.
    pub skipped: bool,
    pub problems: Vec<Problem>,
}

impl Checker {
    pub fn new(limits: Limits, links: Links, origin: Origin) -> Self {
        Self { limits, links, origin, known: HashMap::new(), entries: 0, bytes: 0, name_bytes: 0 }
    }

    /// Takes a member, and special bits off its mode.
    ///
    /// # Errors
    /// Why it is refused. The checker is then of no more use.
    pub fn admit(&mut self, member: &mut Member) -> Result<Admitted, Reason> {
        let mut admitted = Admitted::default();
        self.size(member)?;
        self.target(member, &mut admitted)?;
        admitted.implied = self.parents(&member.path)?;
        if member.had_attributes {
            admitted.problems.push(Problem::Attributes);
        }
        if admitted.skipped {
            return Ok(admitted);
        }
        self.name(member)?;
        if self.origin == Origin::Guest && member.mode & 0o7000 != 0 {
            member.mode &= 0o777;
            admitted.problems.push(Problem::ModeBits);
        }
        Ok(admitted)
    }

    fn size(&mut self, member: &Member) -> Result<(), Reason> {
        if member.size > self.limits.max_file_bytes {
            return Err(Reason::FileTooLarge);
        }
        self.bytes = add(self.bytes, member.size, self.limits.max_bytes, Reason::TooManyBytes)?;
        self.count()
    }

    fn count(&mut self) -> Result<(), Reason> {
        self.entries = add(self.entries, 1, self.limits.max_entries, Reason::TooManyEntries)?;
        Ok(())
    }

    fn target(&self, member: &Member, admitted: &mut Admitted) -> Result<(), Reason> {
        match member.kind {
            Type::HardLink => {
                let target = name::clean(&member.target).map_err(|_| Reason::HardLinkTarget)?;
                let known = self.known.get(&target) == Some(&Known::File) && target != member.path;
                if known { Ok(()) } else { Err(Reason::HardLinkTarget) }
            }
            Type::Symlink if member.target.is_empty() || member.target.len() >= name::LONGEST => {
                Err(Reason::LinkTarget)
            }
            Type::Symlink if member.target.contains(&0) => Err(Reason::NameNul),
            Type::Symlink if self.links == Links::Keep || name::link_stays_inside(&member.path, &member.target) => {
                Ok(())
            }
            Type::Symlink if self.links == Links::Skip => {
                admitted.skipped = true;
                admitted.problems.push(Problem::LinkOutside);
                Ok(())
            }
            Type::Symlink => Err(Reason::LinkOutside),
            Type::File | Type::Directory => Ok(()),
        }
    }

    fn parents(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, Reason> {
        let mut implied = Vec::new();
        for parent in name::ancestors(path) {
            match self.known.get(parent) {
                Some(Known::Directory | Known::Implied) => {}
                Some(Known::File | Known::Symlink) => return Err(Reason::BelowNonDirectory),
                None => {
                    self.count()?;
                    self.learn(parent, Known::Implied)?;
                    implied.push(parent.to_vec());
                }
            }
        }
        Ok(implied)
    }

    fn name(&mut self, member: &Member) -> Result<(), Reason> {
        let kind = match member.kind {
            Type::File | Type::HardLink => Known::File,
            Type::Directory => Known::Directory,
            Type::Symlink => Known::Symlink,
        };
        match (self.known.get(&member.path), kind) {
            (None | Some(Known::Implied), Known::Directory) | (None, _) => {}
            (Some(Known::Directory | Known::Implied), other) if other != Known::Directory => {
                return Err(Reason::TypeConflict);
            }
            (Some(Known::File | Known::Symlink), Known::Directory) => return Err(Reason::TypeConflict),
            (Some(_), _) if self.origin == Origin::User => {}
            (Some(known), _) if *known != kind => return Err(Reason::TypeConflict),
            (Some(_), _) => return Err(Reason::Duplicate),
        }
        self.learn(&member.path, kind)
    }

    fn learn(&mut self, path: &[u8], kind: Known) -> Result<(), Reason> {
        let length = path.len() as u64;
        self.name_bytes = add(self.name_bytes, length, self.limits.max_name_bytes, Reason::NamesTooLong)?;
        self.known.insert(path.to_vec(), kind);
        Ok(())
    }
}

fn add(sum: u64, more: u64, limit: u64, reason: Reason) -> Result<u64, Reason> {
    sum.checked_add(more).filter(|sum| *sum <= limit).ok_or(reason)
}
