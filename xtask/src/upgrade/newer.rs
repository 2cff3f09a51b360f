//! Files of a later release, in the hands of the release before.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::pair::{Pair, Release};

/// Where an SQLite file has the version of its schema, as four bytes.
const SQLITE_VERSION: usize = 60;
/// Where a log has the number of its format, as a digit.
const LOG_VERSION: usize = 7;

/// A file, and how the number in it is raised.
struct Format {
    path: PathBuf,
    raise: fn(Vec<u8>) -> Option<Vec<u8>>,
    /// What the release before calls it.
    code: &'static str,
}

pub fn play(pair: &mut Pair) -> Result<(), String> {
    let created = pair.say(Release::This, &["task", "create", "debian:12", "--json", "--ttl-seconds", "1800"])?;
    pair.expect(&created, &[("/state", json!("started"))])?;
    let id = created["task_id"].as_str().unwrap_or_default().to_owned();
    let done = pair.say(Release::This, &["task", "exec", &id, "--json", "--", "echo", "kept"])?;
    pair.expect(&done, &[("/stdout", json!("kept\n"))])?;
    pair.kill_supervisor(&id)?;
    let stopped = |status: &serde_json::Value| status["state"] == "stopped";
    pair.await_answer(Release::This, &["task", "status", &id, "--json"], stopped)?;
    for format in formats(pair, &id)? {
        refused(pair, &id, &format)?;
    }
    // Its prune has left the templates that it uses itself.
    let environment = child_with(pair.world.cache(), "environment.json")?;
    let path = child_with(&environment.join("templates"), "template.json")?.join("template.json");
    refused(pair, &id, &Format { path, raise: raise_json, code: "newer_environment" })?;
    let deleted = pair.say(Release::Before, &["task", "delete", &id, "--json"])?;
    pair.expect(&deleted, &[("/deleted", json!(true))])
}

fn formats(pair: &Pair, id: &str) -> Result<Vec<Format>, String> {
    let (home, machine) = (pair.world.data(), pair.world.data().join("vms").join(id));
    let environment = child_with(pair.world.cache(), "environment.json")?;
    Ok(vec![
        Format { path: home.join("registry.sqlite"), raise: raise_registry, code: "newer_registry" },
        Format { path: machine.join("record.json"), raise: raise_json, code: "newer_record" },
        Format { path: machine.join("journal.log"), raise: raise_log, code: "newer_journal" },
        Format { path: environment.join("environment.json"), raise: raise_json, code: "newer_environment" },
    ])
}

/// The release before does everything that reads or mends, and the file is what it was.
fn refused(pair: &mut Pair, id: &str, format: &Format) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", format.path.display());
    let own = fs::read(&format.path).map_err(failed)?;
    let newer =
        (format.raise)(own.clone()).ok_or_else(|| format!("{} has no number to raise", format.path.display()))?;
    fs::write(&format.path, &newer).map_err(failed)?;
    let mut said = Vec::new();
    for words in [
        &["task", "list", "--json"][..],
        &["task", "status", id, "--json"],
        &["task", "logs", id, "--json"],
        &["task", "exec", id, "--json", "--", "true"],
        &["env", "list", "--json"],
        &["env", "prune", "--json"],
        &["run", "debian:12", "--json", "--", "true"],
        &["repair", "--apply", "--json"],
    ] {
        said.push(pair.say(Release::Before, words)?.to_string());
    }
    let left = fs::read(&format.path).map_err(failed)?;
    pair.insist(&format!("{} is left as it is", format.path.display()), left == newer)?;
    let code = format!("\"{}\"", format.code);
    let is_named = said.iter().any(|answer| answer.contains(&code));
    pair.insist(&format!("{} is called {code} in\n{}", format.path.display(), said.join("\n")), is_named)?;
    fs::write(&format.path, &own).map_err(failed)
}

fn raise_json(bytes: Vec<u8>) -> Option<Vec<u8>> {
    let mut text = String::from_utf8(bytes).ok()?;
    let key = "\"format\": ";
    let at = text.find(key)? + key.len();
    let digits = text[at..].find(|letter: char| !letter.is_ascii_digit())?;
    let number: u32 = text[at..at + digits].parse().ok()?;
    text.replace_range(at..at + digits, &(number + 1).to_string());
    Some(text.into_bytes())
}

fn raise_log(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    *bytes.get_mut(LOG_VERSION)? += 1;
    Some(bytes)
}

fn raise_registry(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let place = bytes.get_mut(SQLITE_VERSION..SQLITE_VERSION + 4)?;
    let number = u32::from_be_bytes((&*place).try_into().ok()?);
    place.copy_from_slice(&(number + 1).to_be_bytes());
    Some(bytes)
}

/// The directory below this one that has such a file.
fn child_with(directory: &Path, name: &str) -> Result<PathBuf, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut entries = entries.flatten().map(|entry| entry.path());
    entries.find(|path| path.join(name).exists()).ok_or_else(|| format!("no {name} below {}", directory.display()))
}
