//! The graph of the modules inside each crate, and the cycles in it.
//!
//! ```text
//! sources → words (modules/words.rs) → paths each module names (modules/paths.rs) → arrows → cycles
//! ```
//!
//! An arrow goes from the module whose file names a thing to the module that defines it: a re-export
//! (`pub use`) is looked through, and neither it nor a `mod` line is an arrow itself. Code below
//! `#[cfg(test)]` does not count. Paths are resolved through `crate::`, `super::`, `self::`, the names of a
//! module's own children, and the names that a `use` brings. A module that uses what it re-exports has an arrow
//! to where it comes from. It reads text and expands no macros: a path made by a macro is not seen, and neither
//! is what `pub use inner::*` brings.

mod paths;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use paths::{Named, named};

/// A module's path inside its crate: empty for the root.
pub type Module = Vec<String>;

/// The modules of a crate, and who uses whom.
#[derive(Debug, Default)]
pub struct Graph {
    /// For each module those it uses.
    pub arrows: BTreeMap<Module, BTreeSet<Module>>,
}

impl Graph {
    /// Reads the graph of the crate whose sources are below `directory` (`crates/NAME/src`).
    ///
    /// # Errors
    /// When a source cannot be read.
    pub fn read(directory: &Path) -> Result<Self, String> {
        let mut modules = BTreeMap::new();
        for file in files(directory) {
            let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            let module = module(file.strip_prefix(directory).unwrap_or(&file));
            if module.iter().any(|name| name == "tests") {
                continue;
            }
            modules.entry(module).or_insert_with(Named::default).add(named(&words::of(&text)));
        }
        Ok(Self::of(&modules))
    }

    fn of(modules: &BTreeMap<Module, Named>) -> Self {
        let arrows = modules.iter().map(|(module, named)| {
            let used = named.used.iter().filter_map(|path| defining(modules, module, path, 0));
            (module.clone(), used.filter(|other| other != module).collect())
        });
        Self { arrows: arrows.collect() }
    }

    /// Groups of modules of which each reaches each other one, largest first.
    pub fn cycles(&self) -> Vec<BTreeSet<&Module>> {
        let reach: BTreeMap<&Module, BTreeSet<&Module>> =
            self.arrows.keys().map(|module| (module, self.reachable(module))).collect();
        let mut groups: Vec<BTreeSet<&Module>> = Vec::new();
        for (module, reached) in &reach {
            if !reached.contains(module) || groups.iter().any(|group| group.contains(module)) {
                continue;
            }
            groups.push(reached.iter().filter(|other| reach[**other].contains(module)).copied().collect());
        }
        groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
        groups
    }

    /// What a module uses, directly or not.
    fn reachable<'a>(&'a self, from: &Module) -> BTreeSet<&'a Module> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Module> = self.arrows.get(from).into_iter().flatten().collect();
        while let Some(module) = next.pop() {
            if reached.insert(module) {
                next.extend(self.arrows.get(module).into_iter().flatten());
            }
        }
        reached
    }
}

/// A module as people write it.
pub fn name(module: &Module) -> String {
    if module.is_empty() { "(root)".into() } else { module.join("::") }
}

/// The module that defines what `path` names inside `module`; `None` where that is outside of the crate.
fn defining(modules: &BTreeMap<Module, Named>, module: &Module, path: &[String], depth: usize) -> Option<Module> {
    let absolute = absolute(modules, module, path, 0)?;
    let known = (0..=absolute.len()).rev().find(|length| modules.contains_key(&absolute[..*length]))?;
    let (found, rest) = absolute.split_at(known);
    let Some(thing) = rest.first() else { return Some(found.to_vec()) };
    let found = found.to_vec();
    // A re-export leads on, but not for ever: a crate may re-export in circles only by mistake.
    let exported = (depth < 8).then(|| modules[&found].exported.iter().find(|(name, _)| name == thing)).flatten();
    match exported {
        Some((_, target)) => defining(modules, &found, target, depth + 1).or(Some(found)),
        None => Some(found),
    }
}

/// The path from the crate's root; `None` where it leads out of the crate.
fn absolute(modules: &BTreeMap<Module, Named>, module: &Module, path: &[String], depth: usize) -> Option<Module> {
    let mut base = module.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => (base, rest) = (Vec::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {
            while let Some(("super", after)) = rest.split_first().map(|(first, after)| (first.as_str(), after)) {
                base.pop();
                rest = after;
            }
        }
        first => {
            base.push(first.to_owned());
            if !modules.contains_key(&base) {
                // Not a child, but a `use` may have brought it. One that brings itself is from outside.
                let (_, from) = modules[module].brought.iter().find(|(name, _)| depth < 8 && name == first)?;
                return absolute(modules, module, &[from, &path[1..]].concat(), depth + 1);
            }
            rest = &path[1..];
        }
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The module of a file: `a/b.rs` and `a/b/mod.rs` are `a::b`.
fn module(file: &Path) -> Module {
    let mut parts: Module = file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

#[cfg(test)]
mod tests;
