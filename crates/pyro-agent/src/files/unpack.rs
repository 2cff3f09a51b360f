//! The trees of a tar archive.
//!
//! The archive is somebody else's. Nothing that it names is outside of the target, no file appears
//! in part, and input that ends before the archive's end mark is `incomplete`. An entry that cannot
//! be made gets a notice; a full disk ends everything.

use std::io::{BufReader, Read};

use pyro_protocol::files::Unpack;
use rustix::io::Errno;
use tar::EntryType;

use super::failure::{At, Result, text};
use super::input::Input;
use super::reader::{Member, Reader, is_device};
use super::report::{Outcome, Report};
use super::root::Root;
use super::unpacker::{Target, Trouble};

/// Bytes of the archive that are read at once.
const PIECE: usize = 128 << 10;

pub fn unpack(root: &Root, request: &Unpack, input: Input, report: &mut Report) -> Result<Outcome> {
    let mut target = Target::new(root.below(&request.path)?, request.keep_owners);
    let mut archive = Reader::new(BufReader::with_capacity(PIECE, input.raw()));
    let result = members(&mut archive, &mut target, report);
    // Also after a failure: what is there is as it should be.
    target.finish(report)?;
    result.map(|()| Outcome::default())
}

fn members<R: Read>(archive: &mut Reader<R>, target: &mut Target, report: &mut Report) -> Result<()> {
    while let Some(member) = archive.next().at(b"")? {
        let Some(name) = inside(&member.name) else {
            report.notice(&member.name, "it leads out of the target; it is left out")?;
            continue;
        };
        let path = member.name.clone();
        match make(archive, member, &name, target) {
            Ok(bytes) => report.count(1, bytes)?,
            Err(Trouble::Source(error)) => return Err(error).at(&name),
            Err(Trouble::Target(error @ (Errno::NOSPC | Errno::DQUOT))) => return Err(error).at(&name),
            Err(Trouble::Target(error)) => report.notice(&path, text(error))?,
            Err(Trouble::Refused(why)) => report.notice(&path, why)?,
        }
    }
    Ok(())
}

/// Makes what a member describes, and returns the length of its content.
fn make<R: Read>(
    archive: &mut Reader<R>,
    member: Member,
    name: &[u8],
    target: &mut Target,
) -> std::result::Result<u64, Trouble> {
    let is_directory = member.kind.is_dir() || (member.kind.is_file() && member.name.ends_with(b"/"));
    match member.kind {
        // The target itself stays as it is.
        _ if is_directory && name.is_empty() => Ok(0),
        _ if is_directory => target.directory(name, member).map(|()| 0),
        _ if name.is_empty() => Err(Trouble::Refused("it has no name")),
        _ if member.is_strange => Err(Trouble::Refused("sparse in a way that is not known; it is left out")),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => target.file(name, &member, archive),
        EntryType::Symlink => target.symlink(name, &member).map(|()| 0),
        EntryType::Link => match inside(&member.link) {
            Some(first) => target.hard_link(name, &first).map(|()| 0),
            None => Err(Trouble::Refused("a link to a file outside of the target; it is left out")),
        },
        kind if is_device(kind) => Err(Trouble::Refused("a device or a named pipe; it is left out")),
        _ => Err(Trouble::Refused("of a kind that is not known; it is left out")),
    }
}

/// A name in the archive as one below the target; empty for the target itself. None if it leads
/// out of it.
fn inside(name: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<_> = name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    let leads_out = name.starts_with(b"/") || parts.contains(&&b".."[..]);
    (!leads_out).then(|| parts.join(&b'/'))
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
