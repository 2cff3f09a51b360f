//! Whatever dies, and wherever: exactly once or not at all, and nothing is left behind.

use std::collections::HashSet;

use pyro_manager::{Error, LogsRequest, Pyro, TaskExecRecord};

use crate::world::{World, command, create, exec, kill, lines, listening, processes_of};

/// More steps than anything here takes.
const ENOUGH: usize = 100;

#[tokio::test]
async fn a_supervisor_may_be_killed_at_any_step() {
    let template = World::new();
    template.create().await;
    for step in 1.. {
        assert!(step < ENOUGH, "the story ends");
        let world = World::new();
        let (pyro, steps) = world.killing_supervisors_at(step);
        let killed = story(&world, &pyro).await;
        if lines(&steps) < step {
            assert!(!killed && step > 10, "every step was reached: {step}");
            return;
        }
    }
}

/// Creates a task, runs counted commands in it, deletes it; says whether anything failed.
async fn story(world: &World, pyro: &Pyro) -> bool {
    let note = |name: &str| world.note(name);
    let task = match create(pyro, Some("story")).await {
        Ok(task) => task,
        Err(_) => {
            // It was never there: nothing is left of it, and the attempt can be made again.
            world.wait_for_supervisors();
            world.pyro.recover();
            assert_eq!(world.vms(), [] as [&str; 0]);
            assert_eq!(world.pyro.list_tasks().await.unwrap().count, 0);
            create(&world.pyro, Some("story")).await.unwrap();
            return true;
        }
    };
    let id = task.task_id.as_str();
    let mut told = Vec::new();
    for name in ["one", "two", "three"] {
        told.push((name, exec(pyro, id, format!("note {}", note(name).display())).await));
    }
    let detached = pyro.start_task_command(id, command(format!("note {}", note("four").display()))).await;
    if let Ok(started) = &detached {
        let (io, _listening) = listening();
        let _ = pyro.wait_task(id, started.sequence, io).await;
    }
    check_journal(world, pyro, id, &told).await;
    let failed = told.iter().any(|(_, result)| result.is_err()) || detached.is_err();
    let deleted = pyro.delete_task(id).await;
    assert!(deleted.is_ok() || matches!(deleted.as_ref().unwrap_err().code(), "deleted"), "{deleted:?}");
    world.wait_for_supervisors();
    world.pyro.recover();
    assert_eq!(world.vms(), [] as [&str; 0]);
    assert_eq!(pyro.status_task(id).await.unwrap_err().code(), "deleted");
    while !processes_of(id).is_empty() {
        std::thread::yield_now(); // it has answered, and is on its way out
    }
    failed
}

/// The journal, what the callers were told, and what the guest has done agree.
async fn check_journal(world: &World, pyro: &Pyro, id: &str, told: &[(&str, Result<TaskExecRecord, Error>)]) {
    let logs = pyro.logs_task(id, LogsRequest::default()).await.unwrap();
    let sequences: Vec<u64> = logs.entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>(), "distinct, in order, without a gap");
    let mut seen = HashSet::new();
    for entry in &logs.entries {
        let name = entry.command.rsplit('/').next().unwrap();
        seen.insert(name.to_owned());
        let ran = lines(&world.note(name));
        match entry.status {
            "finished" => {
                assert_eq!((ran, entry.exit_code), (1, Some(0)), "{name}");
                assert_eq!(entry.stdout, "noted\n", "no byte of it is lost");
            }
            "lost" => assert!(ran <= 1 && entry.exit_code.is_none(), "{name} ran {ran} times"),
            other => panic!("{name} is {other}"),
        }
    }
    for (name, result) in told {
        match result {
            Ok(record) => {
                let entry = logs.entries.iter().find(|entry| entry.sequence == record.sequence).unwrap();
                assert_eq!((entry.status, entry.exit_code), ("finished", Some(record.exit_code)), "{name}");
            }
            Err(error) => assert!(
                matches!(error.code(), "command_lost" | "task_stopped" | "supervisor_gone"),
                "{name}: {} {error}",
                error.code()
            ),
        }
    }
    for name in ["one", "two", "three", "four"] {
        assert!(seen.contains(name) || lines(&world.note(name)) == 0, "{name} ran and is not in the journal");
    }
}

#[tokio::test]
async fn a_client_may_be_killed_at_any_step_of_a_creation() {
    for step in 1.. {
        assert!(step < ENOUGH, "the creation ends");
        let world = World::new();
        let (mut client, steps) = world.client(&["create", "mine"], step);
        let ended = client.wait().unwrap();
        settle(&world);
        let made = world.pyro.list_tasks().await.unwrap().tasks;
        assert!(made.len() <= 1);
        let again = create(&world.pyro, Some("mine")).await.unwrap();
        assert!(made.iter().all(|task| task.task_id == again.task_id), "the same attempt, the same task");
        assert_eq!(world.pyro.list_tasks().await.unwrap().count, 1);
        assert_eq!(world.vms().len(), 1, "and nothing else");
        exec(&world.pyro, &again.task_id, "hello").await.unwrap();
        if lines(&steps) < step {
            assert!(ended.success() && step > 4 && made.len() == 1, "every step was reached: {step}");
            return;
        }
    }
}

/// Waits until what a dead creator has begun is undone or taken.
fn settle(world: &World) {
    for id in world.vms() {
        pyro_hostfs::lock::wait_until_free(&world.directory(&id).join("creating")).unwrap();
    }
    world.pyro.recover();
}

#[tokio::test]
async fn a_client_may_be_killed_at_any_step_of_a_command() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    for step in 1.. {
        assert!(step < ENOUGH, "the command ends");
        let note = world.note(&format!("note-{step}"));
        let before = world.pyro.status_task(id).await.unwrap().command_count;
        let (mut client, steps) = world.client(&["exec", id, &format!("note {}", note.display())], step);
        let ended = client.wait().unwrap();
        let logs = world.pyro.logs_task(id, LogsRequest::default()).await.unwrap();
        if let Some(entry) = logs.entries.get(before as usize) {
            let (io, _listening) = listening();
            let record = world.pyro.wait_task(id, entry.sequence, io).await.unwrap();
            assert_eq!((record.exit_code, record.stdout.as_str(), lines(&note)), (0, "noted\n", 1));
        } else {
            // What was sent when the client died may not have arrived yet; it does not arrive twice.
            exec(&world.pyro, id, "hello").await.unwrap();
            let after = world.pyro.logs_task(id, LogsRequest::default()).await.unwrap();
            let noted = after.entries.iter().filter(|entry| entry.command.ends_with(&format!("note-{step}"))).count();
            assert_eq!(noted, lines(&note));
        }
        let reached = lines(&steps);
        std::fs::remove_file(steps).unwrap();
        if reached < step {
            assert!(ended.success() && step > 2, "every step was reached: {step}");
            return;
        }
    }
}

#[tokio::test]
async fn a_client_may_be_killed_at_any_step_of_a_deletion() {
    for step in 1.. {
        assert!(step < ENOUGH, "the deletion ends");
        let world = World::new();
        let task = world.create().await;
        let (mut client, steps) = world.client(&["delete", &task.task_id], step);
        let ended = client.wait().unwrap();
        match world.pyro.delete_task(&task.task_id).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.code(), "deleted"),
        }
        assert_eq!(world.vms(), [] as [&str; 0]);
        if lines(&steps) < step {
            assert!(ended.success() && step > 1, "every step was reached: {step}");
            return;
        }
    }
}

#[tokio::test]
async fn what_a_killed_supervisor_had_running_is_lost_and_says_so() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    let note = world.note("note");
    let hanging = tokio::spawn({
        let (pyro, id, text) = (world.pyro.clone(), id.to_owned(), format!("note-and-hang {}", note.display()));
        async move { exec(&pyro, &id, text).await }
    });
    while lines(&note) == 0 {
        tokio::task::yield_now().await;
    }
    kill(world.supervisor_of(id).unwrap());
    let lost = hanging.await.unwrap().unwrap_err();
    assert_eq!(lost.code(), "command_lost");
    let status = world.pyro.status_task(id).await.unwrap();
    assert_eq!((status.life.state, status.last_command.unwrap().status), ("stopped", "lost"));
    assert_eq!(exec(&world.pyro, id, "hello").await.unwrap_err().code(), "task_stopped");
    let logs = world.pyro.logs_task(id, LogsRequest::default()).await.unwrap();
    assert_eq!((logs.entries[0].exit_code, logs.entries[0].duration_ms), (None, None));
    world.pyro.delete_task(id).await.unwrap();
    assert_eq!(world.vms(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_supervisor_that_is_asked_to_end_ends_in_order() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    let started = world.pyro.start_task_command(id, command("hang")).await.unwrap();
    let pid = rustix::process::Pid::from_raw(world.supervisor_of(id).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    world.wait_for_supervisors();
    let status = world.pyro.status_task(id).await.unwrap();
    assert_eq!(status.life.state, "stopped");
    assert!(status.life.last_error.unwrap().contains("was asked to end"));
    let logs =
        world.pyro.logs_task(id, LogsRequest { sequence: Some(started.sequence), ..LogsRequest::default() }).await;
    assert_eq!(logs.unwrap().entries[0].status, "cancelled");
}
