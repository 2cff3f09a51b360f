//! Lines that fit a pattern.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use pyro_protocol::files::{Grep, MAX_LINE, Match};
use regex_lite::{Regex, RegexBuilder};
use rustix::fs::{FileType, OFlags, fstat};

use super::failure::{At, Failure, Result};
use super::find::Glob;
use super::read::{check_regular, regular};
use super::report::{Outcome, Report};
use super::root::{Root, split};
use super::walk::{Item, Walk};

/// The part of a line that is looked at, in bytes.
const LOOKED_AT: u64 = 64 << 10;
/// The part of a file that tells whether it is text, in bytes.
const HEAD: usize = 8 << 10;

/// Whether more matches are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Wanted,
    Enough,
}

pub fn grep(root: &Root, request: &Grep, report: &mut Report) -> Result<Outcome> {
    let mut search = Search { pattern: Pattern::new(request)?, most: request.max_matches, found: 0, report };
    let glob = Glob::new(&request.glob);
    let path = &request.path;
    let opened = root.open_at(path, OFlags::PATH).at(path)?;
    if FileType::from_raw_mode(fstat(&opened).at(path)?.st_mode) != FileType::Directory {
        let wanted = glob.fits(path, split(path).1);
        let more = if wanted { search.lines(path, reader(regular(root, path)?))? } else { More::Wanted };
        return Ok(Outcome { truncated: more == More::Enough, ..Outcome::default() });
    }
    let mut walk = Walk::inside(root, path)?;
    let above = walk.path_length();
    while let Some(item) = walk.next(search.report)? {
        if item.kind() != FileType::RegularFile {
            walk.enter_if_directory(item, search.report)?;
        } else if glob.fits(&item.path[above..], &item.name) && search.file(&item)? == More::Enough {
            return Ok(Outcome { truncated: true, ..Outcome::default() });
        }
    }
    Ok(Outcome::default())
}

struct Search<'a> {
    pattern: Pattern,
    most: u64,
    found: u64,
    report: &'a mut Report,
}

impl Search<'_> {
    /// Looks through a file that was met, if it is text.
    fn file(&mut self, item: &Item) -> Result<More> {
        let opened = item.open().at(&item.path).and_then(|opened| check_regular(opened, &item.path));
        let mut reader = match opened {
            Ok(file) => reader(file),
            Err(failure) => {
                self.report.notice(&item.path, failure.message)?;
                return Ok(More::Wanted);
            }
        };
        // An error comes again, and is reported then.
        let is_binary = reader.fill_buf().is_ok_and(|head| head[..head.len().min(HEAD)].contains(&0));
        if is_binary { Ok(More::Wanted) } else { self.lines(&item.path, reader) }
    }

    fn lines(&mut self, path: &[u8], mut reader: BufReader<File>) -> Result<More> {
        let (mut line, mut number) = (Vec::new(), 0);
        self.report.count(1, 0)?;
        loop {
            line.clear();
            let mut bytes = match (&mut reader).take(LOOKED_AT).read_until(b'\n', &mut line) {
                Ok(0) => return Ok(More::Wanted),
                Ok(bytes) => bytes,
                Err(error) => {
                    self.report.notice(path, error.to_string())?;
                    return Ok(More::Wanted);
                }
            };
            number += 1;
            let is_whole = line.pop_if(|last| *last == b'\n').is_some();
            if !is_whole && bytes as u64 == LOOKED_AT {
                bytes += reader.skip_until(b'\n').at(path)?;
            }
            self.report.count(0, bytes as u64)?;
            if self.pattern.fits(&line) {
                if self.most > 0 && self.found == self.most {
                    return Ok(More::Enough);
                }
                self.found += 1;
                let truncated = line.len() > MAX_LINE;
                line.truncate(MAX_LINE);
                self.report.line(Match { path: path.to_vec(), line_number: number, line: line.clone(), truncated })?;
            }
        }
    }
}

fn reader(file: File) -> BufReader<File> {
    BufReader::with_capacity(LOOKED_AT as usize, file)
}

enum Pattern {
    Regex(Regex),
    Bytes(Vec<u8>),
    /// In lower case.
    AnyCase(Vec<u8>),
}

impl Pattern {
    fn new(request: &Grep) -> Result<Self> {
        let pattern = &request.pattern;
        match (request.fixed, request.ignore_case) {
            (true, false) => Ok(Self::Bytes(pattern.clone())),
            (true, true) => Ok(Self::AnyCase(pattern.to_ascii_lowercase())),
            (false, ignore_case) => {
                let text = std::str::from_utf8(pattern);
                let text = text.map_err(|_| Failure::bad_request("the regular expression is not UTF-8"))?;
                let regex = RegexBuilder::new(text).case_insensitive(ignore_case).build();
                Ok(Self::Regex(regex.map_err(|error| Failure::bad_request(format!("the pattern: {error}")))?))
            }
        }
    }

    fn fits(&self, line: &[u8]) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(&match std::str::from_utf8(line) {
                Ok(line) => Cow::Borrowed(line),
                Err(_) => String::from_utf8_lossy(line),
            }),
            Self::Bytes(needle) => contains(line, needle),
            Self::AnyCase(needle) => contains(&line.to_ascii_lowercase(), needle),
        }
    }
}

fn contains(line: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return true };
    let mut left = line;
    while let Some(at) = left.iter().position(|byte| byte == first) {
        left = &left[at + 1..];
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn bytes_are_found_wherever_they_are() {
        assert!(contains(b"aab", b"ab"));
        assert!(contains(b"a\xff\0b", b"\xff\0"));
        assert!(contains(b"", b""));
        assert!(!contains(b"aa", b"aaa"));
        assert!(!contains(b"ab", b"ba"));
    }
}
