//! What tasks and VMs do while nobody kills anything.

use std::time::Duration;

use pyro_manager::{CreateRequest, HostCompat, LogsRequest, RunIo, Stream, VmOptions};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::world::{World, command, create, exec, exec_request, kill, lines, listening, request, with_input};

#[tokio::test]
async fn a_task_stays_and_keeps_its_journal() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    assert_eq!((task.life.state, task.life.execution_mode.as_str(), task.command_count), ("started", "guest_agent", 0));
    let one = exec(&world.pyro, id, "hello").await.unwrap();
    assert_eq!((one.stdout.as_str(), one.stderr.as_str(), one.sequence), ("hello\n", "warn\u{fffd}\n", 1));
    assert_eq!(exec(&world.pyro, id, "fail 7").await.unwrap().exit_code, 7);
    assert_eq!(exec(&world.pyro, id, "signal 15").await.unwrap().exit_code, 143);
    let refused = exec(&world.pyro, id, "missing").await.unwrap_err();
    assert_eq!(refused.code(), "command_refused");
    let logs = world.pyro.logs_task(id, LogsRequest::default()).await.unwrap();
    let statuses: Vec<_> = logs.entries.iter().map(|entry| (entry.sequence, entry.status, entry.exit_code)).collect();
    let expected =
        [(1, "finished", Some(0)), (2, "finished", Some(7)), (3, "finished", Some(143)), (4, "refused", None)];
    assert_eq!(statuses, expected);
    let bytes = std::fs::read(&logs.entries[0].stderr_file).unwrap();
    assert_eq!(bytes, b"warn\xff\n", "the journal keeps bytes");
    let status = world.pyro.status_task(id).await.unwrap();
    assert_eq!((status.command_count, status.last_command.unwrap().sequence), (4, 4));
    world.pyro.delete_task(id).await.unwrap();
    assert_eq!(world.vms(), [] as [&str; 0]);
    assert_eq!(world.pyro.status_task(id).await.unwrap_err().code(), "deleted");
    assert_eq!(exec(&world.pyro, id, "hello").await.unwrap_err().code(), "deleted");
}

#[tokio::test]
async fn payloads_have_the_contracts_keys() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    let result = exec(&world.pyro, id, "hello").await.unwrap();
    let logs = world.pyro.logs_task(id, LogsRequest::default()).await.unwrap();
    let keys = |value: serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let status = world.pyro.status_task(id).await.unwrap();
    let (events, _heard) = mpsc::channel(16);
    let vm = world.pyro.create_vm(request(None, Duration::from_secs(60)), &events).await.unwrap();
    let network = world.pyro.network_info_vm(&vm.vm_id).await.unwrap();
    let last = serde_json::to_value(&status).unwrap()["last_command"].clone();
    insta::assert_debug_snapshot!([
        ("task", keys(serde_json::to_value(&status).unwrap())),
        ("last_command", keys(last)),
        ("exec", keys(serde_json::to_value(&result).unwrap())),
        ("log entry", keys(serde_json::to_value(&logs.entries[0]).unwrap())),
        ("vm", keys(serde_json::to_value(&vm).unwrap())),
        ("network", keys(serde_json::to_value(&network).unwrap())),
        ("deleted", keys(serde_json::to_value(world.pyro.delete_vm(&vm.vm_id).await.unwrap()).unwrap())),
        ("reaped", keys(serde_json::to_value(world.pyro.reap_expired().await.unwrap()).unwrap())),
    ]);
}

#[tokio::test]
async fn thirty_commands_at_once_have_thirty_numbers_and_thirty_entries() {
    let world = World::new();
    let task = world.create().await;
    let mut commands = tokio::task::JoinSet::new();
    for number in 0..30 {
        let (pyro, id) = (world.pyro.clone(), task.task_id.clone());
        commands.spawn(async move { (number, exec(&pyro, &id, format!("fail {number}")).await.unwrap()) });
    }
    let mut sequences = Vec::new();
    while let Some(done) = commands.join_next().await {
        let (number, record) = done.unwrap();
        assert_eq!(record.exit_code, number, "each gets its own result");
        sequences.push(record.sequence);
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=30).collect::<Vec<u64>>());
    let logs = world.pyro.logs_task(&task.task_id, LogsRequest::default()).await.unwrap();
    assert!(logs.count == 30 && logs.entries.iter().all(|entry| entry.status == "finished"));
}

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
async fn an_attempt_is_made_once() {
    let world = World::new();
    let (one, other) = tokio::join!(create(&world.pyro, Some("a")), create(&world.pyro, Some("a")));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.task_id, other.task_id);
    let id = one.task_id.as_str();
    let note = world.note("note");
    let mut counted = command(format!("note {}", note.display()));
    counted.attempt_id = Some("b".into());
    let (first, second) =
        tokio::join!(exec_request(&world.pyro, id, counted.clone()), exec_request(&world.pyro, id, counted.clone()));
    let third = exec_request(&world.pyro, id, counted.clone()).await.unwrap();
    for record in [first.unwrap(), second.unwrap(), third] {
        assert_eq!((record.sequence, record.stdout.as_str(), record.attempt_id.as_deref()), (1, "noted\n", Some("b")));
    }
    assert_eq!(lines(&note), 1);
    let mut another = command("hello");
    another.attempt_id = Some("b".into());
    assert_eq!(exec_request(&world.pyro, id, another).await.unwrap_err().code(), "attempt_conflict");
    let mut larger = request(Some("a"), Duration::from_secs(600));
    larger.options.ttl = Duration::from_secs(601);
    let (events, _heard) = mpsc::channel(16);
    assert_eq!(world.pyro.create_task(larger, &events).await.unwrap_err().code(), "attempt_conflict");
    world.pyro.delete_task(id).await.unwrap();
    let again = create(&world.pyro, Some("a")).await.unwrap_err();
    assert_eq!(again.code(), "deleted", "it was made, and is gone");
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
    assert!(extended.life.expires_at > task.life.expires_at + 500.0 && extended.life.ttl_seconds == 600);
    let out_of_bounds = world.pyro.extend_task(&task.task_id, 59).await.unwrap_err();
    assert_eq!(out_of_bounds.code(), "out_of_range");
}

#[tokio::test]
async fn a_cancelled_command_is_ended_and_the_task_lives_on() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    let started = world.pyro.start_task_command(id, command("hang")).await.unwrap();
    let status = world.pyro.status_task(id).await.unwrap();
    assert_eq!(status.last_command.unwrap().status, "running");
    let (io, _listening) = listening();
    let (cancelled, waited) =
        tokio::join!(world.pyro.cancel_task(id, started.sequence), world.pyro.wait_task(id, started.sequence, io));
    let cancelled = cancelled.unwrap();
    assert_eq!((cancelled.status, cancelled.exit_code), ("cancelled", None));
    assert_eq!(waited.unwrap_err().code(), "command_cancelled");
    let cancel = CancellationToken::new();
    let (events, mut heard) = mpsc::channel(16);
    let io = RunIo { events, stdin: None, cancel: cancel.clone() };
    let (own, ()) = tokio::join!(world.pyro.exec_task(id, command("hang"), io), async {
        heard.recv().await;
        cancel.cancel();
        while heard.recv().await.is_some() {}
    });
    assert_eq!(own.unwrap_err().code(), "command_cancelled");
    assert_eq!(world.pyro.cancel_task(id, 1).await.unwrap().status, "cancelled", "again does no harm");
    assert_eq!(world.pyro.cancel_task(id, 9).await.unwrap_err().code(), "unknown_sequence");
    exec(&world.pyro, id, "hello").await.unwrap();
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_a_command_that_goes_on() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    let (events, mut heard) = mpsc::channel(1);
    let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
    let (gone, ()) = tokio::join!(world.pyro.exec_task(id, command("chatter 500"), io), async {
        heard.recv().await;
        drop(heard);
    });
    assert_eq!(gone.unwrap_err().code(), "caller_gone");
    let (io, listening) = listening();
    let record = world.pyro.wait_task(id, 1, io).await.unwrap();
    assert_eq!((record.exit_code, listening.await.unwrap().len()), (0, 500_000));
}

#[tokio::test]
async fn output_can_be_read_again_from_any_byte() {
    let world = World::with(|config| config.journal_cap = 2500);
    let task = world.create().await;
    let id = task.task_id.as_str();
    let record = exec(&world.pyro, id, "chatter 4").await.unwrap();
    assert_eq!((record.stdout.len(), record.stdout_truncated), (4000, false), "who listens gets all of it");
    let piece = world.pyro.read_output(id, 1, Stream::Stdout, 2000, 400).await.unwrap();
    assert_eq!((piece.bytes.len(), piece.next_offset, piece.ended), (400, 2400, false));
    let rest = world.pyro.read_output(id, 1, Stream::Stdout, 2400, 400).await.unwrap();
    assert_eq!((rest.bytes.len(), rest.ended), (100, true));
    assert_eq!(rest.cut.as_deref(), Some("the journal keeps 2500 bytes of each stream"));
    let logs = world
        .pyro
        .logs_task(id, LogsRequest { sequence: Some(1), tail_bytes: Some(10), ..LogsRequest::default() })
        .await
        .unwrap();
    let entry = &logs.entries[0];
    assert_eq!((entry.stdout.len(), entry.stdout_truncated, entry.stdout_bytes), (10, true, 4000));
    let missing = world.pyro.read_output(id, 9, Stream::Stdout, 0, 1).await.unwrap_err();
    assert_eq!(missing.code(), "unknown_sequence");
}

#[tokio::test]
async fn a_full_disk_cuts_output_and_nothing_else() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    // The kernel's own full disk: every write says that there is no space.
    std::os::unix::fs::symlink("/dev/full", world.directory(id).join("output/000001.stdout")).unwrap();
    let record = exec(&world.pyro, id, "chatter 3").await.unwrap();
    assert_eq!((record.exit_code, record.stdout.len()), (0, 3000), "the command goes on, and who listens gets all");
    let logs = world.pyro.logs_task(id, LogsRequest::default()).await.unwrap();
    let cut = logs.entries[0].stdout_cut.as_deref().unwrap();
    assert!(cut.contains("No space left"), "{cut}");
    assert_eq!(logs.entries[0].status, "finished");
    exec(&world.pyro, id, "hello").await.unwrap();
}

#[tokio::test]
async fn stdin_reaches_the_command() {
    let world = World::new();
    let task = world.create().await;
    let (mut io, listening) = listening();
    io.stdin = Some(with_input(vec![vec![b'y'; 70_000]; 30]));
    let record = world.pyro.exec_task(&task.task_id, command("cat"), io).await.unwrap();
    assert_eq!(record.exit_code, 0);
    assert_eq!(listening.await.unwrap(), vec![b'y'; 2_100_000]);
    assert!(record.stdout_truncated && record.stdout.len() < 1_100_000, "a payload is bounded");
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
    let options = VmOptions { host_compat: HostCompat::Allowed, ..VmOptions::default() };
    let request = CreateRequest { environment: "debian:12".into(), options, attempt_id: None };
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
async fn a_journal_that_is_shown_is_read_once() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    for _ in 0..3 {
        exec(&world.pyro, id, "hello").await.unwrap();
    }
    let two = LogsRequest { last: Some(2), ..LogsRequest::default() };
    let journal = world.pyro.journal_of_task(id, two).await.unwrap();
    // Every entry's output is read without another look at what says that it is there.
    std::fs::remove_file(world.directory(id).join("journal.log")).unwrap();
    let read = |sequence| journal.read_output(sequence, Stream::Stdout, 0, 100).unwrap();
    let sequences: Vec<u64> = journal.entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, [2, 3]);
    assert!(sequences.into_iter().all(|sequence| read(sequence) == b"hello\n"));
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
async fn bad_requests_are_refused_before_anything_is_sent() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    let mut bad = vec![command(" "), command("a\0b"), command("x".repeat(40_001))];
    for entry in [("", "x"), ("A=B", "x"), ("A", "\0")] {
        let mut request = command("true");
        request.environment = vec![(entry.0.into(), entry.1.into())];
        bad.push(request);
    }
    for request in bad {
        assert_eq!(exec_request(&world.pyro, id, request).await.unwrap_err().code(), "invalid_argument");
    }
    exec(&world.pyro, id, "x".repeat(40_000)).await.expect("the longest one is sent");
    assert_eq!(world.pyro.status_task(id).await.unwrap().command_count, 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_left_behind_and_misses_nothing() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    let (events, mut heard) = mpsc::channel(1);
    let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
    let mut request = command("chatter 5000");
    request.timeout = Duration::from_millis(10);
    let (record, bytes) = tokio::join!(world.pyro.exec_task(id, request, io), async {
        // More than any buffer on the way holds: the command is over only when it goes on alone.
        while world.pyro.status_task(id).await.unwrap().last_command.is_none_or(|last| last.status == "running") {
            assert_eq!(exec(&world.pyro, id, "fail 1").await.unwrap().exit_code, 1, "others are not held up");
            if world
                .pyro
                .logs_task(id, LogsRequest { sequence: Some(1), tail_bytes: Some(0), ..LogsRequest::default() })
                .await
                .unwrap()
                .entries[0]
                .status
                != "running"
            {
                break;
            }
        }
        let mut bytes = 0;
        while let Some(event) = heard.recv().await {
            if let pyro_manager::RunEvent::Stdout(piece) = event {
                bytes += piece.len();
            }
        }
        bytes
    });
    assert_eq!((record.unwrap().exit_code, bytes), (0, 5_000_000));
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
