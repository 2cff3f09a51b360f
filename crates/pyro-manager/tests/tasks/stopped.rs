//! Tasks that are stopped and go on.

use std::time::Duration;

use pyro_manager::{CreateRequest, Error, LogsRequest, Pyro, Settings, VmOptions};
use tokio::sync::mpsc;

use crate::world::{World, command, create, exec, exec_request, kill, lines, request};

/// More steps than anything here takes.
const ENOUGH: usize = 100;

/// Number, status and reason of each command.
async fn journal(pyro: &Pyro, id: &str) -> Vec<(u64, &'static str, Option<String>)> {
    let logs = pyro.logs_task(id, LogsRequest::default()).await.unwrap();
    logs.entries.into_iter().map(|entry| (entry.sequence, entry.status, entry.reason)).collect()
}

#[tokio::test]
async fn a_task_is_stopped_and_goes_on_where_it_was() {
    let world = World::with(|config| config.max_active_vms = Some(1));
    let id = world.create().await.task_id;
    exec(&world.pyro, &id, "hello").await.unwrap();
    let running = world.pyro.start_task_command(&id, command("hang")).await.unwrap();
    let stopped = world.pyro.stop_task(&id, None).await.unwrap();
    assert_eq!((stopped.life.state, stopped.life.last_error, stopped.command_count), ("stopped", None, 2));
    let why = Some("its machine was stopped".to_owned());
    assert_eq!(journal(&world.pyro, &id).await, [(1, "finished", None), (running.sequence, "cancelled", why)]);
    let refused = exec(&world.pyro, &id, "hello").await.unwrap_err();
    assert_eq!(refused.code(), "task_stopped");
    assert_eq!(refused.to_string(), format!("task {id} is stopped: its machine was stopped"));
    assert!(refused.hint().unwrap().contains("start it again with `pyro task start`"));
    assert_eq!(world.pyro.start_task_command(&id, command("hello")).await.unwrap_err().code(), "task_stopped");
    assert_eq!(world.pyro.stop_task(&id, None).await.unwrap().life.state, "stopped", "again does no harm");
    let other = world.create().await.task_id;
    assert_eq!(world.pyro.start_task(&id, None).await.unwrap_err().code(), "max_active_vms", "its place was taken");
    world.pyro.delete_task(&other).await.unwrap();
    let started = world.pyro.start_task(&id, None).await.unwrap();
    assert_eq!((started.life.state, started.life.last_error), ("started", None));
    assert_eq!(started.life.metadata["start_mode"], "cold", "from its own disk");
    assert_eq!(world.pyro.start_task(&id, None).await.unwrap().life.state, "started", "again does no harm");
    assert_eq!(exec(&world.pyro, &id, "hello").await.unwrap().sequence, 3, "the journal goes on");
    world.pyro.delete_task(&id).await.unwrap();
    assert_eq!(world.vms(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_task_survives_its_supervisor_and_its_machine() {
    let world = World::new();
    let id = world.create().await.task_id;
    exec(&world.pyro, &id, "hello").await.unwrap();
    for stopped_before in [true, false] {
        if stopped_before {
            world.pyro.stop_task(&id, None).await.unwrap();
        }
        kill(world.supervisor_of(&id).unwrap());
        world.wait_for_supervisors();
        assert_eq!(exec(&world.pyro, &id, "hello").await.unwrap_err().code(), "task_stopped");
        assert_eq!(world.pyro.start_task_command(&id, command("hello")).await.unwrap_err().code(), "task_stopped");
        assert_eq!(world.pyro.start_task(&id, None).await.unwrap().life.state, "started");
    }
    assert_eq!(exec(&world.pyro, &id, "hello").await.unwrap().sequence, 2);
    assert_eq!(exec(&world.pyro, &id, "die").await.unwrap_err().code(), "command_lost");
    let started = world.pyro.start_task(&id, None).await.unwrap();
    assert_eq!((started.life.state, started.life.last_error), ("started", None));
    assert_eq!(exec(&world.pyro, &id, "hello").await.unwrap().sequence, 4);
}

#[tokio::test]
async fn a_stopped_task_has_a_life_of_its_own_and_a_started_one_another() {
    let world = World::new();
    let (events, _heard) = mpsc::channel(16);
    let id = world.pyro.create_task(request(None, Duration::from_secs(7200)), &events).await.unwrap().task_id;
    let life = |task: pyro_manager::TaskRecord| (task.life.ttl_seconds, task.life.expires_at.is_some());
    assert_eq!(life(world.pyro.stop_task(&id, None).await.unwrap()), (7200, true), "its life goes on");
    assert_eq!(life(world.pyro.stop_task(&id, Some(60)).await.unwrap()), (60, true));
    for living in [true, false] {
        assert_eq!(life(world.pyro.stop_task(&id, Some(0)).await.unwrap()), (0, false));
        assert_eq!(life(world.pyro.status_task(&id).await.unwrap()), (0, false));
        assert_eq!(world.pyro.reap_expired().await.unwrap().count, 0);
        if living {
            kill(world.supervisor_of(&id).unwrap());
            world.wait_for_supervisors();
        }
    }
    for out_of_bounds in [-1, 59, 604_801] {
        assert_eq!(world.pyro.stop_task(&id, Some(out_of_bounds)).await.unwrap_err().code(), "out_of_range");
        assert_eq!(world.pyro.start_task(&id, Some(out_of_bounds)).await.unwrap_err().code(), "out_of_range");
    }
    assert_eq!(world.pyro.start_task(&id, Some(0)).await.unwrap_err().code(), "out_of_range", "a running one ends");
    assert_eq!(life(world.pyro.start_task(&id, None).await.unwrap()), (600, true), "the default");
    world.pyro.stop_task(&id, None).await.unwrap();
    let started = world.pyro.start_task(&id, Some(3600)).await.unwrap();
    assert_eq!(started.life.ttl_seconds, 3600);
    let left = started.life.expires_at.unwrap() - std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((3500.0..=3600.0).contains(&left), "counted from the start: {left}");
    assert_eq!(world.pyro.extend_task(&id, 0).await.unwrap_err().code(), "out_of_range");
}

#[tokio::test]
async fn a_stopped_task_whose_life_is_over_is_gone() {
    let world = World::new();
    let (events, _heard) = mpsc::channel(16);
    let id = world.pyro.create_task(request(None, Duration::from_millis(2000)), &events).await.unwrap().task_id;
    world.pyro.stop_task(&id, None).await.unwrap();
    world.wait_for_supervisors();
    assert_eq!(world.pyro.start_task(&id, None).await.unwrap_err().code(), "expired");
}

#[tokio::test]
async fn many_starts_at_once_make_one_machine() {
    for dead in [false, true] {
        let world = World::new();
        let id = world.create().await.task_id;
        world.pyro.stop_task(&id, None).await.unwrap();
        if dead {
            kill(world.supervisor_of(&id).unwrap());
            world.wait_for_supervisors();
        }
        let mut starts = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let (pyro, id) = (world.pyro.clone(), id.clone());
            starts.spawn(async move { pyro.start_task(&id, None).await.unwrap().life.state });
        }
        let states = starts.join_all().await;
        assert_eq!(states, ["started"; 6]);
        assert_eq!(exec(&world.pyro, &id, "hello").await.unwrap().sequence, 1);
        let supervisors = crate::world::processes_of(&id);
        assert_eq!(supervisors.len(), 1, "{supervisors:?}");
    }
}

#[tokio::test]
async fn a_task_that_cannot_be_started_stays_as_it_is() {
    let world = World::new();
    let id = world.create().await.task_id;
    let stopped = world.pyro.stop_task(&id, Some(0)).await.unwrap();
    let pyro = world.without_engine();
    kill(world.supervisor_of(&id).unwrap());
    world.wait_for_supervisors();
    assert_eq!(pyro.start_task(&id, Some(600)).await.unwrap_err().code(), "qemu_missing");
    let after = world.pyro.status_task(&id).await.unwrap();
    assert_eq!((after.life.state, after.life.expires_at), ("stopped", stopped.life.expires_at));
    assert!(world.directory(&id).join("idle").exists(), "it takes no place");
    kill(world.supervisor_of(&id).unwrap());
    world.wait_for_supervisors();
    world.change_the_books(&id, "environment_digest", "sha256:00".into());
    let changed = world.pyro.start_task(&id, None).await.unwrap_err();
    assert_eq!(changed.code(), "environment_changed", "it was installed anew");
    world.change_the_books(&id, "environment_digest", serde_json::Value::Null);
    let first = world.pyro.start_task(&id, None).await.unwrap_err();
    assert_eq!(first.code(), "environment_changed", "its disk lies over a template's, as those of release 2.1.0 do");
    assert!(first.to_string().ends_with("whose tasks have no disk of their own"), "{first}");
    world.pyro.delete_task(&id).await.unwrap();
}

#[tokio::test]
async fn a_task_on_the_host_goes_on_there_with_its_files() {
    let world = World::new();
    let pyro = world.without_engine();
    let settings = Settings { allow_host_compat: true, ..Settings::default() };
    let options = VmOptions { settings, ..VmOptions::default() };
    let (events, mut heard) = mpsc::channel(16);
    tokio::spawn(async move { while heard.recv().await.is_some() {} });
    let asked = CreateRequest { options, ..request(None, Duration::from_secs(600)) };
    let id = pyro.create_task(asked, &events).await.unwrap().task_id;
    exec(&pyro, &id, "echo kept > file").await.unwrap();
    assert_eq!(pyro.stop_task(&id, None).await.unwrap().life.state, "stopped");
    for with_engine in [false, true] {
        let pyro = if with_engine { &world.pyro } else { &pyro };
        let started = pyro.start_task(&id, None).await.unwrap();
        assert_eq!((started.life.state, started.life.execution_mode.as_str()), ("started", "host_compat"));
        assert_eq!(exec(pyro, &id, "cat file").await.unwrap().stdout, "kept\n");
        kill(world.supervisor_of(&id).unwrap());
        world.wait_for_supervisors();
    }
    pyro.delete_task(&id).await.unwrap();
}

#[tokio::test]
async fn a_supervisor_may_be_killed_at_any_step_of_stop_and_start() {
    let template = World::new();
    template.create().await;
    for step in 1.. {
        assert!(step < ENOUGH, "the story ends");
        let world = World::new();
        let (pyro, steps) = world.killing_supervisors_at(step);
        let Ok(task) = create(&pyro, None).await else { continue };
        let (id, note) = (task.task_id.as_str(), world.note("note"));
        let counted = |attempt: &str| {
            let mut counted = command(format!("note {}", note.display()));
            counted.attempt_id = Some(attempt.into());
            counted
        };
        let first = exec_request(&pyro, id, counted("one")).await;
        let stopped = pyro.stop_task(id, Some(0)).await.unwrap();
        assert_eq!((stopped.life.state, stopped.life.expires_at), ("stopped", None), "whoever did it");
        let started = pyro.start_task(id, None).await;
        let failed = first.is_err() || started.is_err();
        let state = world.pyro.status_task(id).await.unwrap().life.state;
        match &started {
            // It may have been killed right after it had said so.
            Ok(task) => assert_eq!(task.life.state, "started"),
            Err(error) => {
                assert!(matches!(error.code(), "supervisor_failed" | "host_refused"), "{} {error}", error.code());
                assert_eq!(state, "stopped");
            }
        }
        // Whatever was killed, it goes on: with every number once, and every command once. The supervisor of the
        // second start may be killed, too; the third one's is not.
        let mut again = Err(Error::Cancelled);
        for attempt in ["two", "three"] {
            assert_eq!(world.pyro.start_task(id, None).await.unwrap().life.state, "started");
            again = exec_request(&world.pyro, id, counted(attempt)).await;
            match &again {
                Ok(_) => break,
                Err(error) => assert!(matches!(error.code(), "command_lost" | "supervisor_gone"), "{error}"),
            }
        }
        again.unwrap();
        let seen = journal(&world.pyro, id).await;
        let numbers: Vec<u64> = seen.iter().map(|(sequence, ..)| *sequence).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "in order, without a gap, each once");
        let ran = lines(&note);
        let finished = seen.iter().filter(|(_, status, _)| *status == "finished").count();
        let unknown = seen.iter().filter(|(_, status, _)| *status == "lost").count();
        assert!((finished..=finished + unknown).contains(&ran), "{ran} ran: {seen:?}");
        world.pyro.delete_task(id).await.unwrap();
        world.wait_for_supervisors();
        assert_eq!(world.vms(), [] as [&str; 0]);
        if lines(&steps) < step {
            assert!(!failed && step > 15, "every step was reached: {step}");
            let reached = std::fs::read_to_string(steps).unwrap();
            for step in ["stop.before", "stop.halted", "stop.after", "start.before", "start.booted", "start.after"] {
                assert!(reached.contains(step), "{reached}");
            }
            return;
        }
    }
}

#[tokio::test]
async fn a_client_may_be_killed_at_any_step_of_a_start() {
    for step in 1.. {
        assert!(step < ENOUGH, "the start ends");
        let world = World::new();
        let id = world.create().await.task_id;
        kill(world.supervisor_of(&id).unwrap());
        world.wait_for_supervisors();
        let (mut client, steps) = world.client(&["start", &id], step);
        let ended = client.wait().unwrap();
        assert_eq!(world.pyro.start_task(&id, None).await.unwrap().life.state, "started");
        assert_eq!(exec(&world.pyro, &id, "hello").await.unwrap().sequence, 1);
        assert_eq!(world.vms(), [id.as_str()]);
        if lines(&steps) < step {
            assert!(ended.success() && step > 3, "every step was reached: {step}");
            return;
        }
    }
}
