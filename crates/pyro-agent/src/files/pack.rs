//! A tar archive of some trees.
//!
//! The archive is well formed whatever happens to the files meanwhile: a header says how many
//! bytes follow, and so many follow.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, SeekFrom};

use pyro_protocol::files::{Pack, reason};
use rustix::fs::{FileType, Stat, fstat, readlinkat};
use tar::EntryType;

use super::archive::{Attribute, BLOCK, Content, END, Member, headers};
use super::failure::{At, Failure, Result, text};
use super::read::check_regular;
use super::report::{Outcome, Report};
use super::root::Root;
use super::sparse::{Extent, extents};
use super::unpacker::attributes;
use super::walk::{Item, Moment, Walk};

/// Zeros for what is not there any more.
const NOTHING: [u8; 4096] = [0; 4096];

pub fn pack(root: &Root, request: &Pack, report: &mut Report) -> Result<Outcome> {
    let mut paths = request.paths.iter().map(|path| normal(path)).collect::<Result<Vec<_>>>()?;
    paths.sort();
    paths.dedup();
    // A path that leads nowhere is found before the first byte.
    let trees = paths.iter().map(|path| Tree::open(root, path)).collect::<Result<Vec<_>>>()?;
    let mut packer = Packer { report, names: HashMap::new() };
    for tree in trees {
        let mut walk = match tree {
            Tree::Inside(walk) => walk,
            Tree::Top(item) => {
                let mut walk = Walk::nowhere();
                packer.add(&item)?;
                walk.enter_if_directory(item, packer.report)?;
                walk
            }
        };
        while let Some(item) = walk.next(packer.report)? {
            if item.moment == Moment::Met {
                packer.add(&item)?;
                walk.enter_if_directory(item, packer.report)?;
            }
        }
    }
    report.data(&END)?;
    Ok(Outcome::default())
}

/// One of the paths.
enum Tree {
    /// All that is in the root.
    Inside(Walk),
    Top(Item),
}

impl Tree {
    fn open(root: &Root, path: &[u8]) -> Result<Self> {
        if path.is_empty() {
            return Ok(Self::Inside(Walk::inside(root, path)?));
        }
        let place = root.place(path)?;
        Ok(Self::Top(Item::at(place.directory, &place.name, path)?))
    }
}

/// A path as names are in the archive.
pub fn normal(path: &[u8]) -> Result<Vec<u8>> {
    let parts: Vec<_> = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    if parts.contains(&&b".."[..]) {
        return Err(Failure::new(reason::BAD_REQUEST, path, "a name in an archive has no .."));
    }
    Ok(parts.join(&b'/'))
}

struct Packer<'a> {
    report: &'a mut Report,
    /// The name under which a file with several names is in the archive, by device and inode.
    names: HashMap<(u64, u64), Vec<u8>>,
}

impl Packer<'_> {
    fn add(&mut self, item: &Item) -> Result<()> {
        match item.kind() {
            FileType::RegularFile => self.file(item),
            FileType::Directory => {
                let name = [&item.path, &b"/"[..]].concat();
                let attributes = item.open().map(|opened| attributes(&opened)).unwrap_or_default();
                self.headers(&name, EntryType::Directory, &item.stat, b"", Content::Nothing, &attributes)
            }
            FileType::Symlink => match readlinkat(&*item.directory, item.name.as_slice(), Vec::new()) {
                Ok(target) => {
                    let target = target.to_bytes();
                    self.headers(&item.path, EntryType::Symlink, &item.stat, target, Content::Nothing, &[])
                }
                Err(error) => self.report.notice(&item.path, text(error)),
            },
            _ => self.report.notice(&item.path, "a socket, a device or a named pipe; it is left out"),
        }
    }

    fn file(&mut self, item: &Item) -> Result<()> {
        let opened = item.open().at(&item.path).and_then(|opened| check_regular(opened, &item.path));
        let stat = opened.and_then(|file| Ok((fstat(&file).at(&item.path)?, file)));
        let (stat, file) = match stat {
            Ok(opened) => opened,
            Err(failure) => return self.report.notice(&item.path, failure.message),
        };
        if stat.st_nlink > 1 {
            let first = self.names.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| item.path.clone());
            if *first != item.path {
                let first = first.clone();
                return self.headers(&item.path, EntryType::Link, &stat, &first, Content::Nothing, &[]);
            }
        }
        let size = stat.st_size as u64;
        let extents = extents(&file, &stat);
        let content = extents.as_deref().map_or(Content::Bytes(size), |extents| Content::Extents(size, extents));
        self.headers(&item.path, EntryType::Regular, &stat, b"", content, &attributes(&file))?;
        let whole = [Extent { offset: 0, length: size }];
        self.content(item, &file, &stat, extents.as_deref().unwrap_or(&whole))
    }

    /// The bytes that the header announced; zeros where there are none.
    fn content(&mut self, item: &Item, mut file: &File, before: &Stat, extents: &[Extent]) -> Result<()> {
        let mut problem = None;
        let mut total = 0;
        for extent in extents {
            let sought = file.seek(SeekFrom::Start(extent.offset)).at(&item.path);
            let (copied, read) = match sought {
                Ok(_) => self.report.copy(file, extent.length)?,
                Err(failure) => {
                    problem = Some(failure.message);
                    (0, Ok(()))
                }
            };
            if let Err(error) = read {
                problem = Some(text(error));
            }
            self.zeros(extent.length - copied)?;
            total += extent.length;
        }
        self.zeros(total.next_multiple_of(BLOCK) - total)?;
        let has_changed = fstat(file).is_ok_and(|after| {
            let times = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
            times(&after) != times(before)
        });
        let changed = has_changed.then(|| "it changed while it was read".to_owned());
        match problem.or(changed) {
            Some(problem) => self.report.notice(&item.path, problem),
            None => Ok(()),
        }
    }

    fn zeros(&mut self, mut bytes: u64) -> Result<()> {
        while bytes > 0 {
            let step = bytes.min(NOTHING.len() as u64);
            self.report.data(&NOTHING[..step as usize])?;
            bytes -= step;
        }
        Ok(())
    }

    fn headers(
        &mut self,
        name: &[u8],
        kind: EntryType,
        stat: &Stat,
        link: &[u8],
        content: Content<'_>,
        attributes: &[Attribute],
    ) -> Result<()> {
        self.report.count(1, 0)?;
        self.report.data(&headers(&Member { name, kind, stat, link, content, attributes }))
    }
}
