//! One scenario: drawn, played, and judged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::client::{Running, Told, ask, ask_within};
use super::damage::Damage;
use super::dice::Dice;
use super::fault::{Fault, Happened, Planned, Victim};
use super::truth::{self, Circumstances, Wish};
use super::world::World;

/// What a client with few descriptors may take: none of its commands takes half as long.
const SOON: Duration = Duration::from_secs(10);
/// Seconds that a client's clock is off, for those whose clock is.
const OFFSETS: [i64; 3] = [-86_400, -1, 3_600];

/// What one client does, in order.
pub struct Client {
    pub wishes: Vec<Wish>,
    pub clock_offset: i64,
    /// How many descriptors it is born with, where it has few.
    pub descriptors: Option<u64>,
}

pub struct Scenario {
    pub network: bool,
    /// A one-shot run beside the clients.
    pub run: bool,
    /// When its creator is killed, where that happens.
    pub creator_killed: Option<Duration>,
    pub clients: Vec<Client>,
    pub faults: Vec<Planned>,
}

impl Scenario {
    pub fn draw(dice: &mut Dice, number: u64, may_fill: bool) -> Self {
        let network = dice.chance(15);
        let clients = (0..1 + dice.roll(4)).map(|client| Client {
            wishes: (0..1 + dice.roll(3)).map(|turn| Wish::draw(dice, format!("s{number}c{client}t{turn}"))).collect(),
            clock_offset: if dice.chance(8) { *dice.pick(&OFFSETS) } else { 0 },
            descriptors: dice.chance(8).then(|| 4 + dice.roll(40)),
        });
        let clients = clients.collect();
        let faults = (0..1 + dice.roll(3)).map(|_| Planned {
            after: Duration::from_millis(dice.roll(900)),
            fault: Fault::draw(dice, network, may_fill),
        });
        let mut faults: Vec<Planned> = faults.collect();
        faults.sort_by_key(|planned| planned.after);
        let creator_killed = dice.chance(10).then(|| Duration::from_millis(dice.roll(300)));
        Self { network, run: dice.chance(20), creator_killed, clients, faults }
    }
}

/// Plays scenario `number`; returns words for the statistics.
///
/// # Errors
/// What was lost, left or invented.
pub fn play(world: &World, seed: u64, number: u64) -> Result<Vec<String>, String> {
    let mut dice = Dice::new(seed, number);
    let scenario = Scenario::draw(&mut dice, number, world.may_fill);
    let offsets: Vec<i64> = scenario.clients.iter().map(|client| client.clock_offset).collect();
    let Scenario { faults, network, .. } = &scenario;
    let drawn = format!("faults: {faults:?}\nnetwork: {network}\nclients' clocks are off by: {offsets:?} s");
    let mut words = vec![];
    let outcome = with_task(world, &scenario, &mut dice, &mut words);
    outcome.and_then(|()| truth::nothing_is_left(world)).map_err(|problem| format!("{problem}\n{drawn}"))?;
    Ok(words)
}

fn with_task(world: &World, scenario: &Scenario, dice: &mut Dice, words: &mut Vec<String>) -> Result<(), String> {
    let running = Running::default();
    let mut create = world.pyro();
    create.args(["task", "create", "debian:12", "--json", "--ttl-seconds", "1800"]);
    if scenario.network {
        create.arg("--network");
    }
    let created = std::thread::scope(|scope| {
        let creator = scope.spawn(|| ask(world, create, &running));
        if let Some(after) = scenario.creator_killed {
            std::thread::sleep(after);
            Fault::Kill(Victim::Client).happen(world, "", &running, dice);
        }
        creator.join().expect("it does not panic")
    })?;
    if matches!(created, Told::Killed) {
        words.push("creator killed".into());
        return truth::nobodys_tasks_go(world);
    }
    let Some(task) = created.field("task_id").as_str().map(str::to_owned) else {
        return Err(format!("no task was created, and nothing was wrong: {created:?}"));
    };
    let mut damage = Damage::default();
    let (began, over) = (Instant::now(), &AtomicBool::new(false));
    let running = &running;
    let told = std::thread::scope(|scope| {
        let clients: Vec<_> =
            scenario.clients.iter().map(|client| scope.spawn(|| work(world, &task, client, running))).collect();
        let one_shot = scope.spawn(|| if scenario.run { run(world, running) } else { Ok(()) });
        let may_be_expired = scenario.clients.iter().any(|client| client.clock_offset > 0);
        let watched = (!may_be_expired).then_some(task.as_str());
        let looking = scope.spawn(move || look(world, watched, running, over));
        for Planned { after, fault } in &scenario.faults {
            std::thread::sleep(after.saturating_sub(began.elapsed()));
            let happened = fault.happen(world, &task, running, dice);
            words.push(match happened {
                Happened::ToNobody => "fault that found nobody".into(),
                _ => fault.as_str(),
            });
            if let Happened::Flipped(target, flipped) = happened {
                damage.add(target, flipped);
            }
        }
        let told: Result<Vec<_>, String> =
            clients.into_iter().map(|client| client.join().expect("it does not panic")).collect();
        over.store(true, Ordering::Relaxed);
        let looked = looking.join().expect("it does not panic");
        one_shot.join().expect("it does not panic").and(looked).and(told)
    })?;
    let circumstances = Circumstances {
        may_be_gone: scenario.faults.iter().any(|planned| planned.fault.may_end_the_machine()),
        may_be_expired: scenario.clients.iter().any(|client| client.clock_offset > 0),
        may_forget: scenario.faults.iter().any(|planned| matches!(planned.fault, Fault::Fill(_))),
    };
    let told: Vec<(Wish, Told)> = told.into_iter().flatten().collect();
    truth::compare(world, &task, &told, circumstances, &mut damage, words).map_err(|problem| {
        format!(
            "{problem}
{damage:?}"
        )
    })
}

/// Everything a client wishes, in order.
fn work(world: &World, task: &str, client: &Client, running: &Running) -> Result<Vec<(Wish, Told)>, String> {
    client
        .wishes
        .iter()
        .map(|wish| {
            let command = wish.command(world, task, client.clock_offset);
            let told = match client.descriptors {
                Some(limit) => starved(ask_within(world, World::with_descriptors(&command, limit), running, SOON)?),
                None => ask(world, command, running)?,
            };
            Ok((wish.clone(), told))
        })
        .collect()
}

/// What a client with few descriptors says. One that the system could not even load says nothing.
fn starved(told: Told) -> Told {
    match told {
        Told::Nonsense(said) if said.contains("error while loading shared libraries") => Told::Killed,
        told => told,
    }
}

/// A one-shot run: its answer is the command's, or an error, or it was killed.
fn run(world: &World, running: &Running) -> Result<(), String> {
    let mut command = world.pyro();
    command.args(["run", "--json", "debian:12", "--timeout-seconds", "60", "--", "sh", "-c", "echo told; exit 9"]);
    let told = ask(world, command, running)?;
    let right = told.field("stdout") == "told\n" && told.field("exit_code") == 9;
    let refused = told.field("exit_code").is_null() && told.field("code").is_string();
    if right || refused || matches!(told, Told::Killed) { Ok(()) } else { Err(format!("a run says {told:?}")) }
}

/// Somebody who only looks is answered, whoever stands still. The task that is watched is in the list, or the answer
/// names a problem.
fn look(world: &World, watched: Option<&str>, running: &Running, over: &AtomicBool) -> Result<(), String> {
    while !over.load(Ordering::Relaxed) {
        let mut list = world.pyro();
        list.args(["task", "list", "--json"]);
        let told = ask(world, list, running)?;
        let listed = told.field("tasks").as_array().into_iter().flatten();
        let is_listed = |id: &str| listed.clone().any(|task| task["task_id"] == id);
        let is_a_problem = told.field("problems").as_array().is_some_and(|problems| !problems.is_empty());
        let is_answer = match &told {
            Told::Object(_) if told.field("code").is_string() || is_a_problem => true,
            Told::Object(_) => watched.is_none_or(is_listed),
            Told::Killed => true,
            Told::Nonsense(_) => false,
        };
        if !is_answer {
            return Err(format!("who looked for {watched:?} was told {told:?}"));
        }
        std::thread::sleep(Duration::from_millis(150));
    }
    Ok(())
}
