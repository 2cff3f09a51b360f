//! Guests that are slow, or whose clock is.

use std::time::Duration;

use pyro_manager::{ExecRequest, LogsRequest};

use crate::world::{World, command, exec_request};

#[tokio::test]
async fn a_guest_that_is_late_to_end_a_command_is_told_to_and_its_task_lives_on() {
    let world = World::new();
    let id = world.create().await.task_id;
    let other = world.pyro.start_task_command(&id, command("hang")).await.unwrap();
    // This guest knows no time limits. The host's own is 11.1 seconds for one second.
    let late = ExecRequest { timeout: Duration::from_secs(1), ..command("hang") };
    let ended = exec_request(&world.pyro, &id, late).await.unwrap();
    assert_eq!((ended.exit_code, ended.timed_out), (124, true));
    let logs = world.pyro.logs_task(&id, LogsRequest::default()).await.unwrap();
    let seen: Vec<_> = logs.entries.iter().map(|entry| (entry.status, entry.exit_code)).collect();
    assert_eq!(seen, [("running", None), ("timed_out", Some(124))]);
    world.pyro.cancel_task(&id, other.sequence).await.unwrap();
    assert_eq!(world.pyro.status_task(&id).await.unwrap().life.state, "started");
    world.pyro.delete_task(&id).await.unwrap();
}

#[tokio::test]
async fn a_guest_that_does_not_end_a_command_in_time_is_ended_with_it() {
    let world = World::new();
    let task = world.create().await;
    // The host waits ten seconds, tells the guest to end the command, and waits thirty more.
    let mut request = command("stick");
    request.timeout = Duration::from_millis(10);
    let record = exec_request(&world.pyro, &task.task_id, request).await.unwrap();
    assert_eq!((record.exit_code, record.timed_out), (124, true));
    let status = world.pyro.status_task(&task.task_id).await.unwrap();
    assert!(status.life.last_error.is_none_or(|error| error.contains("that reached its time limit")));
    let stopped = async {
        while world.pyro.status_task(&task.task_id).await.unwrap().life.state != "stopped" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), stopped).await.unwrap();
}
