//! A client: one command of `pyro` at a time, each with a bounded wait.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::dice::Dice;
use super::world::World;

/// No command of a scenario takes near as long, whatever happens to it.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Clients that run, for faults to find.
#[derive(Default)]
pub struct Running(Mutex<Vec<i32>>);

impl Running {
    pub fn pick(&self, dice: &mut Dice) -> Option<i32> {
        let pids = self.0.lock().expect("nobody panics with it");
        (!pids.is_empty()).then(|| *dice.pick(&pids))
    }
}

/// What a client was told.
#[derive(Clone, Debug)]
pub enum Told {
    /// An object on its output. Errors are objects with a `code`.
    Object(Value),
    /// It was killed.
    Killed,
    /// It ended, and what it said is this.
    Nonsense(String),
}

impl Told {
    pub fn field(&self, name: &str) -> &Value {
        match self {
            Self::Object(object) => &object[name],
            _ => &Value::Null,
        }
    }
}

/// Runs a command and awaits its end.
///
/// # Errors
/// When it does not end.
pub fn ask(world: &World, command: Command, running: &Running) -> Result<Told, String> {
    ask_within(world, command, running, TIMEOUT)
}

/// The same with another bound of its time.
///
/// # Errors
/// When it does not end.
pub fn ask_within(world: &World, mut command: Command, running: &Running, timeout: Duration) -> Result<Told, String> {
    let name = format!("{:016x}", rand_name());
    let place = |kind: &str| -> PathBuf { world.scratch().join(format!("{name}.{kind}")) };
    let create = |kind| File::create(place(kind)).map_err(|error| error.to_string());
    command.stdout(create("out")?).stderr(create("err")?);
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let pid = child.id() as i32;
    running.0.lock().expect("nobody panics with it").push(pid);
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break Some(status),
            None if began.elapsed() > timeout => break None,
            None => std::thread::sleep(Duration::from_millis(3)),
        }
    };
    running.0.lock().expect("nobody panics with it").retain(|one| *one != pid);
    let read = |kind| String::from_utf8_lossy(&std::fs::read(place(kind)).unwrap_or_default()).into_owned();
    let (out, err) = (read("out"), read("err"));
    ["out", "err"].iter().for_each(|kind| drop(std::fs::remove_file(place(kind))));
    let Some(status) = status else {
        let stack = std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("{command:?} did not end in {timeout:?} ({stack})\n{out}\n{err}"));
    };
    // Nobody here sends another signal that ends a client: it is the client's own, as a panic's is.
    if status.signal() == Some(9) {
        return Ok(Told::Killed);
    }
    Ok(serde_json::from_str(&out).map_or(Told::Nonsense(format!("{status}: {out}{err}")), Told::Object))
}

fn rand_name() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(())
}
