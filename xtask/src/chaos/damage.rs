//! What flipped bits may cost: nothing but what they hit, and only where the answer says so.
//!
//! ```text
//! registry ─▶ nothing: the records are the truth       journal ─▶ one command each: missing, or lost, and said
//! record   ─▶ nothing, while the registry has it       output  ─▶ the text that was hit, and said
//! any: the answer may name it (a format number that was hit: a newer release), and refuse
//! ```
//!
//! Nothing is deleted. What is left is restored or deleted by `pyro repair`, which finds nothing afterwards.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use serde_json::Value;

use super::client::Told;
use super::fault::{Flipped, Target};
use super::truth::say;
use super::world::World;

/// Codes that are untrue whatever happens here: nobody deletes the task, and the environment is whole.
const NEVER: &[&str] = &[
    "unknown_task",
    "deleted",
    "unknown_environment",
    "not_installed",
    "environment_damaged",
    "environment_changed",
    "attempt_conflict",
    "unknown_sequence",
    "qemu_missing",
    "qemu_too_old",
    "passt_missing",
];
/// Codes that are true only after a bit of this was flipped.
const DAMAGED: &[(&str, &[Target])] = &[
    ("newer_registry", &[Target::Registry]),
    ("registry_unusable", &[Target::Registry]),
    ("newer_record", &[Target::Record]),
    ("record_damaged", &[Target::Record]),
    ("record_missing", &[Target::Record]),
    ("record_unreadable", &[Target::Record]),
    ("newer_journal", &[Target::Journal]),
    ("journal_damaged", &[Target::Journal]),
    ("journal_unusable", &[Target::Journal]),
];
/// Where SQLite keeps the version of the registry's form.
const VERSION: std::ops::Range<u64> = 60..64;

/// The bits that were flipped, and the commands whose journal they hit as far as is known.
#[derive(Debug, Default)]
pub struct Damage {
    flips: Vec<(Target, Flipped)>,
    hit: BTreeSet<String>,
    /// `task logs` says that the journal is damaged.
    journal_is_said: bool,
}

impl Damage {
    pub fn add(&mut self, target: Target, flipped: Flipped) {
        self.flips.push((target, flipped));
    }

    pub fn is_any(&self) -> bool {
        !self.flips.is_empty()
    }

    pub fn of(&self, target: Target) -> usize {
        self.flips.iter().filter(|(one, _)| *one == target).count()
    }

    /// Whether this code can be true. An expired task is the circumstances' affair.
    pub fn explains(&self, code: &str) -> bool {
        let damaged = DAMAGED.iter().find(|(one, _)| *one == code);
        !NEVER.contains(&code) && damaged.is_none_or(|(_, targets)| targets.iter().any(|target| self.of(*target) > 0))
    }

    /// Whether the code says that something is damaged, and something of that was hit.
    pub fn is_named_by(&self, code: &str) -> bool {
        DAMAGED.iter().any(|(one, _)| *one == code) && self.explains(code)
    }

    /// Looks at what an answer names as damaged.
    ///
    /// # Errors
    /// When nothing of that was hit.
    pub fn read_problems(&mut self, answer: &Told) -> Result<(), String> {
        for problem in answer.field("problems").as_array().into_iter().flatten() {
            let code = problem["code"].as_str().unwrap_or_default();
            if !self.is_named_by(code) {
                return Err(format!("damage that nothing did: {answer:?}"));
            }
            self.journal_is_said |= code == "journal_damaged";
        }
        Ok(())
    }

    /// Whether a flipped bit is why the journal does not know this command, or not its end: each hits one.
    pub fn explains_a_loss_of(&mut self, token: &str) -> bool {
        self.hit.insert(token.to_owned());
        self.journal_is_said && self.hit.len() <= self.of(Target::Journal)
    }

    /// Whether the journal's loss of this command was explained.
    pub fn hit(&self, token: &str) -> bool {
        self.hit.contains(token)
    }

    /// A registry whose version was hit is of a newer release, which this one leaves alone. The bits get their
    /// value back.
    pub fn undo_newer_registry(&self, world: &World, words: &mut Vec<String>) -> Result<(), String> {
        if self.of(Target::Registry) == 0
            || say(world, &["task", "list", "--json"])?.field("code") != &Value::from("newer_registry")
        {
            return Ok(());
        }
        words.push("registry taken for a newer release's".into());
        let path = world.data().join("registry.sqlite");
        let file = File::options().write(true).open(path).map_err(|error| error.to_string())?;
        let flips = self.flips.iter().rev().filter(|(target, _)| *target == Target::Registry);
        for (_, Flipped { at, was }) in flips.filter(|(_, flipped)| VERSION.contains(&flipped.at)) {
            file.write_all_at(&[*was], *at).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Repairs what can be repaired, and removes the task.
    ///
    /// # Errors
    /// When it cannot be removed, or something is damaged still.
    pub fn clear(&self, world: &World, task: &str, words: &mut Vec<String>) -> Result<(), String> {
        if !self.is_any() {
            return delete(world, task)?.map_err(|answer| format!("it cannot be deleted: {answer:?}"));
        }
        let repaired = repair(world, &["--apply"], words)?;
        if let Err(answer) = delete(world, task)? {
            if !self.is_named_by(answer.field("code").as_str().unwrap_or_default()) {
                return Err(format!("it cannot be deleted: {answer:?}\nrepaired: {repaired}"));
            }
            let removed = repair(world, &["--apply", "--delete", task], words)?;
            let mut findings = removed["findings"].as_array().into_iter().flatten();
            if !findings.any(|finding| finding["action"] == "delete" && finding["done"] == true) {
                return Err(format!("neither deleted, nor by a repair: {answer:?}\n{removed}"));
            }
        }
        match repair(world, &[], words)? {
            found if found["count"] == 0 => Ok(()),
            found => Err(format!("damaged still: {found}\nrepaired: {repaired}")),
        }
    }
}

fn delete(world: &World, task: &str) -> Result<Result<(), Told>, String> {
    let answer = say(world, &["task", "delete", task, "--json"])?;
    Ok(if answer.field("deleted") == &Value::Bool(true) { Ok(()) } else { Err(answer) })
}

fn repair(world: &World, more: &[&str], words: &mut Vec<String>) -> Result<Value, String> {
    let answer = say(world, &[&["repair", "--json"], more].concat())?;
    let Some(findings) = answer.field("findings").as_array() else {
        return Err(format!("nothing can be repaired: {answer:?}"));
    };
    if findings.iter().any(|finding| finding["failed"].is_string()) {
        return Err(format!("a repair failed: {answer:?}"));
    }
    let done = findings.iter().filter(|finding| finding["done"] == true);
    words.extend(done.map(|finding| format!("repair: {}", finding["action"].as_str().unwrap_or_default())));
    match answer {
        Told::Object(value) => Ok(value),
        other => Err(format!("{other:?}")),
    }
}
