//! What was told, what the journal says, and what the guest itself wrote.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Running, Told, ask};
use super::damage::Damage;
use super::dice::Dice;
use super::fault::Target;
use super::world::World;

/// Where commands write down, in the guest, that they began and that they ended.
const BOOK: &str = "/workspace/.book";
/// How long something that was killed may take to be gone.
const GRACE: Duration = Duration::from_secs(20);

/// A command that a client wants to be run once.
#[derive(Clone, Debug)]
pub struct Wish {
    token: String,
    body: &'static str,
    /// Bytes of output it makes.
    output: u64,
    exit_code: i64,
    timeout: u32,
}

impl Wish {
    pub fn draw(dice: &mut Dice, token: String) -> Self {
        let (body, output, timeout) = *dice.pick(&[
            (":", 0, 60),
            (":", 0, 60),
            ("sleep 0.1", 0, 60),
            ("sleep 0.4", 0, 60),
            ("head -c 300000 /dev/zero | tr '\\0' x", 300_000, 60),
            ("head -c 2000000 /dev/zero | tr '\\0' x", 2_000_000, 60),
            ("sleep 100", 0, 1),
        ]);
        Self { token, body, output, exit_code: dice.roll(100) as i64, timeout }
    }

    fn times_out(&self) -> bool {
        self.timeout == 1
    }

    pub fn command(&self, world: &World, task: &str, clock_offset: i64) -> Command {
        let Self { token, body, exit_code, timeout, .. } = self;
        let script = format!("echo {token} begins >> {BOOK}; {body}; echo {token} ends >> {BOOK}; exit {exit_code}");
        let mut command = world.pyro_at(clock_offset);
        command.args(["task", "exec", task, "--json", "--attempt-id", token]);
        command.args(["--timeout-seconds", &timeout.to_string(), "--", "sh", "-c", &script]);
        command
    }
}

/// What can have come of what happened.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The machine is gone.
    pub may_be_gone: bool,
    /// A client with a fast clock took the task for expired.
    pub may_be_expired: bool,
    /// The disk was full when the guest wrote.
    pub may_forget: bool,
}

/// Compares all three, and removes the task.
pub fn compare(
    world: &World,
    task: &str,
    told: &[(Wish, Told)],
    circumstances: Circumstances,
    damage: &mut Damage,
    words: &mut Vec<String>,
) -> Result<(), String> {
    let quietly = Running::default();
    damage.undo_newer_registry(world, words)?;
    // What was said at first must be true, too.
    told.iter().try_for_each(|(wish, told)| can_be_true(wish, told, circumstances, damage))?;
    // Whoever heard nothing, or no outcome, asks again: what was done is not done again.
    let mut again = Vec::new();
    for (wish, told) in told {
        if told.field("exit_code").is_null() {
            let answer = ask(world, wish.command(world, task, 0), &quietly)?;
            can_be_true(wish, &answer, circumstances, damage)?;
            let now =
                if answer.field("exit_code").is_null() { "had no outcome, twice" } else { "had no outcome, then one" };
            words.push(format!("command that {now}"));
            words.push(format!("answer: {}", code(&answer)));
            again.push((wish, answer));
        } else {
            words.push("command with an outcome".into());
            again.push((wish, told.clone()));
        }
    }
    let logs = say(world, &["task", "logs", task, "--json"])?;
    let Some(entries) = logs.field("entries").as_array() else {
        let code = logs.field("code").as_str().unwrap_or_default();
        if damage.is_named_by(code) {
            words.push(format!("journal not shown: {code}"));
            is_kept(world, task)?;
            return damage.clear(world, task, words);
        }
        let expired = circumstances.may_be_expired && ["expired", "deleted"].contains(&code);
        words.push("task expired by a client's clock".into());
        return if expired { Ok(()) } else { Err(format!("the task is gone: {logs:?}")) };
    };
    is_kept(world, task)?;
    damage.read_problems(&logs)?;
    let mut journal: BTreeMap<&str, &Value> = BTreeMap::new();
    for entry in entries {
        if let Some(attempt) = entry["attempt_id"].as_str()
            && journal.insert(attempt, entry).is_some()
        {
            return Err(format!("{attempt} is in the journal twice"));
        }
        has_its_output(entry, damage)?;
    }
    let orphans = entries.iter().filter(|entry| entry["command"].as_str().is_some_and(|text| text.contains("damaged")));
    if orphans.clone().count() > damage.of(Target::Journal) {
        return Err(format!("more commands than bits that were flipped are unknown: {entries:?}"));
    }
    for (wish, told) in &again {
        agrees(wish, told, journal.get(wish.token.as_str()).copied(), damage)?;
    }
    let book = say(world, &["task", "exec", task, "--json", "--timeout-seconds", "60", "--", "cat", BOOK])?;
    if let Some(text) = book.field("stdout").as_str() {
        words.push("task whose machine lived on".into());
        for (wish, _) in &again {
            is_in_the_book(wish, text, journal.get(wish.token.as_str()).copied(), circumstances.may_forget, damage)?;
        }
        let answers =
            told.iter().map(|(wish, told)| (wish, told)).chain(again.iter().map(|(wish, told)| (*wish, told)));
        if let Some((wish, told)) = answers.into_iter().find(|(_, told)| told.field("code") == "task_stopped") {
            return Err(format!("{wish:?} was told that a living task is stopped: {told:?}"));
        }
    } else if !circumstances.may_be_gone {
        return Err(format!("nothing that happened ends a machine, and it is gone: {book:?}"));
    } else {
        words.push("task whose machine was gone".into());
    }
    damage.clear(world, task, words)
}

/// What a client was told is a result, or an error that can be true.
fn can_be_true(wish: &Wish, told: &Told, circumstances: Circumstances, damage: &Damage) -> Result<(), String> {
    match told {
        Told::Killed => Ok(()),
        Told::Nonsense(said) => Err(format!("neither a result nor an error: {wish:?}: {said}")),
        Told::Object(_) => {
            let code = told.field("code").as_str().unwrap_or_default();
            let is_true = match code {
                "expired" | "deleted" if circumstances.may_be_expired => true,
                "expired" => false,
                code => damage.explains(code),
            };
            if is_true { Ok(()) } else { Err(format!("it cannot be true: {wish:?}: {told:?}")) }
        }
    }
}

/// The task's directory and journal are there.
fn is_kept(world: &World, task: &str) -> Result<(), String> {
    let machine = world.data().join("vms").join(task);
    let missing = ["record.json", "journal.log"].iter().find(|name| !machine.join(name).exists());
    missing.map_or(Ok(()), |name| Err(format!("{} is gone", machine.join(name).display())))
}

/// The files with a command's output are there. What was hit is said to be damaged, where all of it is shown.
fn has_its_output(entry: &Value, damage: &Damage) -> Result<(), String> {
    for stream in ["stdout", "stderr"] {
        let file = entry[format!("{stream}_file")].as_str().unwrap_or_default();
        if !Path::new(file).exists() {
            return Err(format!("{file} is gone: {entry}"));
        }
    }
    let is_damaged = entry["stdout_cut"].as_str().is_some_and(|why| why.contains("damaged"));
    if is_damaged && damage.of(Target::Output) == 0 {
        return Err(format!("output is said to be damaged that nothing hit: {entry}"));
    }
    // Every command writes one letter, and that only.
    let text = entry["stdout"].as_str().unwrap_or_default();
    let is_whole = entry["stdout_truncated"] == false && entry["status"] == "finished";
    if is_whole && !is_damaged && text.chars().any(|letter| letter != 'x') {
        return Err(format!("output is another, and nothing says so: {file}", file = entry["stdout_file"]));
    }
    Ok(())
}

fn code(told: &Told) -> String {
    let code = told.field("code").as_str().or(told.field("status").as_str());
    code.unwrap_or("a result").to_owned()
}

pub fn say(world: &World, words: &[&str]) -> Result<Told, String> {
    let mut command = world.pyro();
    command.args(words);
    ask(world, command, &Running::default())
}

/// A client's answer and the journal's entry.
fn agrees(wish: &Wish, told: &Told, entry: Option<&Value>, damage: &mut Damage) -> Result<(), String> {
    let problem = |what: &str| Err(format!("{what}\nwish: {wish:?}\ntold: {told:?}\njournal: {entry:?}"));
    if let Told::Nonsense(said) = told {
        return problem(&format!("neither a result nor an error: {said}"));
    }
    let outcome = told.field("exit_code");
    let Some(entry) = entry else {
        let known = outcome.is_null() || damage.explains_a_loss_of(&wish.token);
        return if known { Ok(()) } else { problem("an outcome that is in no journal") };
    };
    if entry["status"] == "running" {
        return problem("it runs for ever");
    }
    let expected = if wish.times_out() { ("timed_out", 124) } else { ("finished", wish.exit_code) };
    match entry["status"].as_str().unwrap_or_default() {
        "lost" if outcome.is_null() && entry["exit_code"].is_null() => Ok(()),
        "lost"
            if entry["exit_code"].is_null()
                && outcome == expected.1
                && entry["reason"].as_str().is_some_and(|why| why.contains("damaged"))
                && damage.explains_a_loss_of(&wish.token) =>
        {
            Ok(())
        }
        status if status == expected.0 && entry["exit_code"] == expected.1 => {
            if !outcome.is_null() && outcome != expected.1 {
                return problem("another outcome than the journal's");
            }
            let whole = entry["stdout_bytes"] == wish.output || entry["stdout_truncated"] == true;
            if whole { Ok(()) } else { problem("output that is not all there, and nothing says so") }
        }
        _ => problem("an outcome that cannot be"),
    }
}

/// The guest's own words.
fn is_in_the_book(
    wish: &Wish,
    book: &str,
    entry: Option<&Value>,
    may_forget: bool,
    damage: &mut Damage,
) -> Result<(), String> {
    let count = |what: &str| book.lines().filter(|line| **line == format!("{} {what}", wish.token)).count();
    let (begins, ends) = (count("begins"), count("ends"));
    let unknown = entry.is_none() && begins > 0 && (damage.hit(&wish.token) || damage.explains_a_loss_of(&wish.token));
    let expected = match entry.and_then(|entry| entry["status"].as_str()) {
        None if unknown && begins <= 1 && ends <= begins => (begins, ends),
        None => (0, 0),
        // Its time may have been up before its first line ran.
        Some("timed_out") => (begins.min(1), 0),
        Some("finished") => (1, 1),
        Some(_) if begins <= 1 && ends <= begins => (begins, ends),
        Some(_) => (1, 1),
    };
    let forgotten = may_forget && begins <= expected.0 && ends <= expected.1;
    if (begins, ends) == expected || forgotten {
        return Ok(());
    }
    Err(format!("the guest says {begins} beginnings and {ends} ends of {wish:?}, the journal {entry:?}"))
}

/// A task whose creator was killed is his who finds it, or goes.
pub fn nobodys_tasks_go(world: &World) -> Result<(), String> {
    let listed = say(world, &["task", "list", "--json"])?;
    for task in listed.field("tasks").as_array().into_iter().flatten() {
        let id = task["task_id"].as_str().unwrap_or_default();
        // One that was finished in the moment in which its creator was killed stays, and works.
        let deleted = say(world, &["task", "delete", id, "--json"])?;
        let gone = deleted.field("code").is_string();
        if !gone && deleted.field("deleted") != &Value::Bool(true) {
            return Err(format!("a task of a killed creator cannot be deleted: {deleted:?}"));
        }
    }
    Ok(())
}

/// No machine, no directory, no process.
pub fn nothing_is_left(world: &World) -> Result<(), String> {
    let listed = say(world, &["task", "list", "--json"])?;
    if listed.field("tasks").as_array().is_none_or(|tasks| !tasks.is_empty()) {
        return Err(format!("tasks are left: {listed:?}"));
    }
    let began = Instant::now();
    loop {
        let (machines, processes) = (world.machines(), world.processes());
        if machines.is_empty() && processes.is_empty() {
            return Ok(());
        }
        if began.elapsed() > GRACE {
            let processes: Vec<String> =
                processes.iter().map(|one| format!("{} {}", one.pid, one.words.join(" "))).collect();
            return Err(format!("left: {machines:?}\n{}", processes.join("\n")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
