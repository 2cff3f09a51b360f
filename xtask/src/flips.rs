//! `cargo xtask flips [COUNT [SEED]]`: flips one bit of one file at a time, COUNT (500) times, and looks at what
//! every reading command says then.
//!
//! ```text
//! a home with two stopped tasks → copied → one bit flipped → list, status and logs of both
//!   → nothing but what was hit may be missing, what is missing is said, and no file is gone
//! an environment, a template    → one bit flipped → env list and a run: right, or said
//! ```
//!
//! "Said" means that the answer names damage, or a newer release where the flipped bit was in a format number.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::chaos::client::{Running, Told, ask};
use crate::chaos::dice::Dice;
use crate::chaos::fault::flip;
use crate::chaos::world::{World, signal};
use crate::templates::copy;

const COUNT: u64 = 500;
/// Of a hundred flips, so many hit each of these; the rest hits the environment's manifest.
const SHARES: [(Hit, u64); 5] =
    [(Hit::Registry, 24), (Hit::Record, 22), (Hit::Journal, 24), (Hit::Output, 8), (Hit::Template, 10)];
const TEMPLATE_FILES: [&str; 4] = ["template.json", "state", "disk.qcow2", "memory"];

/// What a bit is flipped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hit {
    Registry,
    Record,
    Journal,
    Output,
    Template,
    Manifest,
}

/// The two tasks; a flip hits the first, or what both share.
struct Home {
    pristine: PathBuf,
    hit: String,
    other: String,
    before: Vec<Answer>,
}

/// A question, and what was answered.
#[derive(Clone, Debug)]
struct Answer {
    question: Vec<String>,
    value: Value,
    said: bool,
}

pub fn run(root: &Path, words: &[String]) -> Result<(), String> {
    let number = |at: usize, otherwise: u64| {
        words.get(at).map_or(Ok(otherwise), |word| word.parse().map_err(|_| "usage: cargo xtask flips [COUNT [SEED]]"))
    };
    let now = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs());
    let (count, seed) = (number(0, COUNT)?, number(1, now)?);
    let mut world = World::new(root, false)?;
    world.take_own_cache()?;
    let home = prepare(&world)?;
    println!("flips: {count} single bits, seed {seed}");
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for number in 0..count {
        let mut dice = Dice::new(seed, number);
        let hit = draw(&mut dice);
        let outcome = match hit {
            Hit::Template | Hit::Manifest => in_the_cache(&world, hit, &mut dice),
            _ => in_the_home(&world, &home, hit, &mut dice),
        };
        let outcome =
            outcome.map_err(|problem| format!("flips: number {number} of seed {seed}, {hit:?}: {problem}"))?;
        *counts.entry(format!("{hit:?}: {outcome}")).or_default() += 1;
        if (number + 1) % 50 == 0 {
            println!("flips: {}", number + 1);
        }
    }
    let table: Vec<String> = counts.iter().map(|(word, count)| format!("{count:>6}  {word}")).collect();
    println!("flips: nothing lost beyond what was hit, nothing unsaid\n{}", table.join("\n"));
    Ok(())
}

fn draw(dice: &mut Dice) -> Hit {
    let mut roll = dice.roll(100);
    for (hit, share) in SHARES {
        if roll < share {
            return hit;
        }
        roll -= share;
    }
    Hit::Manifest
}

fn prepare(world: &World) -> Result<Home, String> {
    let create = || -> Result<String, String> {
        let created = say(world, &["task", "create", "debian:12", "--json", "--ttl-seconds", "86400"])?.value;
        let id = created["task_id"].as_str().ok_or_else(|| format!("no task: {created}"))?.to_owned();
        for number in 1..=4 {
            let line = format!("for n in 1 2 3 4 5 6 7 8; do echo line {number} $n; done; exit {number}");
            say(
                world,
                &["task", "exec", &id, "--json", "--attempt-id", &format!("a{number}"), "--", "sh", "-c", &line],
            )?;
        }
        Ok(id)
    };
    let (hit, other) = (create()?, create()?);
    for process in world.processes() {
        signal(process.pid, "KILL");
    }
    // A process that was killed is alive until its files are closed.
    loop {
        let list = say(world, &["task", "list", "--json"])?.value;
        if list["tasks"].as_array().is_some_and(|tasks| tasks.iter().all(|task| task["state"] == "stopped")) {
            break;
        }
    }
    let before = questions(&hit, &other).iter().map(|words| say_owned(world, words)).collect::<Result<Vec<_>, _>>()?;
    if let Some(answer) = before.iter().find(|answer| answer.said || answer.value["ok"] == false) {
        return Err(format!("damage is said before there is any: {answer:?}"));
    }
    let pristine = world.scratch().join("pristine");
    copy(&world.data(), &pristine)?;
    Ok(Home { pristine, hit, other, before })
}

fn questions(hit: &str, other: &str) -> Vec<Vec<String>> {
    let all: [&[&str]; 5] = [
        &["task", "list", "--json"],
        &["task", "status", hit, "--json"],
        &["task", "logs", hit, "--json"],
        &["task", "status", other, "--json"],
        &["task", "logs", other, "--json"],
    ];
    all.iter().map(|words| words.iter().map(|word| (*word).to_owned()).collect()).collect()
}

fn in_the_home(world: &World, home: &Home, hit: Hit, dice: &mut Dice) -> Result<String, String> {
    fs::remove_dir_all(world.data()).map_err(|error| error.to_string())?;
    copy(&home.pristine, &world.data())?;
    let machine = world.data().join("vms").join(&home.hit);
    let path = match hit {
        Hit::Registry => world.data().join("registry.sqlite"),
        Hit::Record => machine.join("record.json"),
        Hit::Journal => machine.join("journal.log"),
        _ => machine.join("output").join(format!("{:06}.stdout", 1 + dice.roll(4))),
    };
    if flip(&path, dice).is_none() {
        return Err(format!("{} cannot be flipped", path.display()));
    }
    let mut outcome = "not noticed, and nothing differs".to_owned();
    for (before, at) in home.before.iter().zip(0..) {
        let after = say_owned(world, &before.question)?;
        let unharmed = contains(&after.value, &before.value);
        let of_the_other = at > 2;
        match (unharmed, after.said) {
            (true, true) => outcome = "said, and nothing is missing".into(),
            (true, false) => {}
            (false, true) if !of_the_other || hit == Hit::Registry => {
                bounded(home, hit, before, &after)?;
                outcome = "said, and what was hit is missing".into();
            }
            (false, _) => return Err(format!("{} is another: {before:?}\n{after:?}", path.display())),
        }
    }
    still_there(&home.pristine.join("vms"), &world.data().join("vms"))?;
    Ok(outcome)
}

/// Nothing is missing but what was hit.
fn bounded(home: &Home, hit: Hit, before: &Answer, after: &Answer) -> Result<(), String> {
    let lost = |problem: &str| Err(format!("{problem}\n{before:?}\n{after:?}"));
    if let (Some(was), Some(is)) = (before.value["tasks"].as_array(), after.value["tasks"].as_array()) {
        let others = was.iter().filter(|task| task["task_id"] == home.other.as_str());
        return if others.clone().all(|task| is.iter().any(|one| contains(one, task))) {
            Ok(())
        } else {
            lost("the list lost another task")
        };
    }
    if let (Some(was), Some(is)) = (before.value["entries"].as_array(), after.value["entries"].as_array()) {
        let missing = was.iter().filter(|entry| !is.iter().any(|one| contains(one, entry))).count();
        return if missing <= 1 || hit == Hit::Record { Ok(()) } else { lost("more than one entry is missing") };
    }
    if hit == Hit::Registry { lost("a damaged registry costs more than itself") } else { Ok(()) }
}

/// Whether everything of `before` is in `after`. A list may have got more fields in its objects; what was empty
/// before may say something now.
fn contains(after: &Value, before: &Value) -> bool {
    match (after, before) {
        (Value::Object(after), Value::Object(before)) => {
            before.iter().all(|(key, value)| after.get(key).is_some_and(|one| contains(one, value)))
        }
        (Value::Array(after), Value::Array(before)) if !before.is_empty() => {
            // The order of a list is the index's affair.
            after.len() == before.len() && before.iter().all(|other| after.iter().any(|one| contains(one, other)))
        }
        (_, Value::Null) => true,
        (Value::Array(_), Value::Array(_)) => true,
        _ => after == before,
    }
}

/// Every file that was below `before` is below `after`.
fn still_there(before: &Path, after: &Path) -> Result<(), String> {
    for entry in fs::read_dir(before).map_err(|error| error.to_string())?.flatten() {
        let (from, to) = (entry.path(), after.join(entry.file_name()));
        if from.is_dir() {
            still_there(&from, &to)?;
        } else if !to.exists() {
            return Err(format!("{} is gone", to.display()));
        }
    }
    Ok(())
}

/// The environment's manifest, or a file of its template: put back afterwards.
fn in_the_cache(world: &World, hit: Hit, dice: &mut Dice) -> Result<String, String> {
    let environment = environment(world.cache())?;
    let path = if hit == Hit::Manifest {
        environment.join("environment.json")
    } else {
        let right = say(world, &["run", "debian:12", "--json", "--", "echo", "told"])?;
        if right.value["stdout"] != "told\n" {
            return Err(format!("a run before the flip: {right:?}"));
        }
        template(&environment)?.join(dice.pick(&TEMPLATE_FILES))
    };
    let kept = (hit == Hit::Manifest).then(|| fs::read(&path)).transpose().map_err(|error| error.to_string())?;
    let inode = inode(&environment)?;
    if flip(&path, dice).is_none() {
        return Err(format!("{} cannot be flipped", path.display()));
    }
    let list = say(world, &["env", "list", "--json"])?;
    let run = say_without_network(world, &["run", "debian:12", "--json", "--", "echo", "told"])?;
    if self::inode(&environment)? != inode {
        return Err(format!("the environment was removed: {list:?} {run:?}"));
    }
    let right = run.value["stdout"] == "told\n";
    if let Some(bytes) = kept {
        fs::write(&path, bytes).map_err(|error| error.to_string())?;
    }
    match (right, run.said || list.said) {
        (true, true) => Ok("said, and the run is right".into()),
        (true, false) => Ok("not noticed, or mended, and the run is right".into()),
        (false, true) => Ok("said, and nothing ran".into()),
        (false, false) => Err(format!("{}: {list:?}\n{run:?}", path.display())),
    }
}

fn environment(cache: &Path) -> Result<PathBuf, String> {
    let mut entries = fs::read_dir(cache).map_err(|error| error.to_string())?.flatten().map(|entry| entry.path());
    entries.find(|path| path.join("environment.json").exists()).ok_or_else(|| "no environment is left".to_owned())
}

fn template(environment: &Path) -> Result<PathBuf, String> {
    let entries = fs::read_dir(environment.join("templates")).map_err(|error| error.to_string())?;
    let mut entries = entries.flatten().map(|entry| entry.path());
    entries.find(|path| path.join("template.json").exists()).ok_or_else(|| "no template is left".to_owned())
}

fn inode(path: &Path) -> Result<u64, String> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map(|metadata| metadata.ino()).map_err(|error| format!("{}: {error}", path.display()))
}

/// A damaged environment is pulled again, and what is damaged goes when that is done. Here it cannot be done: the
/// program that fetches fails at once.
fn say_without_network(world: &World, words: &[&str]) -> Result<Answer, String> {
    use std::os::unix::fs::PermissionsExt;
    let directory = world.scratch().join("no-network");
    let fetcher = directory.join("mmdebstrap");
    let make = || {
        fs::create_dir_all(&directory)?;
        fs::write(&fetcher, "#!/bin/sh\necho there is no network >&2\nexit 1\n")?;
        fs::set_permissions(&fetcher, fs::Permissions::from_mode(0o755))
    };
    make().map_err(|error| format!("{}: {error}", fetcher.display()))?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = world.pyro();
    command.env("PATH", format!("{}:{path}", directory.display())).args(words);
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    answer(world, command, &words)
}

fn say(world: &World, words: &[&str]) -> Result<Answer, String> {
    say_owned(world, &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
}

fn say_owned(world: &World, words: &[String]) -> Result<Answer, String> {
    let mut command = world.pyro();
    command.args(words);
    answer(world, command, words)
}

fn answer(world: &World, command: Command, words: &[String]) -> Result<Answer, String> {
    match ask(world, command, &Running::default())? {
        Told::Object(value) => {
            let text = value.to_string().to_lowercase();
            let said = ["damage", "newer", "unusable"].iter().any(|word| text.contains(word));
            Ok(Answer { question: words.to_vec(), value, said })
        }
        other => Err(format!("pyro {}: {other:?}", words.join(" "))),
    }
}
