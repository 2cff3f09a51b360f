//! Which changes are wanted: `--only` patterns. Pure.

use std::collections::BTreeSet;

use super::change::Change;
use crate::entry::Kind;

/// A pattern that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a pattern: {why}")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong.
    pub why: String,
}

/// The changes that match one of the patterns, and the new directories that they are in. All, without patterns.
///
/// `*` and `?` stay within a component, `**` goes across. A pattern also takes what is below a directory it matches.
///
/// # Errors
/// [`PatternError`].
pub fn select(changes: Vec<Change>, patterns: &[String]) -> Result<Vec<Change>, PatternError> {
    for pattern in patterns {
        fast_glob::validate(pattern)
            .map_err(|why| PatternError { pattern: pattern.clone(), why: format!("{why:?}") })?;
    }
    if patterns.is_empty() {
        return Ok(changes);
    }
    let wanted = |path: &[u8]| {
        let above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
        above.chain([path]).any(|path| patterns.iter().any(|pattern| matches(pattern, path)))
    };
    let taken: BTreeSet<Vec<u8>> = changes
        .iter()
        .filter(|change| change.after.is_some() && wanted(&change.path))
        .map(|c| c.path.clone())
        .collect();
    let holds_one = |change: &Change| {
        let directory = change.after.as_ref().is_some_and(|after| after.kind == Kind::Directory);
        let inside = [&change.path[..], b"/"].concat();
        directory && taken.range(inside.clone()..).next().is_some_and(|path| path.starts_with(&inside))
    };
    Ok(changes.into_iter().filter(|change| wanted(&change.path) || holds_one(change)).collect())
}

fn matches(pattern: &str, path: &[u8]) -> bool {
    fast_glob::glob_match(pattern.trim_end_matches('/'), path)
}
