//! Files of a tree as members of a stream. It lives as long as one `write`.
//!
//! Each file is opened first and looked at through its descriptor. The header says the size of that moment, and exactly
//! that many bytes are sent, whatever happens to the file: zeros take the place of what is missing.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::meter::Meter;
use crate::archive::member::{Member, Type, within};
use crate::archive::write::Writer;
use crate::beneath::{Last, Root};
use crate::collect::Collected;
use crate::entry::Entry;
use crate::notice::{Notice, Problem};
use content::Content;

mod content;
mod holes;

/// Sends what these paths name, in their order.
///
/// # Errors
/// The output's only. What is wrong with a file is a notice.
pub(super) fn send<W: Write>(
    root: &Root,
    paths: &BTreeSet<Vec<u8>>,
    output: &mut W,
    meter: &mut Meter<'_>,
) -> io::Result<(Vec<Entry>, Vec<Notice>)> {
    let mut sender = Sender {
        root,
        last: Last::default(),
        writer: Writer::new(output),
        collected: Collected::default(),
        notices: Vec::new(),
        links: HashMap::new(),
        content: Content::default(),
    };
    for path in paths {
        sender.one(path, meter)?;
    }
    sender.writer.finish()?;
    Ok((sender.collected.entries(), sender.notices))
}

struct Sender<'a, W: Write> {
    root: &'a Root,
    last: Last,
    writer: Writer<W>,
    collected: Collected,
    notices: Vec<Notice>,
    /// Files with several names, by device and inode: the name they were sent with.
    links: HashMap<(u64, u64), Vec<u8>>,
    content: Content,
}

/// What a name is.
enum Found {
    /// Something without content.
    Plain(Member),
    File(Member, File, Stat),
    /// It cannot be sent.
    Nothing(Problem),
}

impl<W: Write> Sender<'_, W> {
    fn one(&mut self, path: &[u8], meter: &mut Meter<'_>) -> io::Result<()> {
        match self.look(path) {
            Ok(Found::Plain(member)) => self.plain(&member)?,
            Ok(Found::File(member, file, stat)) => self.file(member, &file, &stat, meter)?,
            Ok(Found::Nothing(problem)) => return self.notice(path, problem),
            Err(error) => return self.notice(path, problem(&error)),
        }
        meter.entry();
        Ok(())
    }

    fn look(&mut self, path: &[u8]) -> io::Result<Found> {
        let (parent, name) = self.last.parent(self.root, path)?;
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Found::Plain(member(path, Type::Directory, &stat)),
            FileType::Symlink => {
                let target = readlinkat(parent, name, Vec::new())?.into_bytes();
                Found::Plain(Member { target, ..member(path, Type::Symlink, &stat) })
            }
            FileType::RegularFile => open(parent, name, path)?,
            other => Found::Nothing(special(other)),
        })
    }

    fn plain(&mut self, member: &Member) -> io::Result<()> {
        self.writer.begin(member)?;
        self.writer.end()?;
        self.collected.add(member, None);
        Ok(())
    }

    fn file(&mut self, mut member: Member, file: &File, stat: &Stat, meter: &mut Meter<'_>) -> io::Result<()> {
        let identity = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.links.get(&identity).filter(|_| stat.st_nlink > 1) {
            let link = Member { kind: Type::HardLink, target: first.clone(), size: 0, ..member };
            return self.plain(&link);
        }
        member.size = u64::try_from(stat.st_size).unwrap_or(0);
        member.segments = holes::map(file, stat);
        self.writer.begin(&member)?;
        let sent = self.content.send(&member, file, &mut self.writer, meter)?;
        self.writer.end()?;
        if let Some(problem) = sent.problem.or_else(|| changed(file, stat)) {
            self.notice(&member.path, problem)?;
        }
        self.collected.add(&member, Some(sent.digest));
        self.links.insert(identity, member.path);
        Ok(())
    }

    fn notice(&mut self, path: &[u8], problem: Problem) -> io::Result<()> {
        self.notices.push(Notice { path: path.to_vec(), problem });
        Ok(())
    }
}

/// What was a regular file a moment ago. It does not block if it is a pipe now.
fn open(parent: impl AsFd, name: &[u8], path: &[u8]) -> io::Result<Found> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(parent, name, flags, Mode::empty())?);
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(Found::Nothing(Problem::Replaced));
    }
    Ok(Found::File(member(path, Type::File, &stat), file, stat))
}

fn member(path: &[u8], kind: Type, stat: &Stat) -> Member {
    Member {
        path: path.to_vec(),
        kind,
        target: Vec::new(),
        mode: stat.st_mode & 0o7777,
        mtime_ns: within(stat.st_mtime, stat.st_mtime_nsec as i64),
        size: 0,
        segments: None,
        had_attributes: false,
    }
}

fn special(kind: FileType) -> Problem {
    match kind {
        FileType::Socket => Problem::Socket,
        FileType::Fifo => Problem::Fifo,
        _ => Problem::Device,
    }
}

fn problem(error: &io::Error) -> Problem {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT) => Problem::Vanished,
        Some(Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => Problem::Replaced,
        _ => Problem::Unreadable(error.to_string()),
    }
}

/// Whether the file is still what it was before it was read.
fn changed(file: &File, before: &Stat) -> Option<Problem> {
    let after = match fstat(file) {
        Ok(after) => after,
        Err(error) => return Some(Problem::ReadFailed(error.to_string())),
    };
    let facts = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
    match after.st_size.cmp(&before.st_size) {
        std::cmp::Ordering::Greater => Some(Problem::Grew),
        std::cmp::Ordering::Less => Some(Problem::Shrank),
        std::cmp::Ordering::Equal => (facts(&after) != facts(before)).then_some(Problem::Changed),
    }
}
