//! The trees of a tar archive.
//!
//! The archive is somebody else's. Nothing that it names is outside of the target, no file appears
//! in part, and input that ends before the archive's end mark is `incomplete`. An entry that cannot
//! be made gets a notice; a full disk ends everything.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};

use pyro_protocol::files::{Unpack, reason};
use rustix::io::Errno;
use tar::EntryType;

use super::Outcome;
use super::archive::Attribute;
use super::failure::{At, Failure, Result, text};
use super::input::Input;
use super::report::Report;
use super::root::Root;
use super::stamp::Stamp;
use super::unpacker::{Attributes, Target, Trouble};

/// Bytes of the archive that are read at once.
const PIECE: usize = 128 << 10;

pub fn unpack(root: &Root, request: &Unpack, input: Input, report: &mut Report) -> Result<Outcome> {
    let mut target = Target::new(root.below(&request.path)?, request.keep_owners);
    let has_ended = Cell::new(false);
    let source = Watched { source: BufReader::with_capacity(PIECE, input.raw()), has_ended: &has_ended };
    let result = entries(&mut tar::Archive::new(source), &mut target, report);
    // Also after a failure: what is there is as it should be.
    target.finish(report)?;
    match result {
        Err(failure) if failure.reason == reason::NO_SPACE => Err(failure),
        // The reader takes any end between two entries for the end of the archive.
        _ if has_ended.get() => {
            Err(Failure::new(reason::INCOMPLETE, b"", "the input ended before the archive's end mark"))
        }
        other => other.map(|()| Outcome::default()),
    }
}

fn entries<R: Read>(archive: &mut tar::Archive<R>, target: &mut Target, report: &mut Report) -> Result<()> {
    for entry in archive.entries().map_err(|error| broken(&error))? {
        let mut entry = entry.map_err(|error| broken(&error))?;
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            continue;
        }
        let path = entry.path_bytes().into_owned();
        let Some(name) = inside(&path) else {
            report.notice(&path, "it leads out of the target; it is left out")?;
            continue;
        };
        let made = make(&mut entry, kind, &path, &name, target);
        match made {
            Ok(bytes) => report.count(1, bytes)?,
            Err(Trouble::Source(error)) => return Err(broken(&error)),
            Err(Trouble::Target(error @ (Errno::NOSPC | Errno::DQUOT))) => return Err(error).at(&name),
            Err(Trouble::Target(error)) => report.notice(&path, text(error))?,
            Err(Trouble::Refused(why)) => report.notice(&path, why)?,
        }
    }
    Ok(())
}

/// Makes what an entry describes, and returns the bytes of its content.
fn make<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    kind: EntryType,
    path: &[u8],
    name: &[u8],
    target: &mut Target,
) -> std::result::Result<u64, Trouble> {
    let link = entry.link_name_bytes().unwrap_or_default().into_owned();
    let attributes = attributes(entry)?;
    let is_directory = kind.is_dir() || (kind.is_file() && path.ends_with(b"/"));
    if is_directory {
        // The target itself stays as it is.
        return if name.is_empty() { Ok(0) } else { target.directory(name, attributes).map(|()| 0) };
    }
    if name.is_empty() {
        return Err(Trouble::Refused("it has no name"));
    }
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => target.file(name, &attributes, entry),
        EntryType::Symlink => target.symlink(name, &link, &attributes).map(|()| 0),
        EntryType::Link => match inside(&link) {
            Some(first) => target.hard_link(name, &first).map(|()| 0),
            None => Err(Trouble::Refused("a link to a file outside of the target; it is left out")),
        },
        EntryType::Block | EntryType::Char | EntryType::Fifo => {
            Err(Trouble::Refused("a device or a named pipe; it is left out"))
        }
        _ => Err(Trouble::Refused("of a kind that is not known; it is left out")),
    }
}

fn attributes<R: Read>(entry: &mut tar::Entry<'_, R>) -> std::result::Result<Attributes, Trouble> {
    let header = entry.header();
    let mut attributes = Attributes {
        mode: header.mode().map_err(Trouble::Source)? & 0o7777,
        uid: header.uid().map_err(Trouble::Source)? as u32,
        gid: header.gid().map_err(Trouble::Source)? as u32,
        mtime: Stamp { seconds: header.mtime().map_err(Trouble::Source)? as i64, nanoseconds: 0 },
        extended: Vec::new(),
    };
    let Some(records) = entry.pax_extensions().map_err(Trouble::Source)? else { return Ok(attributes) };
    for record in records {
        let record = record.map_err(Trouble::Source)?;
        let (key, value) = (record.key_bytes(), record.value_bytes());
        if key == b"mtime"
            && let Some(stamp) = Stamp::from_decimal(value)
        {
            attributes.mtime = stamp;
        }
        if key == b"GNU.sparse.major" || key == b"GNU.sparse.map" {
            return Err(Trouble::Refused("a sparse file stored in a way that is not known; it is left out"));
        }
        attributes.extended.extend(Attribute::from_record(key, value));
    }
    Ok(attributes)
}

/// A name in the archive as one below the target; empty for the target itself. None if it leads
/// out of it.
fn inside(name: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<_> = name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    let leads_out = name.starts_with(b"/") || parts.contains(&&b".."[..]);
    (!leads_out).then(|| parts.join(&b'/'))
}

fn broken(error: &io::Error) -> Failure {
    let reason = if error.raw_os_error().is_some() { reason::FAILED } else { reason::BAD_REQUEST };
    Failure::new(reason, b"", format!("the archive: {error}"))
}

/// Remembers whether the source was asked for more than it had.
struct Watched<'a> {
    source: BufReader<File>,
    has_ended: &'a Cell<bool>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            self.has_ended.set(true);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn names_that_lead_out_are_told_from_others() {
        assert_eq!(inside(b"./a//b/").as_deref(), Some(&b"a/b"[..]));
        assert_eq!(inside(b"./").as_deref(), Some(&b""[..]));
        assert_eq!(inside(b"..a/b..").as_deref(), Some(&b"..a/b.."[..]));
        assert_eq!(inside(b"/a"), None);
        assert_eq!(inside(b"a/../b"), None);
        assert_eq!(inside(b".."), None);
    }
}
