//! How the workspace differs from its seed.
//!
//! Two trees are gone through side by side: the seed as it was, and the workspace as the layers make
//! it up. Where the seed shines through at its own place nothing is different, so only names of the
//! upper layer are looked at, and all of a directory only where one came, went or was moved.
//!
//! The order is that of the bytes of the paths: what is in `a` comes behind `a.b`, since `/` comes
//! behind `.`. So the inside of a directory waits among the names of the one above, as `a/`.

use pyro_protocol::files::Changes;

use super::compare::Pair;
use super::failure::{At, Result, text};
use super::layered::{self, Directory, Merged};
use super::pack::normal;
use super::report::{Outcome, Report};
use super::root::{Root, join};
use super::seed::{self, Layers};

pub fn changes(root: &Root, request: &Changes, report: &mut Report) -> Result<Outcome> {
    let wanted = Wanted::new(&request.paths)?;
    let (seed, workspace) = match seed::layers(root)? {
        Layers::Seeded { seed, upper } => {
            let seed = Directory::new(seed);
            (Some(seed.clone()), Merged::new(upper, Some(seed)))
        }
        Layers::Unseeded { workspace } => (None, Merged::new(workspace, None)),
    };
    let top = Level::new(Vec::new(), seed.clone(), workspace).at(b"")?;
    let mut walk = Walk { seed, levels: vec![top] };
    let mut found = 0;
    while let Some(pair) = walk.next(&wanted, report)? {
        if wanted.relation(&pair.path) != Relation::Within {
            continue;
        }
        let (change, bytes) = match pair.difference() {
            Ok(difference) => difference,
            Err(failure) => {
                report.notice(&pair.path, failure.message)?;
                continue;
            }
        };
        report.count(0, bytes)?;
        let Some(change) = change else { continue };
        if request.max_entries > 0 && found == request.max_entries {
            return Ok(Outcome { truncated: true, ..Outcome::default() });
        }
        found += 1;
        report.change(change)?;
    }
    Ok(Outcome::default())
}

struct Walk {
    seed: Option<Directory>,
    levels: Vec<Level>,
}

/// A directory in both trees, or in one of them.
struct Level {
    path: Vec<u8>,
    before: Option<Directory>,
    after: Merged,
    /// Names, and with a slash behind them the insides of directories. Sorted backwards.
    steps: Vec<Vec<u8>>,
}

impl Walk {
    /// The next name that may stand for something else than before.
    fn next(&mut self, wanted: &Wanted, report: &mut Report) -> Result<Option<Pair>> {
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let Some(step) = level.steps.pop() else {
                self.levels.pop();
                continue;
            };
            let path = join(&level.path, step.strip_suffix(b"/").unwrap_or(&step));
            if let Some(name) = step.strip_suffix(b"/") {
                match level.inside(name, &path, self.seed.as_ref()) {
                    Ok(inside) => self.levels.push(inside),
                    Err(error) => report.notice(&path, text(error))?,
                }
                continue;
            }
            if wanted.relation(&path) == Relation::Apart {
                continue;
            }
            report.count(1, 0)?;
            match level.pair(&step, &path) {
                Ok(Some(pair)) => {
                    if pair.has_directory() {
                        level.goes_inside(&step);
                    }
                    return Ok(Some(pair));
                }
                Ok(None) => {}
                Err(error) => report.notice(&path, text(error))?,
            }
        }
    }
}

impl Level {
    fn new(path: Vec<u8>, before: Option<Directory>, after: Merged) -> rustix::io::Result<Self> {
        let mut steps = after.names(before.as_ref())?;
        steps.sort_unstable_by(|one, other| other.cmp(one));
        steps.dedup();
        Ok(Self { path, before, after, steps })
    }

    /// None where a name stands for nothing in both, or for the very same.
    fn pair(&self, name: &[u8], path: &[u8]) -> rustix::io::Result<Option<Pair>> {
        let before = layered::find(self.before.as_ref(), name, path)?;
        let after = self.after.find(name, path)?;
        let is_same = match (&before, &after) {
            (None, None) => true,
            (Some(before), Some(after)) => layered::is_same(&before.stat, &after.stat),
            _ => false,
        };
        Ok((!is_same).then(|| Pair { path: path.to_vec(), before, after }))
    }

    fn goes_inside(&mut self, name: &[u8]) {
        let inside = [name, b"/"].concat();
        let at = self.steps.partition_point(|step| *step > inside);
        self.steps.insert(at, inside);
    }

    fn inside(&self, name: &[u8], path: &[u8], seed: Option<&Directory>) -> rustix::io::Result<Self> {
        let before = layered::enter(self.before.as_ref(), name)?;
        Self::new(path.to_vec(), before, self.after.enter(name, seed)?)
    }
}

/// The trees that were asked for.
struct Wanted {
    paths: Vec<Vec<u8>>,
}

/// What a path is to the trees that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// In one of them.
    Within,
    /// Above one of them.
    Above,
    Apart,
}

impl Wanted {
    fn new(paths: &[Vec<u8>]) -> Result<Self> {
        Ok(Self { paths: paths.iter().map(|path| normal(path)).collect::<Result<_>>()? })
    }

    fn relation(&self, path: &[u8]) -> Relation {
        let is_below =
            |path: &[u8], tree: &[u8]| path.strip_prefix(tree).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
        if self.paths.is_empty() || self.paths.iter().any(|tree| tree.is_empty() || is_below(path, tree)) {
            Relation::Within
        } else if self.paths.iter().any(|tree| is_below(tree, path)) {
            Relation::Above
        } else {
            Relation::Apart
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_within_above_or_apart() {
        let wanted = Wanted::new(&[b"a/b".to_vec(), b"./c/".to_vec()]).unwrap();
        for (path, relation) in [
            ("a", Relation::Above),
            ("a/b", Relation::Within),
            ("a/b/x", Relation::Within),
            ("a/bc", Relation::Apart),
            ("c", Relation::Within),
            ("cd", Relation::Apart),
        ] {
            assert_eq!(wanted.relation(path.as_bytes()), relation, "{path}");
        }
        for all in [&[][..], &[b".".to_vec()]] {
            assert_eq!(Wanted::new(all).unwrap().relation(b"x"), Relation::Within);
        }
    }
}
