//! Names that fit a pattern.

use pyro_protocol::files::{Find, Kind};

use super::failure::Result;
use super::list::{entry_of, kind};
use super::report::{Outcome, Report};
use super::root::Root;
use super::walk::{Moment, Walk};

pub fn find(root: &Root, request: &Find, report: &mut Report) -> Result<Outcome> {
    let glob = Glob::new(&request.glob);
    let wanted = Kind::try_from(request.kind).unwrap_or(Kind::Unknown);
    let mut walk = Walk::inside(root, &request.path)?;
    let above = walk.path_length();
    while let Some(item) = walk.next(report)? {
        if item.moment == Moment::Left {
            continue;
        }
        let fits_kind = wanted == Kind::Unknown || kind(item.kind()) == wanted;
        if fits_kind && glob.fits(&item.path[above..], &item.name) {
            if request.max_entries > 0 && report.entries() == request.max_entries {
                return Ok(Outcome { truncated: true, ..Outcome::default() });
            }
            report.entry(entry_of(&item))?;
            report.count(1, 0)?;
        }
        walk.enter_if_directory(item, report)?;
    }
    Ok(Outcome::default())
}

/// A pattern for names, or for paths if it has a slash.
pub struct Glob<'a> {
    pattern: &'a [u8],
}

impl<'a> Glob<'a> {
    pub fn new(pattern: &'a [u8]) -> Self {
        Self { pattern }
    }

    pub fn fits(&self, path: &[u8], name: &[u8]) -> bool {
        let what = if self.pattern.contains(&b'/') { path } else { name };
        self.pattern.is_empty() || fast_glob::glob_match(self.pattern, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap();
        Glob::new(pattern.as_bytes()).fits(path.as_bytes(), name.as_bytes())
    }

    #[test]
    fn a_pattern_without_a_slash_is_held_against_the_name() {
        assert!(fits("*.rs", "src/a/b.rs"));
        assert!(!fits("*.rs", "src/a/b.rsx"));
        assert!(fits("", "anything"));
        assert!(fits("{a,b}.[ch]", "x/b.h"));
        assert!(fits(".*", "x/.hidden"));
    }

    #[test]
    fn a_pattern_with_a_slash_is_held_against_the_path() {
        assert!(fits("src/*.rs", "src/b.rs"));
        assert!(!fits("src/*.rs", "src/a/b.rs"));
        assert!(fits("src/**/*.rs", "src/a/b.rs"));
        assert!(fits("**/b", "x/y/b"));
    }

    #[test]
    fn bytes_that_are_not_utf_8_fit_like_others() {
        assert!(Glob::new(b"*\xff?").fits(b"", b"a\xff\xfe"));
    }
}
