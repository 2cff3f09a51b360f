//! `pyro mcp serve`, spoken to over bare pipes: what is wrong is answered, and nothing makes it deaf.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod world;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use world::World;

/// A server, and both ends of the conversation with it. It is killed with this.
struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(mut command: Command) -> Self {
        command.args(["mcp", "serve", "--no-standby"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout }
    }

    fn begun(command: Command) -> Self {
        let mut server = Self::start(command);
        server.say(&json!({"jsonrpc": "2.0", "id": "begin", "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}
        }}));
        assert_eq!(server.hear()["id"], "begin");
        server.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        server
    }

    fn say(&mut self, message: &Value) {
        self.say_bytes(message.to_string().as_bytes());
    }

    fn say_bytes(&mut self, line: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line).unwrap();
        stdin.write_all(b"\n").unwrap();
    }

    /// The next message; one that does not come at all ends the test.
    fn hear(&mut self) -> Value {
        if self.stdout.buffer().is_empty() {
            let timeout = Timespec { tv_sec: 60, tv_nsec: 0 };
            let stdout = self.stdout.get_ref();
            let came = poll(&mut [PollFd::new(stdout, PollFlags::IN)], Some(&timeout)).unwrap();
            assert_eq!(came, 1, "it says nothing");
        }
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(id: impl Into<Value>, method: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": {}})
}

fn call(id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

/// Each line, the error that answers it, and the id that the answer has.
fn wrong_lines() -> Vec<(Vec<u8>, i64, Value)> {
    let deep = |id: u32| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping","params":{}}}"#, "[".repeat(5000) + &"]".repeat(5000))
    };
    let mut huge = br#"{"jsonrpc":"2.0","id":14,"method":"ping","params":{"x":""#.to_vec();
    huge.resize(20 << 20, b'x');
    huge.extend_from_slice(br#""}}"#);
    let text = |text: &str, code: i64, id: Value| (text.as_bytes().to_vec(), code, id);
    vec![
        text("not JSON", -32700, Value::Null),
        text("{", -32700, Value::Null),
        text(r#"{"jsonrpc":"2.0","id":7,"method":"#, -32700, json!(7)),
        text(r#"{"jsonrpc":"2.0","id":8}"#, -32600, json!(8)),
        text(r#"{"jsonrpc":"2.0","id":"a","method":5}"#, -32600, json!("a")),
        text(r#"{"jsonrpc":"1.0","id":"b","method":"ping"}"#, -32600, json!("b")),
        text(r#"{"id":"c","method":"ping"}"#, -32600, json!("c")),
        text("[]", -32600, Value::Null),
        text(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600, Value::Null),
        text("1e999", -32700, Value::Null),
        text("null", -32600, Value::Null),
        text(r#""text""#, -32600, Value::Null),
        text(r#"{"jsonrpc":"2.0","id":9,"method":"no/such"}"#, -32601, json!(9)),
        text(r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600, json!(1.5)),
        text(r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"ping"}"#, -32600, json!(u64::MAX)),
        text(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, Value::Null),
        text(r#"{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}"#, -32600, Value::Null),
        text(r#"{"jsonrpc":"2.0","id":1e999,"method":"ping"}"#, -32700, Value::Null),
        text(r#"{"jsonrpc":"2.0","id":10,"method":"ping","params":{"x":1e999}}"#, -32700, json!(10)),
        text(
            r#"{"jsonrpc":"2.0","method":"ping","params":{"x":{"id":1},"y":"\"id\":2"},"id":11,"z":"\ud800"}"#,
            -32700,
            json!(11),
        ),
        text(&deep(12), -32700, json!(12)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":13,\"method\":\"ping\",\"x\":\"\xff\"}".to_vec(), -32700, json!(13)),
        (huge, -32600, json!(14)),
        text(r#"{"jsonrpc":"2.0","id":15,"method":"tools/call","params":5}"#, -32602, json!(15)),
        text(r#"{"jsonrpc":"2.0","id":16,"method":"tools/call","params":{"name":5}}"#, -32602, json!(16)),
    ]
}

#[test]
fn every_message_that_is_wrong_is_answered_with_its_id() {
    let mut server = Server::begun(World::empty().pyro());
    for (number, (line, code, id)) in wrong_lines().into_iter().enumerate() {
        let shown = String::from_utf8_lossy(&line[..line.len().min(90)]).into_owned();
        server.say_bytes(&line);
        // Whatever is not answered shows by the answer to the next one.
        server.say(&request(format!("after {number}"), "ping"));
        let answers = [server.hear(), server.hear()];
        let after = answers.iter().position(|answer| answer["id"] == format!("after {number}"));
        let answer = &answers[1 - after.unwrap_or_else(|| panic!("{shown}: {answers:?}"))];
        assert_eq!((answer["error"]["code"].as_i64(), &answer["id"]), (Some(code), &id), "{shown}: {answer}");
        assert_eq!(answer["jsonrpc"], "2.0");
    }
}

#[test]
fn odd_messages_that_are_right_are_answered_and_others_left_alone() {
    let mut server = Server::begun(World::empty().pyro());
    for quiet in
        ["", "  \t", r#"{"jsonrpc":"2.0","method":"notifications/unknown"}"#, r#"{"jsonrpc":"2.0","id":3,"result":{}}"#]
    {
        server.say_bytes(quiet.as_bytes());
    }
    for (id, told) in [("-0", json!(0)), ("2.0", json!(2)), ("-7", json!(-7)), (r#""\u0000""#, json!("\0"))] {
        server.say_bytes(format!(r#" {{"jsonrpc":"2.0","id":{id},"method":"ping"}}{}"#, "\r").as_bytes());
        let answer = server.hear();
        assert_eq!((&answer["id"], answer.get("error")), (&told, None), "{answer}");
    }
}

#[test]
fn what_comes_before_the_conversation_is_answered_too() {
    let mut server = Server::start(World::empty().pyro());
    server.say_bytes(b"garbage");
    assert_eq!(server.hear()["error"]["code"], -32700);
    server.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    server.say(&request(1, "ping"));
    assert_eq!(server.hear()["id"], 1);
}

#[test]
fn two_requests_of_one_id_at_once_are_told_apart() {
    let world = World::empty();
    let (command, _held) = with_the_machines_locked(&world);
    let mut server = Server::begun(command);
    server.say(&call("same", "vm_run", json!({"environment": "debian:12", "command": "true"})));
    server.say(&request("same", "ping"));
    let answer = server.hear();
    assert_eq!((answer["error"]["code"].as_i64(), answer["id"].as_str()), (Some(-32600), Some("same")), "{answer}");
}

/// A world with an environment in which a machine would be made, if another process let it.
fn with_the_machines_locked(world: &World) -> (Command, std::fs::File) {
    drop(pyro_testkit::install_small(world.cache(), "debian:12"));
    std::fs::create_dir_all(world.data()).unwrap();
    let lock = std::fs::File::create(world.data().join("vms.lock")).unwrap();
    lock.lock().unwrap();
    let mut command = world.pyro();
    command.env("PYRO_KVM_DEVICE", "/nonexistent/kvm");
    (command, lock)
}

/// How many locks a process waits for.
fn waiters(pid: u32) -> usize {
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let waits = |line: &&str| line.contains("->") && line.split_whitespace().any(|word| word == pid.to_string());
    locks.lines().filter(waits).count()
}

#[test]
fn calls_that_wait_for_a_lock_keep_nobody_else_waiting() {
    let world = World::empty();
    let (command, held) = with_the_machines_locked(&world);
    let mut server = Server::begun(command);
    for id in 0..5 {
        server.say(&call(id, "vm_run", json!({"environment": "debian:12", "command": "true"})));
    }
    // As many as it has threads for everything.
    while waiters(server.child.id()) < 4 {
        std::thread::sleep(Duration::from_millis(10));
    }
    server.say(&request("tools", "tools/list"));
    assert_eq!(server.hear()["id"], "tools");
    drop(held);
}

#[test]
fn calls_at_once_are_bounded() {
    let world = World::empty();
    let (command, _held) = with_the_machines_locked(&world);
    let mut server = Server::begun(command);
    for id in 0..70 {
        server.say(&call(id, "vm_run", json!({"environment": "debian:12", "command": "true"})));
    }
    for _ in 0..6 {
        let answer = server.hear();
        assert_eq!(answer["result"]["structuredContent"]["code"], "too_many_calls", "{answer}");
    }
    server.say(&request("tools", "tools/list"));
    assert_eq!(server.hear()["id"], "tools");
}

#[test]
fn a_client_that_does_not_read_is_not_listened_to_either() {
    const MESSAGES: usize = 20_000;
    let mut server = Server::begun(World::empty().pyro());
    let mut stdin = server.stdin.take().unwrap();
    let said = Arc::new(AtomicUsize::new(0));
    let writer = std::thread::spawn({
        let said = said.clone();
        move || {
            for id in 0..MESSAGES {
                stdin.write_all(format!("{}\n", request(id, "tools/list")).as_bytes()).unwrap();
                said.store(id + 1, Ordering::SeqCst);
            }
            stdin
        }
    });
    // Until everything is said, or nothing more is taken.
    let (mut looks, mut before) = (0, 0);
    while looks < 100 && !writer.is_finished() {
        std::thread::sleep(Duration::from_millis(10));
        let now = said.load(Ordering::SeqCst);
        (looks, before) = if now == before { (looks + 1, now) } else { (0, now) };
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let max = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let max: u64 = max.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(max < 150 * 1024, "it has taken {max} KiB for {before} requests");
    let mut answered: Vec<i64> = (0..MESSAGES).map(|_| server.hear()["id"].as_i64().unwrap()).collect();
    answered.sort_unstable();
    assert!(answered.into_iter().eq(0..MESSAGES as i64), "each is answered once");
    drop(writer.join().unwrap());
}
