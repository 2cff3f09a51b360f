//! What goes wrong, and how it is undone.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::client::Running;
use super::dice::Dice;
use super::world::{World, signal};

/// Who it happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    Client,
    Supervisor,
    Machine,
    Network,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Kill(Victim),
    /// Stopped, and resumed after so long.
    Stop(Victim, Duration),
    /// The guest's kernel is told to crash.
    Crash,
    /// The disk of all machines and journals is full for so long.
    Fill(Duration),
    /// The process may open no more files for so long.
    Descriptors(Victim, Duration),
    /// Every processor has twice as much to do for so long.
    Busy(Duration),
    /// A bit of a file on the disk is another one.
    Flip(Target),
}

/// What a bit is flipped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Registry,
    Record,
    Journal,
    /// One of the files with the output of commands.
    Output,
}

/// The byte that was hit, and what it was before.
#[derive(Clone, Copy, Debug)]
pub struct Flipped {
    pub at: u64,
    pub was: u8,
}

/// What came of a fault.
pub enum Happened {
    ToNobody,
    Undone,
    /// It stays.
    Flipped(Target, Flipped),
}

impl From<bool> for Happened {
    fn from(somebody: bool) -> Self {
        if somebody { Self::Undone } else { Self::ToNobody }
    }
}

/// A fault, and when it happens, after the scenario's beginning.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub after: Duration,
    pub fault: Fault,
}

impl Fault {
    pub fn draw(dice: &mut Dice, network: bool, may_fill: bool) -> Self {
        let mut victims = vec![Victim::Client, Victim::Client, Victim::Supervisor, Victim::Machine];
        if network {
            victims.extend([Victim::Network; 2]);
        }
        let victim = *dice.pick(&victims);
        let time = Duration::from_millis(20 + dice.roll(600));
        match dice.roll(13) {
            10 => return Self::Busy(time * 3),
            11 | 12 => {
                return Self::Flip(*dice.pick(&[Target::Registry, Target::Record, Target::Journal, Target::Output]));
            }
            _ => {}
        }
        match dice.roll(10) {
            0..=2 => Self::Kill(victim),
            3..=6 => Self::Stop(victim, time),
            7 => Self::Crash,
            8 if may_fill => Self::Fill(time),
            _ if victim == Victim::Network => Self::Kill(victim),
            _ => Self::Descriptors(victim, time),
        }
    }

    pub fn as_str(self) -> String {
        match self {
            Self::Kill(victim) => format!("{victim:?} killed").to_lowercase(),
            Self::Stop(victim, _) => format!("{victim:?} stopped and resumed").to_lowercase(),
            Self::Crash => "guest crashed".into(),
            Self::Fill(_) => "disk full".into(),
            Self::Descriptors(victim, _) => format!("{victim:?} out of descriptors").to_lowercase(),
            Self::Busy(_) => "host busy".into(),
            Self::Flip(target) => format!("bit flipped in the {target:?}").to_lowercase(),
        }
    }

    /// Whether a machine may be gone after it.
    pub fn may_end_the_machine(self) -> bool {
        !matches!(
            self,
            Self::Kill(Victim::Client | Victim::Network)
                | Self::Stop(..)
                | Self::Descriptors(Victim::Client, _)
                | Self::Busy(_)
                | Self::Flip(_)
        )
    }

    /// Lets it happen, and undoes it. Returns when it is over; says whether there was a victim.
    pub fn happen(self, world: &World, task: &str, running: &Running, dice: &mut Dice) -> Happened {
        if let Self::Flip(target) = self {
            let flipped = place(target, world, task, dice).and_then(|path| flip(&path, dice));
            return flipped.map_or(Happened::ToNobody, |flipped| Happened::Flipped(target, flipped));
        }
        self.happen_and_end(world, task, running, dice).into()
    }

    fn happen_and_end(self, world: &World, task: &str, running: &Running, dice: &mut Dice) -> bool {
        match self {
            Self::Kill(victim) => {
                let found = find(victim, world, task, running, dice);
                found.iter().for_each(|pid| signal(*pid, "KILL"));
                !found.is_empty()
            }
            Self::Stop(victim, time) => {
                let found = find(victim, world, task, running, dice);
                found.iter().for_each(|pid| signal(*pid, "STOP"));
                std::thread::sleep(time);
                found.iter().for_each(|pid| signal(*pid, "CONT"));
                !found.is_empty()
            }
            Self::Crash => {
                let mut command = world.pyro();
                command.args(["task", "exec", task, "--timeout-seconds", "5", "--", "sh", "-c"]);
                command.arg("echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger");
                command.stdout(Stdio::null()).stderr(Stdio::null());
                super::client::ask(world, command, running).is_ok()
            }
            Self::Fill(time) => {
                let filler = world.data().join("filler");
                let _ = Command::new("dd")
                    .args(["if=/dev/zero", "bs=64k"])
                    .arg(format!("of={}", filler.display()))
                    .stderr(Stdio::null())
                    .status();
                std::thread::sleep(time);
                fs::remove_file(filler).is_ok()
            }
            Self::Descriptors(victim, time) => {
                let found = find(victim, world, task, running, dice);
                found.iter().for_each(|pid| {
                    limit_descriptors(*pid, Some(fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().count()))
                });
                std::thread::sleep(time);
                found.iter().for_each(|pid| limit_descriptors(*pid, None));
                !found.is_empty()
            }
            Self::Busy(time) => {
                keep_busy(time);
                true
            }
            Self::Flip(_) => false,
        }
    }
}

/// The file that is hit. An output is one of those that have bytes.
fn place(target: Target, world: &World, task: &str, dice: &mut Dice) -> Option<PathBuf> {
    let machine = world.data().join("vms").join(task);
    Some(match target {
        Target::Registry => world.data().join("registry.sqlite"),
        Target::Record => machine.join("record.json"),
        Target::Journal => machine.join("journal.log"),
        Target::Output => {
            let files = fs::read_dir(machine.join("output")).into_iter().flatten().flatten();
            let has_bytes = |entry: &fs::DirEntry| entry.metadata().is_ok_and(|metadata| metadata.len() > 0);
            let mut files: Vec<PathBuf> = files.filter(has_bytes).map(|entry| entry.path()).collect();
            files.sort();
            (!files.is_empty()).then(|| dice.pick(&files).clone())?
        }
    })
}

/// Two threads for each processor compute for so long.
fn keep_busy(time: Duration) {
    let threads = 2 * std::thread::available_parallelism().map_or(2, usize::from);
    let end = Instant::now() + time;
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| {
            scope.spawn(|| {
                while Instant::now() < end {
                    std::hint::black_box((0..100_000u64).fold(0, |sum, number| sum ^ number));
                }
            });
        });
    });
}

/// Flips one bit of a file in place; says which byte it hit, where there was one.
pub fn flip(path: &Path, dice: &mut Dice) -> Option<Flipped> {
    let mut flipped = || -> std::io::Result<Option<Flipped>> {
        let file = fs::File::options().read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        if length == 0 {
            return Ok(None);
        }
        let (at, mut byte) = (dice.roll(length), [0]);
        file.read_exact_at(&mut byte, at)?;
        let [was] = byte;
        byte[0] ^= 1 << dice.roll(8);
        file.write_all_at(&byte, at)?;
        Ok(Some(Flipped { at, was }))
    };
    flipped().unwrap_or(None)
}

/// Allows so many descriptors, or as many as are allowed at most.
fn limit_descriptors(pid: i32, max: Option<usize>) {
    let max = max.map_or("4096:".to_owned(), |max| format!("{max}:"));
    let _ = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--nofile={max}")])
        .stderr(Stdio::null())
        .status();
}

fn find(victim: Victim, world: &World, task: &str, running: &Running, dice: &mut Dice) -> Vec<i32> {
    if victim == Victim::Client {
        return running.pick(dice).into_iter().collect();
    }
    let machine = format!("pyro-{task}");
    let processes = world.processes();
    let has = |words: &[String], word: &str| words.iter().any(|one| one == word);
    let supervisor = |words: &[String]| has(words, "supervise") && has(words, task);
    let supervisors: Vec<i32> =
        processes.iter().filter(|process| supervisor(&process.words)).map(|process| process.pid).collect();
    let wanted = processes.iter().filter(|process| match victim {
        Victim::Client => false,
        Victim::Supervisor => supervisor(&process.words),
        Victim::Machine => has(&process.words, &machine),
        Victim::Network => {
            supervisors.contains(&process.parent) && process.words.first().is_some_and(|word| word.contains("passt"))
        }
    });
    wanted.map(|process| process.pid).collect()
}
