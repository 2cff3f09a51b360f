//! The house law, checked: arrows only point down, front ends know the manager alone, unsafe code lives
//! on the ground floor, nothing below the front ends prints or reads the environment, files stay small.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::modules::{self, Graph};

/// Floor and crate. A crate may depend on crates of lower floors only.
const FLOORS: &[(u32, &str)] = &[
    (0, "pyro-sys"),
    (1, "pyro-confinement"),
    (1, "pyro-hostfs"),
    (1, "pyro-protocol"),
    (2, "pyro-engine"),
    (2, "pyro-environment"),
    (2, "pyro-guest"),
    (2, "pyro-network"),
    (2, "pyro-store"),
    (2, "pyro-tree"),
    (2, "pyro-agent"),
    (3, "pyro-manager"),
    (4, "pyro-api"),
    (5, "pyro-mcp"),
    (5, "pyro-python"),
    (5, "pyro-cli"),
];
/// For tests and for building; nobody ships with them.
const BESIDE: &[&str] = &["pyro-testkit", "xtask"];
/// The floor of the front ends. Of the house they may use only the API.
const FRONT_ENDS: u32 = 5;
const API: &str = "pyro-api";
/// The one front end that starts another one: `pyro mcp serve`.
const STARTS: (&str, &str) = ("pyro-cli", "pyro-mcp");
/// Soft names that say nothing.
const EMPTY_NAMES: &[&str] = &["core", "common", "util", "utils", "base", "helpers", "misc"];
/// No source file is longer, tests aside. Exceptions are named here and only shrink.
const HARD_LIMIT: usize = 800;
const SOFT_LIMIT: usize = 400;
const LONG_FILES: &[&str] = &[];
/// What only a front end may do.
const FACES_ONLY: &[&str] =
    &["println!", "eprintln!", "print!(", "env::var", "env::args", "env::home_dir", "io::stdin", "io::stdout"];

pub fn run(root: &Path) -> Result<(), String> {
    let mut problems = dependencies(root)?;
    problems.extend(cycles(root)?);
    for file in sources(&root.join("crates")) {
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let path = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        problems.extend(source(&path, &text));
    }
    if problems.is_empty() {
        println!("tidy: the house law holds");
        return Ok(());
    }
    Err(format!("tidy: {} problems\n  {}", problems.len(), problems.join("\n  ")))
}

/// Cycles between the modules of a crate. There are no exceptions.
fn cycles(root: &Path) -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    for (_, krate) in FLOORS {
        let graph = Graph::read(&root.join("crates").join(krate).join("src"))?;
        for group in graph.cycles() {
            let names: Vec<String> = group.into_iter().map(modules::name).collect();
            problems.push(format!("{krate}: these modules use each other in a circle: {}", names.join(", ")));
        }
    }
    Ok(problems)
}

/// Prints the graph of each crate, or of one: a line for each module, what it uses, and the cycles.
///
/// # Errors
/// When a source cannot be read.
pub fn graph(root: &Path, only: Option<&str>) -> Result<(), String> {
    for (_, krate) in FLOORS.iter().filter(|(_, krate)| only.is_none_or(|only| only == *krate)) {
        let graph = Graph::read(&root.join("crates").join(krate).join("src"))?;
        let cycles = graph.cycles();
        let within: Vec<usize> = cycles.iter().map(std::collections::BTreeSet::len).collect();
        println!("{krate}: {} modules, cycles of {within:?} modules", graph.arrows.len());
        for (module, used) in &graph.arrows {
            let used: Vec<String> = used.iter().map(modules::name).collect();
            println!("  {} -> {}", modules::name(module), used.join(", "));
        }
        for group in cycles {
            let names: Vec<String> = group.into_iter().map(modules::name).collect();
            println!("  cycle: {}", names.join(", "));
        }
    }
    Ok(())
}

fn dependencies(root: &Path) -> Result<Vec<String>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let uses = package["dependencies"].as_array().into_iter().flatten();
        // What tests use is nobody's business but theirs.
        let uses = uses.filter(|dependency| dependency["kind"].as_str() != Some("dev"));
        let uses = uses.filter_map(|dependency| dependency["name"].as_str());
        problems.extend(arrows(name, uses));
    }
    Ok(problems)
}

fn floor(name: &str) -> Option<u32> {
    FLOORS.iter().find(|(_, known)| *known == name).map(|(floor, _)| *floor)
}

fn arrows<'a>(name: &str, uses: impl Iterator<Item = &'a str>) -> Vec<String> {
    if BESIDE.contains(&name) {
        return Vec::new();
    }
    let Some(from) = floor(name) else { return vec![format!("{name} has no floor in xtask/src/tidy.rs")] };
    let mut problems = Vec::new();
    for used in uses {
        if BESIDE.contains(&used) {
            problems.push(format!("{name} ships with {used}, which is for tests and building"));
        }
        let Some(to) = floor(used) else { continue };
        if (name, used) == STARTS {
            continue;
        }
        if to >= from {
            problems.push(format!("{name} (floor {from}) depends on {used} (floor {to}): arrows only point down"));
        } else if from == FRONT_ENDS && used != API {
            problems.push(format!("{name} depends on {used}: front ends know the API alone"));
        }
    }
    problems
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn source(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let krate = path.split('/').nth(1).unwrap_or_default();
    let is_test =
        path.contains("/tests") || path.ends_with("tests.rs") || path.ends_with("build.rs") || BESIDE.contains(&krate);
    let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if EMPTY_NAMES.contains(&stem) {
        problems.push(format!("{path}: the name says nothing"));
    }
    let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    if is_test {
        return problems;
    }
    if !text.starts_with("//!") {
        problems.push(format!("{path}: has no header that tells what is inside"));
    }
    let lines = shipped.lines().count();
    if lines > HARD_LIMIT || (lines > SOFT_LIMIT && !LONG_FILES.contains(&path)) {
        problems.push(format!("{path}: {lines} lines; is there a second thing inside?"));
    }
    for (number, line) in shipped.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        let here = format!("{path}:{}", number + 1);
        if krate != "pyro-sys"
            && (line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl"))
        {
            problems.push(format!("{here}: unsafe code outside pyro-sys"));
        }
        let below_faces = floor(krate).is_some_and(|floor| floor < FRONT_ENDS) && krate != "pyro-agent";
        if below_faces {
            let found = FACES_ONLY.iter().find(|word| line.contains(**word));
            problems.extend(found.map(|word| format!("{here}: {word} below the front ends")));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_law_holds() {
        run(&crate::root()).unwrap();
    }

    #[test]
    fn arrows_that_point_up_or_sideways_are_found() {
        assert!(arrows("pyro-manager", ["pyro-engine", "tokio"].into_iter()).is_empty());
        assert_eq!(arrows("pyro-engine", ["pyro-manager"].into_iter()).len(), 1);
        assert_eq!(arrows("pyro-engine", ["pyro-guest"].into_iter()).len(), 1, "neighbours");
        assert_eq!(arrows("pyro-cli", ["pyro-engine"].into_iter()).len(), 1, "a front end below the API");
        assert_eq!(arrows("pyro-cli", ["pyro-testkit"].into_iter()).len(), 1);
        assert_eq!(arrows("pyro-new", [].into_iter()).len(), 1, "a crate without a floor");
    }

    #[test]
    fn what_sources_may_not_do_is_found() {
        let problems = |path: &str, text: &str| source(path, text).len();
        assert_eq!(problems("crates/pyro-engine/src/a.rs", "//! x\nfn f() { println!(); }\n"), 1);
        assert_eq!(problems("crates/pyro-cli/src/a.rs", "//! x\nfn f() { println!(); }\n"), 0);
        assert_eq!(problems("crates/pyro-engine/src/a.rs", "//! x\nfn f() { unsafe { g() } }\n"), 1);
        assert_eq!(problems("crates/pyro-sys/src/a.rs", "//! x\nfn f() { unsafe { g() } }\n"), 0);
        assert_eq!(problems("crates/pyro-engine/src/a.rs", "fn f() {}\n"), 1, "no header");
        assert_eq!(problems("crates/pyro-engine/src/utils.rs", "//! x\n"), 1);
        assert_eq!(problems("crates/pyro-engine/src/a.rs", &format!("//! x\n{}", "\n".repeat(401))), 1);
    }
}
