//! What damage on the disk may cost, and the way back: `pyro repair`.

use serde_json::Value;

use super::client::{Running, Told, ask};
use super::world::World;

/// Codes by which an answer says that it could not read everything.
const CODES: [&str; 7] = [
    "record_damaged",
    "record_missing",
    "record_unreadable",
    "registry_unusable",
    "journal_unusable",
    // A bit of a number of a format.
    "newer_record",
    "newer_registry",
];

/// Whether an answer says so.
pub fn is_named(told: &Told) -> bool {
    told.field("code").as_str().is_some_and(|code| CODES.contains(&code))
}

/// Restores what can be restored. A registry whose flipped bit is in the number of its format counts as a newer
/// release's, which only a person can decide about: here he removes it.
///
/// # Errors
/// When the repair makes no sense, or something that it did leaves it something to do.
pub fn mend(world: &World) -> Result<(), String> {
    let mut look = world.pyro();
    look.args(["repair", "--json"]);
    if ask(world, look, &Running::default())?.field("code") == "newer_registry" {
        std::fs::remove_file(world.data().join("registry.sqlite")).map_err(|error| error.to_string())?;
    }
    let mended = repair(world, &["repair", "--apply", "--json"])?;
    let failed = findings(&mended).filter(|finding| finding["failed"].is_string()).count();
    if failed > 0 {
        return Err(format!("a repair failed: {mended:?}"));
    }
    // What it could restore is restored; what it can only keep is still there.
    let left = repair(world, &["repair", "--json"])?;
    if findings(&left).all(|finding| finding["action"] == "keep") {
        return Ok(());
    }
    Err(format!("a repair left something to do: {mended:?}, then {left:?}"))
}

/// Removes a task that nothing can restore, by its whole id.
///
/// # Errors
/// When it does not go.
pub fn remove(world: &World, task: &str) -> Result<(), String> {
    let removed = repair(world, &["repair", "--apply", "--delete", task, "--json"])?;
    let done = findings(&removed).any(|finding| finding["id"] == task && finding["done"] == true);
    if done { mend(world) } else { Err(format!("{task} cannot be removed: {removed:?}")) }
}

fn repair(world: &World, words: &[&str]) -> Result<Told, String> {
    let mut command = world.pyro();
    command.args(words);
    let told = ask(world, command, &Running::default())?;
    if told.field("findings").is_array() { Ok(told) } else { Err(format!("pyro {}: {told:?}", words.join(" "))) }
}

fn findings(told: &Told) -> impl Iterator<Item = &Value> {
    told.field("findings").as_array().into_iter().flatten()
}
