//! New content for a file.
//!
//! The end mark of the data is what commits it. A client that dies changes nothing, and neither
//! does a worker that is killed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::os::fd::AsFd;

use pyro_protocol::files::{ABSENT, Write, reason};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, openat, statat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::digest;
use super::failure::{At, Failure, Result};
use super::input::Input;
use super::read::check_regular;
use super::replacement::{Before, Replacement};
use super::report::{Outcome, Report};
use super::root::{Place, Root};

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// Mode of a new file.
const NEW: u32 = 0o644;

pub fn write(root: &Root, request: &Write, input: Input, report: &mut Report) -> Result<Outcome> {
    let path = &request.path;
    let expected = Expected::new(&request.if_digest)?;
    if request.create_parents {
        root.make_parents(path)?;
    }
    let place = root.followed(path)?;
    match request.offset {
        Some(offset) => in_place(&place, request, expected, offset, input, report),
        None => as_a_whole(&place, request, expected, input, report),
    }
}

fn as_a_whole(
    place: &Place,
    request: &Write,
    expected: Expected<'_>,
    input: Input,
    report: &mut Report,
) -> Result<Outcome> {
    let path = &request.path;
    look(place, path)?; // what cannot be replaced is said before the data is awaited
    let mut replacement = Replacement::begin(place.directory.as_fd()).at(path)?;
    let digest = copy(input, &mut replacement.file, path, report)?;
    let existing = look(place, path)?;
    if let Some(existing) = &existing {
        // Before the mode, which a new owner takes bits from. Who may not give it away keeps it.
        let (owner, group) = (Uid::from_raw(existing.st_uid), Gid::from_raw(existing.st_gid));
        let _ = fchown(&replacement.file, Some(owner), Some(group));
    }
    let mode = request.mode.or(existing.as_ref().map(|stat| stat.st_mode)).unwrap_or(NEW) & 0o7777;
    fchmod(&replacement.file, Mode::from_raw_mode(mode)).at(path)?;
    expected.check(place, path)?;
    let before = if expected == Expected::Absent { Before::Nothing } else { Before::Anything };
    match replacement.commit(&place.name, before) {
        Err(Errno::EXIST) if before == Before::Nothing => Err(changed(path, "it exists")),
        other => other.at(path),
    }?;
    report.count(1, 0)?;
    Ok(Outcome { digest, truncated: false })
}

fn in_place(
    place: &Place,
    request: &Write,
    expected: Expected<'_>,
    offset: u64,
    input: Input,
    report: &mut Report,
) -> Result<Outcome> {
    let path = &request.path;
    look(place, path)?;
    expected.check(place, path)?;
    let mut flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    flags.set(OFlags::EXCL, expected == Expected::Absent);
    let opened = openat(&place.directory, place.name.as_slice(), flags, Mode::from_raw_mode(NEW)).at(path)?;
    let mut file = check_regular(opened, path)?;
    if let Some(mode) = request.mode {
        fchmod(&file, Mode::from_raw_mode(mode & 0o7777)).at(path)?;
    }
    file.seek(SeekFrom::Start(offset)).at(path)?;
    let digest = copy(input, &mut file, path, report)?;
    report.count(1, 0)?;
    Ok(Outcome { digest, truncated: false })
}

/// Writes all pieces and returns their digest.
fn copy(input: Input, file: &mut File, path: &[u8], report: &mut Report) -> Result<String> {
    let mut pieces = input.pieces();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; PIECE];
    loop {
        let read = match pieces.read(&mut buffer) {
            Ok(0) => return Ok(digest::hex(hasher)),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).at(path),
        };
        hasher.update(&buffer[..read]);
        file.write_all(&buffer[..read]).at(path)?;
        report.count(0, read as u64)?;
    }
}

/// What has the name now, if it is nothing that cannot be replaced.
fn look(place: &Place, path: &[u8]) -> Result<Option<Stat>> {
    use rustix::fs::FileType;
    let stat = match statat(&place.directory, place.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error).at(path),
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Some(stat)),
        FileType::Directory => Err(Failure::new(reason::IS_A_DIRECTORY, path, "it is a directory")),
        _ => Err(Failure::new(reason::FAILED, path, "it is not a regular file")),
    }
}

/// What the file has to be before it is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected<'a> {
    Anything,
    Absent,
    Digest(&'a str),
}

impl<'a> Expected<'a> {
    fn new(text: &'a str) -> Result<Self> {
        match text {
            "" => Ok(Self::Anything),
            ABSENT => Ok(Self::Absent),
            hex if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(Self::Digest(hex)),
            _ => Err(Failure::bad_request("if_digest is neither a SHA-256 in hex nor \"absent\"")),
        }
    }

    fn check(self, place: &Place, path: &[u8]) -> Result<()> {
        let Self::Digest(wanted) = self else {
            let is_there = self == Self::Absent && look(place, path)?.is_some();
            return if is_there { Err(changed(path, "it exists")) } else { Ok(()) };
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match openat(&place.directory, place.name.as_slice(), flags, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Err(changed(path, "it does not exist")),
            Err(error) => return Err(error).at(path),
        };
        let (is, _) = digest::of(check_regular(opened, path)?).at(path)?;
        if is.eq_ignore_ascii_case(wanted) { Ok(()) } else { Err(changed(path, &format!("its digest is {is}"))) }
    }
}

fn changed(path: &[u8], message: &str) -> Failure {
    Failure::new(reason::CHANGED, path, message)
}
