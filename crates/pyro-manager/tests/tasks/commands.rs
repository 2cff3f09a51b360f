//! Commands of tasks and their output, while nobody kills anything.

use std::time::Duration;

use pyro_manager::{LogsRequest, RunIo, Stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::world::{World, command, create, exec, exec_request, lines, listening, request, with_input};

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
