//! The messages of each generation as their releases write them. `golden/socket-1.jsonl` was written by release 2.1.0,
//! by a test in its own source that printed one of each message.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pyro_store::journal::{CommandRecord, EndRecord, StartRecord, Status, StreamEnd};
use pyro_store::{Addresses, Kind, Naming, Record, Settings, State, VmId, Wanted};

use super::{Reply, Request};
use crate::Failure;
use crate::naming::{NameChange, NamingChange};
use crate::supervisor::request::ExecRequest;

fn golden(generation: u32) -> Vec<String> {
    lines(&format!("socket-{generation}.jsonl"))
}

fn lines(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn requests() -> Vec<Request> {
    let exec = ExecRequest {
        command: "make \"all\"\n".into(),
        cwd: "/workspace".into(),
        environment: vec![("KEY".into(), "value".into())],
        timeout_us: 1_500_000,
        attempt_id: Some("mine".into()),
        attached: true,
        stdin: true,
        then_delete: false,
    };
    let plain = ExecRequest {
        environment: vec![],
        attempt_id: None,
        attached: false,
        stdin: false,
        then_delete: true,
        ..exec.clone()
    };
    vec![
        Request::Exec(exec.into()),
        Request::Exec(plain.into()),
        Request::Watch { sequence: 7 },
        Request::WatchTask,
        Request::Cancel { sequence: 7 },
        Request::Start,
        Request::Stop,
        Request::Delete,
        Request::Expire,
        Request::Extend { ttl_seconds: 600 },
    ]
}

fn task() -> Record {
    let settings = Settings { network: true, allow_host_compat: true };
    let wanted = Wanted { vcpu_count: 2, mem_mib: 2048, ttl: Duration::from_secs(600), settings };
    let id = VmId::parse("0123456789ab").unwrap();
    Record {
        state: State::Started,
        addresses: Some(Addresses {
            guest_ip: "10.0.2.15".parse().unwrap(),
            gateway_ip: "10.0.2.2".parse().unwrap(),
            subnet_cidr: "10.0.2.0/24".into(),
            mac_address: "52:54:00:12:34:56".into(),
            dns_servers: vec!["10.0.2.3".parse().unwrap(), "fd00::3".parse().unwrap()],
        }),
        execution_mode: "guest_agent".into(),
        accelerator: Some("tcg".into()),
        start_mode: Some("template".into()),
        boundary: Some("tcg".into()),
        layers: vec!["namespaces".into(), "seccomp".into()],
        last_error: Some("the network is gone".into()),
        create_ms: 1.5,
        start_ms: 250.25,
        attempt_id: Some("mine".into()),
        environment_digest: Some("sha256:00".into()),
        request_digest: "sha256:11".into(),
        ..Record::new(id, Kind::Task, "debian:12", "1.0.0", wanted, 1_700_000_000.5)
    }
}

fn vm(state: State) -> Record {
    let wanted = Wanted { vcpu_count: 1, mem_mib: 1024, ttl: Duration::from_secs(600), settings: Settings::default() };
    let id = VmId::parse("ba9876543210").unwrap();
    Record { state, ..Record::new(id, Kind::Vm, "debian:12", "1.0.0", wanted, 1_700_000_000.5) }
}

fn command(end: Option<EndRecord>) -> CommandRecord {
    let began = StartRecord {
        sequence: 7,
        command: "make \"all\"\n".into(),
        cwd: "/workspace".into(),
        attempt_id: end.is_some().then(|| "mine".into()),
        request_digest: "sha256:22".into(),
        started_at: 1_700_000_000.5,
        execution_mode: "guest_agent".into(),
    };
    CommandRecord { began, end }
}

fn timed_out() -> EndRecord {
    EndRecord {
        status: Status::TimedOut,
        exit_code: Some(124),
        duration_ms: Some(1000),
        finished_at: 1_700_000_001.5,
        out_of_memory: true,
        reason: Some("its time was up".into()),
        stdout: StreamEnd { bytes: 12, kept: 4, crc32: Some(3_358_139_539), cut: Some("the disk was full".into()) },
        stderr: StreamEnd { bytes: 0, kept: 0, crc32: None, cut: None },
    }
}

/// Every command of the golden file, in its order.
fn commands() -> Vec<CommandRecord> {
    let of = |status| command(Some(EndRecord { status, ..EndRecord::lost(1_700_000_001.5, 1, 2) }));
    let statuses = [Status::Running, Status::Finished, Status::Cancelled, Status::Lost, Status::Refused];
    [command(Some(timed_out())), command(None)].into_iter().chain(statuses.map(of)).collect()
}

fn replies() -> Vec<Reply> {
    let failed = |error: &str, code: &'static str, hint: Option<&str>| {
        let failure = Failure { error: error.into(), code: code.into(), hint: hint.map(str::to_owned) };
        Reply::Failed { failure: failure.into() }
    };
    let ended = |entry: CommandRecord| Reply::Ended { entry: entry.into() };
    let mut commands = commands().into_iter().map(ended);
    let mut replies = vec![
        Reply::Accepted { sequence: 7, joined: true },
        Reply::Grown { stdout: 1, stderr: 2 },
        Reply::Latest { sequence: 7 },
    ];
    replies.extend(commands.by_ref().take(2));
    replies.extend([
        Reply::NotRunning,
        Reply::Detached,
        Reply::Done { record: task().into() },
        Reply::Deleted,
        failed("vm ba9876543210 is created, not started", "not_started", Some("start it first")),
        failed("what the host said", "host_refused", None),
        Reply::Notice { text: "the host stands in for a guest".into() },
        Reply::MakingTemplate,
        Reply::Ready { record: vm(State::Creating).into() },
    ]);
    replies.extend(commands);
    replies.extend([State::Created, State::Stopped].map(|state| Reply::Done { record: vm(state).into() }));
    replies
}

fn hellos() -> (Request, Reply) {
    let release = || "2.2.0".to_owned();
    (Request::Hello { generation: 2, release: release(), needs: 1 }, Reply::Hello { generation: 2, release: release() })
}

/// What generation 2 brought for tasks that are stopped, go on and have names.
fn workspaces() -> (Vec<Request>, Vec<Reply>) {
    let labels = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let update = |change: NamingChange| Request::Update(change.into());
    let named = NamingChange {
        name: NameChange::Set("build-1".into()),
        labels: labels(&[("team", "core")]),
        remove_labels: vec!["stage".into()],
    };
    let nameless = NamingChange { name: NameChange::Remove, ..NamingChange::default() };
    let requests = vec![
        Request::StopTask { ttl_seconds: None },
        Request::StopTask { ttl_seconds: Some(0) },
        Request::StartTask { ttl_seconds: None },
        Request::StartTask { ttl_seconds: Some(600) },
        update(named),
        update(nameless),
        update(NamingChange { labels: labels(&[("stage", "test")]), ..NamingChange::default() }),
    ];
    (requests, vec![Reply::Done { record: named_task().into() }])
}

/// A stopped task with a name, labels, and no end.
fn named_task() -> Record {
    let labels = [("stage".to_owned(), "test".to_owned()), ("team".to_owned(), "core".to_owned())];
    let naming = Naming { name: Some("build-1".into()), labels: labels.into() };
    let mut named = Record { naming, state: State::Stopped, ..task() };
    named.live_for(Duration::ZERO, 1_700_000_000.5);
    named
}

/// Parses each line as what it says that it is.
fn parsed(lines: &[String]) -> (Vec<Request>, Vec<Reply>) {
    let (asked, said): (Vec<&String>, Vec<&String>) = lines.iter().partition(|line| line.starts_with("{\"ask\":"));
    let asked = asked.into_iter().map(|line| serde_json::from_str(line).unwrap());
    (asked.collect(), said.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn messages_of_the_first_generation_are_understood() {
    assert_eq!(parsed(&golden(1)), (requests(), replies()));
    assert!(requests().iter().all(|request| request.needs() == 1), "its supervisors are asked for all of them");
}

#[test]
fn messages_of_this_generation_are_written_as_before_and_understood() {
    let (hello, welcome) = hellos();
    let asked: Vec<Request> = std::iter::once(hello).chain(requests()).collect();
    let said: Vec<Reply> = std::iter::once(welcome).chain(replies()).collect();
    // Not as text: the order of the fields may change.
    let written = asked.iter().map(|request| serde_json::to_value(request).unwrap());
    let written = written.chain(said.iter().map(|reply| serde_json::to_value(reply).unwrap()));
    for (written, before) in written.zip(golden(2)) {
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(&before).unwrap());
    }
    assert_eq!(parsed(&golden(2)), (asked, said));
}

#[test]
fn messages_for_stopped_and_named_tasks_are_written_as_before_and_need_this_generation() {
    let (asked, said) = workspaces();
    let written = asked.iter().map(|request| serde_json::to_value(request).unwrap());
    let written: Vec<_> = written.chain(said.iter().map(|reply| serde_json::to_value(reply).unwrap())).collect();
    let before = lines("socket-2-workspaces.jsonl");
    let before_values = before.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    assert_eq!(written, before_values.collect::<Vec<_>>());
    assert!(asked.iter().all(|request| request.needs() == 2), "an older supervisor is not asked for them");
    assert_eq!(parsed(&before), (asked, said));
}

/// A release of the first generation reads what this one writes: but for the hello, the bytes are the same.
#[test]
fn this_generation_adds_only_the_hello() {
    let without_hello: Vec<String> = golden(2)
        .into_iter()
        .filter(|line| !line.contains(r#"{"ask":"hello""#) && !line.contains(r#"{"say":"hello""#))
        .collect();
    assert_eq!(without_hello, golden(1));
}

#[test]
fn what_the_store_has_is_the_same_behind_the_socket() {
    for record in [task(), named_task(), vm(State::Creating), vm(State::Created), vm(State::Stopped)] {
        let Reply::Done { record: form } = (Reply::Done { record: record.clone().into() }) else { unreachable!() };
        assert_eq!(Record::try_from(form).unwrap(), record);
    }
    for command in commands() {
        let Reply::Ended { entry } = (Reply::Ended { entry: command.clone().into() }) else { unreachable!() };
        assert_eq!(CommandRecord::from(entry), command);
    }
}
