//! Which names of a directory are sent.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::error::PackError;
use super::git::Git;
use super::options::PackOptions;
use super::walk::{Found, walk};
use crate::beneath::{Last, Root};
use crate::name;
use crate::notice::{Notice, Problem};

const GIT: &[u8] = b".git";
/// A `.git` file is not longer, in bytes.
const GIT_FILE: u64 = 8192;

/// Lists what is sent of the directory `path`, which `root` is.
pub(super) fn list(path: &Path, root: &Root, options: &PackOptions) -> Result<Found, PackError> {
    let failed = |source| PackError::Source { path: path.to_owned(), source };
    let git = kind(root, GIT).map_err(failed)?;
    if !options.no_git && !matches!(git, None | Some(FileType::Directory)) {
        return Err(PackError::GitElsewhere(path.to_owned()));
    }
    let mut found = Found::default();
    if git.is_none() || options.all {
        walk(root, b"", &|name| !(options.no_git && name == GIT), &mut found);
    } else {
        let git = Git::find(path, &options.search_path)?;
        Checkout { path, root, git, options, found: &mut found }.list()?;
    }
    if let Some(notice) = found.notices.iter().find(|notice| notice.path.is_empty()) {
        return Err(failed(io::Error::other(notice.to_string())));
    }
    for file in found.paths.iter().filter(|path| path.ends_with(b"/.git")) {
        if leads_outside(root, file).map_err(failed)? {
            found.notices.push(Notice { path: file.clone(), problem: Problem::GitDirectoryOutside });
        }
    }
    Ok(found)
}

/// A checkout, and those inside of it.
struct Checkout<'a> {
    path: &'a Path,
    root: &'a Root,
    git: Git,
    options: &'a PackOptions,
    found: &'a mut Found,
}

impl Checkout<'_> {
    fn list(mut self) -> Result<(), PackError> {
        let mut waiting = vec![Vec::new()];
        while let Some(checkout) = waiting.pop() {
            self.git_directory(&checkout)?;
            let directory = self.path.join(std::ffi::OsStr::from_bytes(&checkout));
            for listed in self.git.files(&directory)? {
                let path = name::join(&checkout, &listed);
                if self.take(&path)? {
                    waiting.push(path);
                }
            }
        }
        Ok(())
    }

    /// Takes a name that Git gave. `true`: it is a checkout of its own.
    fn take(&mut self, path: &[u8]) -> Result<bool, PackError> {
        // A file that Git tracks and that is not there was deleted: the tree is without it.
        let Some(kind) = self.kind(path)? else {
            return Ok(false);
        };
        self.add(path);
        Ok(kind == FileType::Directory && self.kind(&name::join(path, GIT))?.is_some())
    }

    fn git_directory(&mut self, checkout: &[u8]) -> Result<(), PackError> {
        let path = name::join(checkout, GIT);
        match self.kind(&path)? {
            None => {}
            Some(_) if self.options.no_git => {}
            Some(kind) => {
                self.add(&path);
                if kind == FileType::Directory {
                    walk(self.root, &path, &|_| true, self.found);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &[u8]) {
        self.found.paths.extend(name::ancestors(path).map(<[u8]>::to_vec));
        self.found.paths.insert(path.to_vec());
    }

    fn kind(&self, path: &[u8]) -> Result<Option<FileType>, PackError> {
        kind(self.root, path).map_err(|source| PackError::Source { path: self.path.to_owned(), source })
    }
}

/// What is there. `None`: nothing, because a name is missing or something above it is no directory.
fn kind(root: &Root, path: &[u8]) -> io::Result<Option<FileType>> {
    let mut last = Last::default();
    let stat = last.parent(root, path).and_then(|(parent, name)| Ok(statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?));
    match stat {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            _ => Err(error),
        },
    }
}

/// Whether this is a `.git` file that names a place outside of the tree.
fn leads_outside(root: &Root, path: &[u8]) -> io::Result<bool> {
    if kind(root, path)? != Some(FileType::RegularFile) {
        return Ok(false);
    }
    let mut last = Last::default();
    let (parent, name) = last.parent(root, path)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut content = Vec::new();
    File::from(openat(parent, name, flags, Mode::empty())?).take(GIT_FILE).read_to_end(&mut content)?;
    let Some(target) = content.strip_prefix(b"gitdir:") else {
        return Ok(false);
    };
    Ok(!name::link_stays_inside(path, target.trim_ascii()))
}
