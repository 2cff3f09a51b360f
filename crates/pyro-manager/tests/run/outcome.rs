//! What a run gives its caller: output, exit codes, and errors of the guest.

use bytes::Bytes;
use pyro_manager::{Error, RunEvent, RunIo};
use pyro_testkit::Start;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::world::{request, world};

#[tokio::test]
async fn output_is_streamed_as_bytes_and_returned_as_text() {
    let (result, events) = world().run_request(request("hello")).await;
    let record = result.unwrap();
    assert_eq!((record.stdout.as_str(), record.stderr.as_str()), ("hello\n", "warn\u{fffd}\n"));
    assert!(events.contains(&RunEvent::Stderr(Bytes::from_static(b"warn\xff\n"))));
    assert_eq!(record.command, "hello");
    assert_eq!(record.execution_mode, "guest_agent");
    assert_eq!(record.cleanup.vm_id, record.vm_id);
}

#[tokio::test]
async fn the_payload_has_the_contracts_keys() {
    let record = serde_json::to_value(world().run("hello").await.unwrap()).unwrap();
    let keys: Vec<&String> = record.as_object().unwrap().keys().collect();
    insta::assert_debug_snapshot!(keys);
}

#[tokio::test]
async fn exit_codes_are_the_commands_own() {
    let world = world();
    assert_eq!(world.run("fail 7").await.unwrap().exit_code, 7);
    assert_eq!(world.run("signal 9").await.unwrap().exit_code, 137);
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn every_machine_is_somebody_else() {
    let world = world();
    for _ in 0..3 {
        world.run("hello").await.unwrap();
    }
    let identities = world.engine.identities();
    assert_eq!(identities.len(), 4, "the template's machine and three others");
    for (at, one) in identities.iter().enumerate() {
        assert_eq!((one.entropy.len(), one.machine_id.len(), one.host_name.len()), (64, 32, 12));
        assert!(one.wall_clock_ns > 0);
        for other in &identities[at + 1..] {
            assert!(
                one.entropy != other.entropy && one.machine_id != other.machine_id && one.host_name != other.host_name
            );
        }
    }
}

#[tokio::test]
async fn stdin_reaches_the_command() {
    let world = world();
    let (events, mut heard) = mpsc::channel(16);
    let (input, stdin) = mpsc::channel(1);
    tokio::spawn(async move { while heard.recv().await.is_some() {} });
    tokio::spawn(async move {
        for _ in 0..20 {
            input.send(Bytes::from(vec![b'x'; 50_000])).await.unwrap();
        }
    });
    let io = RunIo { events, stdin: Some(stdin), cancel: CancellationToken::new() };
    let record = world.pyro.run(request("cat"), io).await.unwrap();
    assert_eq!((record.stdout.len(), record.stdout_truncated), (1_000_000, false));
}

#[tokio::test]
async fn a_cancelled_run_leaves_nothing() {
    let world = world();
    let (events, mut heard) = mpsc::channel(16);
    let cancel = CancellationToken::new();
    let io = RunIo { events, stdin: None, cancel: cancel.clone() };
    let (result, ()) = tokio::join!(world.pyro.run(request("hang"), io), async {
        while let Some(event) = heard.recv().await {
            if matches!(event, RunEvent::Phase(pyro_manager::Phase::Execute { .. })) {
                cancel.cancel();
            }
        }
    });
    assert!(matches!(result, Err(Error::Cancelled)));
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn a_caller_that_stops_listening_has_given_up() {
    let world = world();
    world.run("hello").await.unwrap();
    let (events, mut heard) = mpsc::channel(1);
    let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
    let (result, ()) = tokio::join!(world.pyro.run(request("flood"), io), async move {
        while let Some(event) = heard.recv().await {
            if matches!(event, RunEvent::Stdout(_)) {
                return;
            }
        }
    });
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn a_machine_that_dies_under_a_command_invents_no_exit_code() {
    let world = world();
    let error = world.run("die").await.unwrap_err();
    assert_eq!(error.code(), "machine_lost");
    assert!(error.to_string().contains("the command's outcome is unknown"), "{error}");
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn a_guest_that_makes_no_sense_is_ended() {
    let world = world();
    assert_eq!(world.run("nonsense").await.unwrap_err().code(), "guest_nonsense");
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn a_refused_command_says_so() {
    let world = world();
    let error = world.run("missing").await.unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        ("command_refused", "the guest did not run the command: missing: not found")
    );
    world.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_command_that_outlives_its_guests_time_limit_is_ended_with_its_machine() {
    let world = world();
    let record = world.run("hang").await.unwrap();
    assert_eq!((record.exit_code, record.timed_out), (124, true));
    world.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_does_not_come_up_is_reported_with_its_console() {
    let world = world();
    world.engine.behave(|behaviour| behaviour.boot = Start::Silent);
    let error = world.run("hello").await.unwrap_err();
    assert_eq!(error.code(), "guest_not_up");
    assert!(error.to_string().ends_with("the last lines of its console:\n  the fake's console"), "{error}");
    world.engine.behave(|behaviour| behaviour.boot = Start::Dies);
    assert_eq!(world.run("hello").await.unwrap_err().code(), "guest_not_up");
    world.engine.behave(|behaviour| behaviour.boot = Start::Refused);
    assert_eq!(world.run("hello").await.unwrap_err().code(), "machine_not_started");
    world.assert_nothing_is_left();
    world.engine.behave(|behaviour| behaviour.boot = Start::Works);
    world.run("hello").await.expect("nothing of the failures is in the way");
}
