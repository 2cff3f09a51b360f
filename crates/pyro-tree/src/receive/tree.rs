//! Members as files below one root. It lives from the first member to `finish`, which gives directories their modes
//! and times: before, each is open for its owner, so that files can be put into it.
//!
//! Names were checked, and each directory is opened without following links. A file is always new (`O_EXCL`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{self, AtFlags, Mode, OFlags, Timespec, Timestamps};

use crate::archive::member::{Member, Type, seconds};
use crate::beneath::{Last, Root};
use crate::name;
use crate::sink::{IMPLIED_MODE, Sink};

pub(super) struct Tree {
    root: Root,
    last: Last,
    /// Mode and time that each directory gets in the end.
    directories: BTreeMap<Vec<u8>, (u32, Option<i64>)>,
    file: Option<(File, u64)>,
}

impl Tree {
    pub fn new(root: Root) -> Self {
        let directories = BTreeMap::from([(Vec::new(), (IMPLIED_MODE, None))]);
        Self { root, last: Last::default(), directories, file: None }
    }

    /// The innermost directories first: a time stays, and a mode locks nobody out.
    pub fn finish(self) -> Result<(), (Vec<u8>, io::Error)> {
        for (path, (mode, mtime_ns)) in self.directories.into_iter().rev() {
            finish_directory(&self.root, &path, mode, mtime_ns).map_err(|error| (path, error))?;
        }
        Ok(())
    }

    fn directory(&mut self, path: &[u8], mode: u32, mtime_ns: i64) -> io::Result<()> {
        if self.directories.insert(path.to_vec(), (mode, Some(mtime_ns))).is_some() {
            return Ok(());
        }
        let (parent, name) = self.last.parent(&self.root, path)?;
        Ok(fs::mkdirat(parent, name, Mode::RWXU)?)
    }

    fn symlink(&mut self, member: &Member) -> io::Result<()> {
        let (parent, name) = self.last.parent(&self.root, &member.path)?;
        fs::symlinkat(member.target.as_slice(), parent, name)?;
        Ok(fs::utimensat(parent, name, &times(member.mtime_ns), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn hard_link(&mut self, member: &Member) -> io::Result<()> {
        let target = name::clean(&member.target).map_err(|_| io::ErrorKind::InvalidInput)?;
        let (parent, name) = name::split(&target);
        let from = self.root.directory(parent)?;
        let (to, new_name) = self.last.parent(&self.root, &member.path)?;
        Ok(fs::linkat(from, name, to, new_name, AtFlags::empty())?)
    }

    fn create(&mut self, member: &Member) -> io::Result<File> {
        let (parent, name) = self.last.parent(&self.root, &member.path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    fn open_file(&mut self) -> io::Result<&mut (File, u64)> {
        self.file.as_mut().ok_or_else(|| io::Error::other("content without a file"))
    }
}

impl Sink for Tree {
    fn implied(&mut self, path: &[u8], mtime_ns: i64) -> io::Result<()> {
        self.directory(path, IMPLIED_MODE, mtime_ns)
    }

    fn begin(&mut self, member: &Member) -> io::Result<()> {
        match member.kind {
            Type::File => self.file = Some((self.create(member)?, 0)),
            Type::Directory => self.directory(&member.path, member.mode, member.mtime_ns)?,
            Type::Symlink => self.symlink(member)?,
            Type::HardLink => self.hard_link(member)?,
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (file, at) = self.open_file()?;
        file.write_all_at(bytes, *at)?;
        *at += bytes.len() as u64;
        Ok(())
    }

    fn hole(&mut self, length: u64) -> io::Result<()> {
        let (_, at) = self.open_file()?;
        *at += length;
        Ok(())
    }

    fn end(&mut self, member: &Member) -> io::Result<()> {
        let Some((file, size)) = self.file.take() else {
            return Ok(());
        };
        if member.segments.is_some() {
            file.set_len(size)?;
        }
        fs::fchmod(&file, Mode::from_raw_mode(member.mode))?;
        Ok(fs::futimens(&file, &times(member.mtime_ns))?)
    }
}

fn finish_directory(root: &Root, path: &[u8], mode: u32, mtime_ns: Option<i64>) -> io::Result<()> {
    let directory = root.readable(path)?;
    if let Some(mtime_ns) = mtime_ns {
        fs::futimens(directory.as_fd(), &times(mtime_ns))?;
    }
    Ok(fs::fchmod(&directory, Mode::from_raw_mode(mode))?)
}

/// Times of access and of change.
fn times(mtime_ns: i64) -> Timestamps {
    let (tv_sec, tv_nsec) = seconds(mtime_ns);
    let time = Timespec { tv_sec, tv_nsec };
    Timestamps { last_access: time, last_modification: time }
}
