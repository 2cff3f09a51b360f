//! What is done to a living supervisor from outside: its files removed, its socket flooded, requests out of bounds.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pyro_manager::ExecRequest;
use pyro_protocol::frame::{Continuation, Kind, MAX_BODY, StreamId, encode_parts};

use crate::world::{World, command, exec, exec_request, processes_of};

/// Waits until a process has ended.
fn wait_for_process(pid: i32) {
    while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        std::thread::yield_now();
    }
}

pub fn message(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut pieces = text.chunks(MAX_BODY).peekable();
    while let Some(piece) = pieces.next() {
        let more = if pieces.peek().is_some() { Continuation::More } else { Continuation::End };
        encode_parts(StreamId::CONTROL, Kind::Message, more, piece, &mut bytes);
    }
    bytes
}

/// What the supervisor answers to raw bytes, to the end of the conversation.
pub fn answer(world: &World, id: &str, bytes: &[u8]) -> String {
    let mut socket = UnixStream::connect(world.directory(id).join("socket")).unwrap();
    // A supervisor that hangs up does not take the rest.
    let _ = socket.write_all(bytes);
    let mut answered = Vec::new();
    // A supervisor that hangs up with bytes unread resets the connection.
    let _ = socket.read_to_end(&mut answered);
    String::from_utf8_lossy(&answered).into_owned()
}

#[tokio::test]
async fn a_removed_socket_ends_the_task_and_it_says_so() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    exec(&world.pyro, id, "hello").await.unwrap();
    fs::remove_file(world.directory(id).join("socket")).unwrap();
    world.wait_for_end_of(id);
    let status = world.pyro.status_task(id).await.unwrap();
    assert_eq!((status.life.state, status.command_count), ("stopped", 1));
    let why = status.life.last_error.unwrap();
    assert!(why.contains("the file socket in its directory was removed"), "{why}");
    assert_eq!(exec(&world.pyro, id, "hello").await.unwrap_err().code(), "task_stopped");
    world.pyro.delete_task(id).await.unwrap();
}

#[tokio::test]
async fn a_removed_directory_ends_the_supervisor_and_its_machine() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    let processes = processes_of(id);
    assert!(!processes.is_empty());
    fs::remove_dir_all(world.directory(id)).unwrap();
    processes.into_iter().for_each(wait_for_process);
    assert_eq!(exec(&world.pyro, id, "hello").await.unwrap_err().code(), "deleted");
    assert_eq!(world.vms(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_removed_home_ends_everything_in_it_and_is_not_made_again() {
    let world = World::new();
    let (one, other) = (world.create().await, world.create().await);
    let processes = [processes_of(&one.task_id), processes_of(&other.task_id)].concat();
    assert!(processes.len() >= 2);
    fs::remove_dir_all(&world.config.data).unwrap();
    processes.into_iter().for_each(wait_for_process);
    assert!(!world.config.data.exists());
}

#[tokio::test]
async fn requests_out_of_bounds_are_refused_and_the_task_lives_on() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    let environment = vec![("a".to_owned(), String::new()); 7_500];
    let much = ExecRequest { environment, ..command("x".repeat(39_000)) };
    let refused = exec_request(&world.pyro, id, much).await.unwrap_err();
    assert_eq!(refused.code(), "invalid_argument");
    let raw = |command: &str, cwd: &str, timeout: &str, environment: &str| {
        let text = format!(
            r#"{{"ask":"exec","command":"{command}","cwd":"{cwd}","environment":{environment},"timeout_us":{timeout},
               "attempt_id":null,"attached":true,"stdin":false,"then_delete":false}}"#
        );
        message(text.as_bytes())
    };
    let many = format!("[{}]", vec![r#"["a",""]"#; 7_500].join(","));
    let requests = [
        raw(&"x".repeat(100_000), "/", "1000000", "[]"),
        raw(&"x".repeat(39_000), "/", "1000000", &many),
        raw("true", "/", "18446744073709551615", "[]"),
        raw("true", "relative", "1000000", "[]"),
        raw("true", "/", "1000000", r#"[["A=B","C"]]"#),
        message(br#"{"ask":"extend","ttl_seconds":18446744073709551615}"#),
        message(br#"{"ask":"nothing known"}"#),
        message(b"\xff\x00"),
        message(&vec![b' '; 900_000]),
        vec![0xff; 70_000],
    ];
    for request in requests {
        let said = answer(&world, id, &request);
        assert!(said.contains("failed") || said.is_empty(), "{said}");
    }
    assert_eq!(exec(&world.pyro, id, "hello").await.unwrap().sequence, 1, "nothing else was run");
    world.pyro.delete_task(id).await.unwrap();
}

/// Resident memory in KiB, and processor time in ticks.
fn look(pid: i32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    (resident, ticks(11) + ticks(12))
}

#[tokio::test]
async fn half_requests_and_many_connections_hold_little_and_others_are_served() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    let supervisor = world.supervisor_of(id).unwrap();
    let (before, _) = look(supervisor);
    let half = message(&vec![b' '; 200_000])[..150_000].to_vec();
    let socket = world.directory(id).join("socket");
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut connection = UnixStream::connect(&socket).unwrap();
        connection.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        // One that was hung up on already takes nothing more.
        let _ = connection.write_all(&half);
        held.push(connection);
    }
    assert_eq!(exec(&world.pyro, id, "hello").await.unwrap().exit_code, 0);
    let (after, _) = look(supervisor);
    assert!(after < before + 24 * 1024, "{before} KiB before, {after} KiB with 300 half requests");
    drop(held);
    world.pyro.delete_task(id).await.unwrap();
}

#[tokio::test]
async fn a_supervisor_without_descriptors_waits_and_does_not_spin() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    let supervisor = world.supervisor_of(id).unwrap();
    let limit = |nofile: &str| {
        let status = std::process::Command::new("prlimit")
            .args(["--pid", &supervisor.to_string(), &format!("--nofile={nofile}:")])
            .status();
        assert!(status.unwrap().success());
    };
    let open = fs::read_dir(format!("/proc/{supervisor}/fd")).unwrap().count();
    limit(&(open + 4).to_string());
    let socket = world.directory(id).join("socket");
    let held: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let (_, before) = look(supervisor);
    tokio::time::sleep(Duration::from_secs(1)).await; // what a spin would use up
    let (_, after) = look(supervisor);
    assert!(after - before < 30, "{} ticks of 100 in one second", after - before);
    limit("1024");
    drop(held);
    assert_eq!(exec(&world.pyro, id, "hello").await.unwrap().exit_code, 0);
    world.pyro.delete_task(id).await.unwrap();
}
