//! A task of one release, used by the other one.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use pyro_protocol::frame::{Continuation, Kind, StreamId, encode_parts};
use serde_json::{Value, json};

use super::pair::{Pair, Release};

/// Options by which both releases create a task: the same attempt is the same task.
const CREATE: [&str; 7] = ["task", "create", "debian:12", "--json", "--ttl-seconds", "1800", "--attempt-id"];

/// The task is made by `supervisor`, whose supervisor serves it; `client` does everything that clients do.
pub fn play(pair: &mut Pair, supervisor: Release, client: Release) -> Result<(), String> {
    let id = create(pair, supervisor, client, "together")?;
    if supervisor == Release::Before {
        hello_is_refused(pair, &id)?;
    }
    commands(pair, supervisor, client, &id)?;
    one_that_runs(pair, supervisor, client, &id)?;
    let extended = pair.say(client, &["task", "extend", &id, "--ttl-seconds", "7200", "--json"])?;
    pair.expect(&extended, &[("/ttl_seconds", json!(7200))])?;
    let status = pair.say(supervisor, &["task", "status", &id, "--json"])?;
    pair.expect(&status, &[("/ttl_seconds", json!(7200)), ("/expires_at", extended["expires_at"].clone())])?;
    let deleted = pair.say(client, &["task", "delete", &id, "--json"])?;
    pair.expect(&deleted, &[("/deleted", json!(true))])?;
    for release in [supervisor, client] {
        let gone = pair.say(release, &["task", "status", &id, "--json"])?;
        pair.expect(&gone, &[("/code", json!("deleted"))])?;
    }
    Ok(())
}

/// A supervisor of the release before hangs up at a hello in the words by which a client knows it, and does not come to
/// the command behind it: the first command of the task is still to come.
fn hello_is_refused(pair: &mut Pair, id: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("the socket of {id}: {error}");
    let hello = json!({"ask": "hello", "generation": 2, "release": "2.2.0", "needs": 1});
    let command = json!({
        "ask": "exec", "command": "echo hello >> book", "cwd": "/workspace", "environment": [], "timeout_us": 9_000_000,
        "attempt_id": null, "attached": false, "stdin": false, "then_delete": false,
    });
    let mut bytes = Vec::new();
    for message in [hello, command] {
        let text = message.to_string();
        encode_parts(StreamId::CONTROL, Kind::Message, Continuation::End, text.as_bytes(), &mut bytes);
    }
    let mut socket = UnixStream::connect(pair.world.data().join("vms").join(id).join("socket")).map_err(failed)?;
    socket.write_all(&bytes).map_err(failed)?;
    let mut answer = Vec::new();
    // One that hangs up with bytes unread resets the connection behind its answer.
    let _ = socket.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let is_refusal = text.contains(r#""say":"failed""#) && text.contains(r#""code":"invalid_argument""#);
    pair.insist(&format!("a hello is refused with invalid_argument, and not: {text}"), is_refusal)
}

/// Creates a task, and asks for the same attempt with the other release.
fn create(pair: &mut Pair, supervisor: Release, client: Release, name: &str) -> Result<String, String> {
    let attempt = format!("{name} of {supervisor}");
    let words: Vec<&str> = CREATE.into_iter().chain([attempt.as_str()]).collect();
    let created = pair.say(supervisor, &words)?;
    pair.expect(&created, &[("/state", json!("started")), ("/execution_mode", json!("guest_agent"))])?;
    let again = pair.say(client, &words)?;
    pair.expect(&again, &[("/task_id", created["task_id"].clone())])?;
    created["task_id"].as_str().map(str::to_owned).ok_or_else(|| format!("a task without an id: {created}"))
}

fn exec(pair: &Pair, release: Release, id: &str, options: &[&str], script: &str) -> Result<Value, String> {
    pair.say(release, &[&["task", "exec", id, "--json"], options, &["--", "sh", "-c", script]].concat())
}

/// Commands of both, one after the other, in one workspace and one journal.
fn commands(pair: &mut Pair, supervisor: Release, client: Release, id: &str) -> Result<(), String> {
    let first = exec(pair, supervisor, id, &[], "echo one >> book; echo told; echo beside >&2; exit 3")?;
    pair.expect(&first, &[("/sequence", json!(1)), ("/stdout", json!("told\n")), ("/exit_code", json!(3))])?;
    let list = pair.say(client, &["task", "list", "--json"])?;
    pair.expect(&list, &[("/count", json!(1)), ("/tasks/0/task_id", json!(id)), ("/problems", json!([]))])?;
    let status = pair.say(client, &["task", "status", id, "--json"])?;
    pair.expect(&status, &[("/state", json!("started")), ("/command_count", json!(1)), ("/problems", json!([]))])?;

    let second = exec(pair, client, id, &["--env", "WHO=the other"], "cat book; echo two >> book; echo $WHO >&2")?;
    let wanted = [("/sequence", json!(2)), ("/stdout", json!("one\n")), ("/stderr", json!("the other\n"))];
    pair.expect(&second, &wanted)?;
    let words = ["task", "exec", id, "--json", "--", "sh", "-c", "cat; echo three >> book"];
    let input = pair.say_with_input(client, &words, b"from the host\n")?;
    pair.expect(&input, &[("/sequence", json!(3)), ("/stdout", json!("from the host\n"))])?;
    let long = format!("echo four >> book; : {}; seq 200000 | tail -c 7", "x".repeat(20_000));
    let long = exec(pair, client, id, &[], &long)?;
    pair.expect(&long, &[("/sequence", json!(4)), ("/stdout", json!("200000\n"))])?;
    let late = exec(pair, client, id, &["--timeout-seconds", "1"], "sleep 60")?;
    pair.expect(&late, &[("/sequence", json!(5)), ("/timed_out", json!(true)), ("/exit_code", json!(124))])?;

    let attempt = exec(pair, supervisor, id, &["--attempt-id", "once"], "echo five >> book; echo made")?;
    pair.expect(&attempt, &[("/sequence", json!(6)), ("/stdout", json!("made\n"))])?;
    let repeated = exec(pair, client, id, &["--attempt-id", "once"], "echo five >> book; echo made")?;
    pair.expect(&repeated, &[("/sequence", json!(6)), ("/stdout", json!("made\n"))])?;
    let other = exec(pair, client, id, &["--attempt-id", "once"], "echo another")?;
    pair.expect(&other, &[("/code", json!("attempt_conflict"))])?;
    // Each was run once, whichever way it went.
    let book = exec(pair, client, id, &[], "cat book")?;
    pair.expect(&book, &[("/sequence", json!(7)), ("/stdout", json!("one\ntwo\nthree\nfour\nfive\n"))])
}

/// Commands that run while the other release follows them, waits for them and ends them.
fn one_that_runs(pair: &mut Pair, supervisor: Release, client: Release, id: &str) -> Result<(), String> {
    let short = exec(pair, supervisor, id, &["--detach"], "sleep 1; echo late; exit 4")?;
    pair.expect(&short, &[("/sequence", json!(8)), ("/status", json!("running"))])?;
    let waited = pair.say(client, &["task", "wait", id, "8", "--json"])?;
    pair.expect(&waited, &[("/stdout", json!("late\n")), ("/exit_code", json!(4))])?;

    let options = ["--detach", "--timeout-seconds", "600"];
    let running = exec(pair, supervisor, id, &options, "echo begun; sleep 600")?;
    pair.expect(&running, &[("/sequence", json!(9)), ("/status", json!("running"))])?;
    let (path, failed) = (pair.world.scratch().join("followed"), |error: std::io::Error| error.to_string());
    let mut follow = pair.command(client, &["task", "logs", id, "--sequence", "9", "--follow", "--no-pager"]);
    follow.stdout(File::create(&path).map_err(failed)?).stderr(Stdio::null());
    let mut follower = follow.spawn().map_err(failed)?;
    let is_followed = || fs::read_to_string(&path).is_ok_and(|text| text.contains("begun"));
    let followed = pair.await_answer(client, &["task", "logs", id, "--sequence", "9", "--json"], |logs| {
        logs["entries"][0]["stdout"] == "begun\n" && is_followed()
    });
    let ended = followed.and_then(|_| {
        let cancelled = pair.say(client, &["task", "cancel", id, "9", "--json"])?;
        pair.expect(&cancelled, &[("/status", json!("cancelled")), ("/stdout", json!("begun\n"))])
    });
    if ended.is_err() {
        let _ = follower.kill();
    }
    // The command is over, and so is the one who follows it.
    let status = follower.wait().map_err(failed);
    ended?;
    status.map(drop)
}

/// The supervisor of a task is killed; the other release says what came of it.
pub fn orphaned(pair: &mut Pair, supervisor: Release, client: Release) -> Result<(), String> {
    let id = create(pair, supervisor, client, "orphaned")?;
    let done = exec(pair, supervisor, &id, &[], "echo kept")?;
    pair.expect(&done, &[("/sequence", json!(1))])?;
    let options = ["--detach", "--attempt-id", "lost", "--timeout-seconds", "600"];
    let running = exec(pair, supervisor, &id, &options, "sleep 600")?;
    pair.expect(&running, &[("/sequence", json!(2))])?;
    pair.kill_supervisor(&id)?;
    let logs =
        pair.await_answer(client, &["task", "logs", &id, "--json"], |logs| logs["entries"][1]["status"] != "running")?;
    let wanted = [
        ("/entries/0/status", json!("finished")),
        ("/entries/0/stdout", json!("kept\n")),
        ("/entries/1/status", json!("lost")),
        ("/problems", json!([])),
    ];
    pair.expect(&logs, &wanted)?;
    for release in [client, supervisor] {
        let status = pair.say(release, &["task", "status", &id, "--json"])?;
        pair.expect(&status, &[("/state", json!("stopped")), ("/command_count", json!(2))])?;
        let refused = exec(pair, release, &id, &[], "echo more")?;
        pair.expect(&refused, &[("/code", json!("task_stopped"))])?;
        let again = exec(pair, release, &id, &["--attempt-id", "lost", "--timeout-seconds", "600"], "sleep 600")?;
        pair.expect(&again, &[("/code", json!("command_lost"))])?;
    }
    let deleted = pair.say(client, &["task", "delete", &id, "--json"])?;
    pair.expect(&deleted, &[("/deleted", json!(true))])
}
