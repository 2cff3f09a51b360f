//! How tasks and VMs live and end, while nobody kills anything.

use std::time::Duration;

use pyro_manager::{CreateRequest, LogsRequest, Settings, VmOptions};
use tokio::sync::mpsc;

use crate::world::{World, command, create, exec, exec_request, kill, lines, listening, request, with_input};

#[tokio::test]
async fn twelve_creations_at_once_with_room_for_four_make_four() {
    let world = World::with(|config| config.max_active_vms = Some(4));
    let mut creations = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let pyro = world.pyro.clone();
        creations.spawn(async move { create(&pyro, None).await });
    }
    let (mut made, mut refused) = (0, Vec::new());
    while let Some(done) = creations.join_next().await {
        match done.unwrap() {
            Ok(_) => made += 1,
            Err(error) => refused.push(error),
        }
    }
    assert_eq!((made, refused.len()), (4, 8));
    assert!(refused.iter().all(|error| error.code() == "max_active_vms" && error.to_string().contains('4')));
    assert_eq!(world.vms().len(), 4);
    let first = world.pyro.list_tasks().await.unwrap().tasks.remove(0);
    world.pyro.delete_task(&first.task_id).await.unwrap();
    world.create().await;
}

#[tokio::test]
async fn a_task_expires_with_nobody_looking_and_says_so_afterwards() {
    let world = World::new();
    let (events, _heard) = mpsc::channel(16);
    let task = world.pyro.create_task(request(None, Duration::from_millis(2000)), &events).await.unwrap();
    let id = task.task_id.as_str();
    let note = world.note("note");
    let hanging = exec(&world.pyro, id, format!("note-and-hang {}", note.display())).await.unwrap_err();
    assert_eq!(hanging.code(), "command_cancelled", "{hanging}");
    assert!(hanging.to_string().contains("its machine expired"), "{hanging}");
    world.wait_for_supervisors();
    assert_eq!(world.vms(), [] as [&str; 0]);
    assert_eq!(lines(&note), 1);
    for error in [
        exec(&world.pyro, id, "hello").await.unwrap_err(),
        world.pyro.status_task(id).await.unwrap_err(),
        world.pyro.delete_task(id).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), "expired");
    }
}

#[tokio::test]
async fn an_extended_task_lives_on() {
    let world = World::new();
    let (events, _heard) = mpsc::channel(16);
    let task = world.pyro.create_task(request(None, Duration::from_secs(20)), &events).await.unwrap();
    let extended = world.pyro.extend_task(&task.task_id, 600).await.unwrap();
    let (before, after) = (task.life.expires_at.unwrap(), extended.life.expires_at.unwrap());
    assert!(after > before + 500.0 && extended.life.ttl_seconds == 600);
    let out_of_bounds = world.pyro.extend_task(&task.task_id, 59).await.unwrap_err();
    assert_eq!(out_of_bounds.code(), "out_of_range");
}

#[tokio::test]
async fn a_machine_that_dies_loses_its_commands_and_keeps_its_journal() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    exec(&world.pyro, id, "hello").await.unwrap();
    let lost = exec(&world.pyro, id, "die").await.unwrap_err();
    assert_eq!(lost.code(), "command_lost");
    let status = loop {
        // The supervisor tells the client first and writes the state down after that.
        let status = world.pyro.status_task(id).await.unwrap();
        if status.life.state == "stopped" {
            break status;
        }
        tokio::task::yield_now().await;
    };
    assert!(status.life.last_error.unwrap().starts_with("the machine ended"));
    let refused = exec(&world.pyro, id, "hello").await.unwrap_err();
    assert_eq!(refused.code(), "task_stopped");
    let logs = world.pyro.logs_task(id, LogsRequest::default()).await.unwrap();
    assert_eq!((logs.entries[1].status, logs.entries[1].exit_code), ("lost", None), "nothing is invented");
    assert_eq!(logs.entries[1].stdout, "half", "what was written is there");
    world.pyro.extend_task(id, 700).await.unwrap();
    world.pyro.delete_task(id).await.unwrap();
}

#[tokio::test]
async fn a_guest_that_makes_no_sense_is_ended() {
    let world = World::new();
    let task = world.create().await;
    assert_eq!(exec(&world.pyro, &task.task_id, "nonsense").await.unwrap_err().code(), "command_lost");
    let refused = loop {
        match exec(&world.pyro, &task.task_id, "hello").await.unwrap_err() {
            error if error.code() == "task_stopped" => break error,
            _ => tokio::task::yield_now().await,
        }
    };
    assert!(refused.to_string().contains("broke the protocol"), "{refused}");
}

#[tokio::test]
async fn a_dead_machine_takes_no_place() {
    let world = World::with(|config| config.max_active_vms = Some(1));
    let task = world.create().await;
    let _ = exec(&world.pyro, &task.task_id, "die").await;
    while !world.directory(&task.task_id).join("idle").exists() {
        tokio::task::yield_now().await;
    }
    world.create().await;
}

#[tokio::test]
async fn ids_may_be_shortened_and_of_the_wrong_kind_are_unknown() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    assert_eq!(world.pyro.complete_task_id(&id[..5]).await.unwrap(), id);
    assert_eq!(world.pyro.status_vm(id).await.unwrap_err().code(), "unknown_vm");
    for unknown in ["", "nothing", "0123456789abc", "../../etc"] {
        assert_eq!(world.pyro.status_task(unknown).await.unwrap_err().code(), "unknown_task", "{unknown}");
    }
    let mut prefixes = std::collections::HashSet::from([id[..1].to_owned()]);
    let shared = loop {
        let another = world.create().await;
        if !prefixes.insert(another.task_id[..1].to_owned()) {
            break another.task_id[..1].to_owned();
        }
    };
    assert_eq!(world.pyro.complete_task_id(&shared).await.unwrap_err().code(), "ambiguous_id");
}

#[tokio::test]
async fn a_vm_starts_stops_and_starts_again_and_is_gone_after_its_command() {
    let world = World::new();
    let (events, _heard) = mpsc::channel(16);
    let vm = world.pyro.create_vm(request(None, Duration::from_secs(600)), &events).await.unwrap();
    let id = vm.vm_id.as_str();
    assert_eq!((vm.life.state, vm.life.execution_mode.as_str()), ("created", "pending"));
    let (io, _listening) = listening();
    let early = world.pyro.exec_vm(id, command("hello"), io).await.unwrap_err();
    assert_eq!(early.code(), "not_started");
    assert_eq!(world.pyro.start_vm(id).await.unwrap().life.state, "started");
    assert_eq!(world.pyro.start_vm(id).await.unwrap().life.state, "started", "again does no harm");
    let stopped = world.pyro.stop_vm(id).await.unwrap();
    assert_eq!((stopped.life.state, stopped.life.last_error), ("stopped", None));
    let again = world.pyro.start_vm(id).await.unwrap();
    assert_eq!(again.life.metadata["start_mode"], "cold", "from its own disk");
    let (io, _listening) = listening();
    let record = world.pyro.exec_vm(id, command("fail 3"), io).await.unwrap();
    assert_eq!((record.exit_code, record.cleanup.deleted, record.vm_id.as_str()), (3, true, id));
    assert_eq!(world.pyro.status_vm(id).await.unwrap_err().code(), "deleted");
    assert_eq!(world.vms(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_vm_whose_supervisor_was_killed_starts_again() {
    let world = World::new();
    let (events, _heard) = mpsc::channel(16);
    let vm = world.pyro.create_vm(request(None, Duration::from_secs(600)), &events).await.unwrap();
    world.pyro.start_vm(&vm.vm_id).await.unwrap();
    kill(world.supervisor_of(&vm.vm_id).unwrap());
    world.wait_for_supervisors();
    let (io, _listening) = listening();
    let refused = world.pyro.exec_vm(&vm.vm_id, command("hello"), io).await.unwrap_err();
    assert_eq!(refused.code(), "vm_stopped", "it is left as it is");
    let status = world.pyro.status_vm(&vm.vm_id).await.unwrap();
    assert!(status.life.state == "stopped" && status.life.last_error.is_some());
    let started = world.pyro.start_vm(&vm.vm_id).await.unwrap();
    assert_eq!((started.life.state, started.life.last_error), ("started", None));
    let (io, _listening) = listening();
    world.pyro.exec_vm(&vm.vm_id, command("hello"), io).await.unwrap();
}

#[tokio::test]
async fn the_host_stands_in_for_a_guest_only_where_none_can_be_had_and_only_when_asked() {
    let world = World::new();
    let pyro = world.without_engine();
    let (events, mut heard) = mpsc::channel(16);
    let refused = pyro.create_task(request(None, Duration::from_secs(600)), &events).await.unwrap_err();
    assert_eq!(refused.code(), "qemu_missing");
    assert_eq!(world.vms(), [] as [&str; 0]);
    let options =
        VmOptions { settings: Settings { allow_host_compat: true, ..Settings::default() }, ..VmOptions::default() };
    let request = CreateRequest { options, ..request(None, Duration::from_secs(600)) };
    let task = pyro.create_task(request, &events).await.unwrap();
    assert_eq!(task.life.execution_mode, "host_compat");
    assert_eq!(task.life.metadata["isolation"], "none");
    let told = std::iter::from_fn(|| heard.try_recv().ok())
        .any(|event| matches!(event, pyro_manager::RunEvent::Notice(text) if text.contains("without isolation")));
    assert!(told, "nobody is left in doubt");
    let id = task.task_id.as_str();
    let made = exec(&pyro, id, "mkdir sub; echo $0 > sub/file; (setsid sleep 4712 &); exit 3").await.unwrap();
    assert_eq!((made.exit_code, made.execution_mode.as_str()), (3, "host_compat"));
    let mut below = command("cat file; pwd; cat; echo $X");
    below.cwd = "sub".into();
    below.environment = vec![("X".into(), "y".into())];
    let (mut io, _listening) = listening();
    io.stdin = Some(with_input(vec![b"input\n".to_vec()]));
    let seen = pyro.exec_task(id, below, io).await.unwrap().stdout;
    let directory = world.directory(id).join("workspace/sub");
    assert_eq!(seen, format!("/bin/sh\n{}\ninput\ny\n", directory.display()));
    let mut above = command("true");
    above.cwd = "/etc".into();
    assert_eq!(exec_request(&pyro, id, above).await.unwrap_err().code(), "invalid_argument");
    let cancelled = pyro.start_task_command(id, command("sleep 4712")).await.unwrap();
    assert_eq!(pyro.cancel_task(id, cancelled.sequence).await.unwrap().status, "cancelled");
    let left = std::process::Command::new("pgrep").args(["-f", "sleep 471[2]"]).output().unwrap();
    assert_eq!(String::from_utf8(left.stdout).unwrap(), "", "no process of a command is left");
    pyro.delete_task(id).await.unwrap();
}

#[tokio::test]
async fn a_supervisor_that_cannot_start_is_named_and_leaves_nothing() {
    let world = World::with(|config| config.supervisor.program = "/nonexistent/pyro".into());
    let error = create(&world.pyro, None).await.unwrap_err();
    assert!(error.to_string().contains("start the supervisor, /nonexistent/pyro"), "{error}");
    assert_eq!(world.vms(), [] as [&str; 0]);
    let world = World::with(|config| config.supervisor.program = "/bin/false".into());
    let error = create(&world.pyro, None).await.unwrap_err();
    assert_eq!(error.code(), "supervisor_failed");
    assert_eq!(world.vms(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_registry_that_is_lost_under_a_living_task_is_made_again() {
    let world = World::new();
    let task = world.create().await;
    for suffix in ["", "-journal"] {
        let _ = std::fs::remove_file(world.config.data.join(format!("registry.sqlite{suffix}")));
    }
    assert_eq!(exec(&world.pyro, &task.task_id, "hello").await.unwrap().sequence, 1);
    assert_eq!(world.pyro.list_tasks().await.unwrap().count, 1);
    world.pyro.delete_task(&task.task_id).await.unwrap();
}

#[tokio::test]
async fn a_data_directory_may_have_a_long_name() {
    let world = World::with(|config| {
        config.data = config.data.join("a-rather-long-name/".repeat(12));
    });
    let task = world.create().await;
    exec(&world.pyro, &task.task_id, "hello").await.unwrap();
    world.pyro.delete_task(&task.task_id).await.unwrap();
}

#[tokio::test]
async fn what_is_expired_by_the_walls_clock_is_reaped() {
    let world = World::new();
    let (events, _heard) = mpsc::channel(16);
    let living = world.create().await;
    let dead = world.pyro.create_vm(request(None, Duration::from_secs(600)), &events).await.unwrap();
    kill(world.supervisor_of(&dead.vm_id).unwrap());
    world.wait_for_end_of(&dead.vm_id);
    assert_eq!(world.pyro.reap_expired().await.unwrap().count, 0);
    // As if the clock had been set forward: by the record their time was up long ago.
    for id in [&living.task_id, &dead.vm_id] {
        world.expire_in_the_books(id);
    }
    let reaped = world.pyro.reap_expired().await.unwrap();
    assert_eq!(
        (reaped.deleted_task_ids, reaped.deleted_vm_ids, reaped.count),
        (vec![living.task_id.clone()], vec![dead.vm_id], 2)
    );
    assert_eq!(world.pyro.status_task(&living.task_id).await.unwrap_err().code(), "expired");
    world.wait_for_supervisors();
    assert_eq!(world.vms(), [] as [&str; 0]);
}

#[tokio::test]
async fn what_somebody_removed_by_hand_is_not_there_any_more() {
    let world = World::new();
    let (one, other) = (world.create().await, world.create().await);
    kill(world.supervisor_of(&one.task_id).unwrap());
    world.wait_for_end_of(&one.task_id);
    std::fs::remove_dir_all(world.directory(&one.task_id)).unwrap();
    let listed = world.pyro.list_tasks().await.unwrap();
    assert_eq!(listed.tasks.iter().map(|task| task.task_id.as_str()).collect::<Vec<_>>(), [other.task_id.as_str()]);
    assert_eq!(world.pyro.status_task(&one.task_id).await.unwrap_err().code(), "deleted");
}
