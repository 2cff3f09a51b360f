use super::*;
use pyro_network::NetworkError;
use pyro_store::{Ended, Kind};

/// One of every kind of error a user can meet.
fn file(reason: &str) -> Error {
    Error::File { reason: reason.into(), path: "a/b".into(), message: "what the guest says".into() }
}

fn every_error() -> Vec<Error> {
    let io = |kind| io::Error::new(kind, "the host's words");
    let death = Death {
        status: "QEMU ended with signal: 9 (SIGKILL)".into(),
        complaints: vec![],
        console: vec!["Kernel panic - not syncing".into()],
    };
    let tool = |line: &str| EnvironmentError::Tool {
        program: "mmdebstrap".into(),
        status: "exit status: 25".into(),
        last_words: vec![line.into()],
    };
    let id = || "0123456789ab".to_owned();
    let sql = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
    let json = || serde_json::from_str::<u8>("x").unwrap_err();
    vec![
        Error::OutOfRange { field: "mem_mib", value: "1".into(), bounds: "256 to 32768".into() },
        Error::InvalidArgument { problem: "no command was given".into() },
        Error::Network(NetworkError::Missing { program: "passt".into() }),
        Error::Network(NetworkError::NoRoute),
        Error::Network(NetworkError::NotUp { why: "no namespaces".into() }),
        Error::Network(NetworkError::Silent { waited: Duration::from_secs(10) }),
        EnvironmentError::Unknown { name: "x".into(), known: vec!["debian:12"] }.into(),
        EnvironmentError::NotInstalled { name: "debian:12".into() }.into(),
        EnvironmentError::NoSpace { name: "debian:12".into(), path: "/c".into(), available_mib: 1, needed_mib: 1600 }
            .into(),
        EnvironmentError::MissingTool { program: "mmdebstrap".into() }.into(),
        tool("E: something went wrong").into(),
        tool("dpkg: write: No space left on device").into(),
        EnvironmentError::Kernel { problem: "it is not a Linux boot image".into() }.into(),
        EnvironmentError::Damaged { name: "debian:12".into(), problem: "vmlinux is gone".into() }.into(),
        EnvironmentError::Newer { path: "/c/environment.json".into(), found: 2, ours: 1 }.into(),
        EnvironmentError::Unpack {
            name: "debian:12".into(),
            source: Box::new(Error::GuestNotUp {
                waited: Duration::from_secs(60),
                console: vec!["one".into(), "two".into()],
            }),
        }
        .into(),
        EnvironmentError::Host { attempt: "write the kernel".into(), source: io(io::ErrorKind::PermissionDenied) }
            .into(),
        ProgramError::Missing { program: "qemu-system-x86_64".into() }.into(),
        ProgramError::TooOld { program: "/usr/bin/qemu".into(), found: "7.2.19".into(), minimum: "8.2" }.into(),
        ProgramError::Unreadable { program: "/usr/bin/qemu".into() }.into(),
        Error::Start(StartError::Refused { command: "migrate-incoming", message: "no".into() }),
        Error::Start(StartError::Died { death: death.clone() }),
        Error::GuestNotUp { waited: Duration::from_secs(60), console: vec![] },
        Error::DiedEarly { death: death.clone() },
        Error::MachineLost { death: death.clone() },
        Error::AgentGeneration { guest: 7 },
        Error::GuestNonsense(GuestError::Nonsense { what: "stdin" }),
        Error::CommandRefused(Refusal { reason: "no_directory".into(), message: "/x is not a directory".into() }),
        Error::Save(SaveError::Refused { message: "no".into() }),
        Error::NotIdentified { why: "reseed: the device refused".into() },
        Error::ClockSource { found: "refined-jiffies".into() },
        RegistryProblem::Newer { path: "/d/registry.sqlite".into(), found: 2, ours: 1 }.into(),
        RegistryProblem::Network { path: "/d".into(), kind: "NFS" }.into(),
        RegistryProblem::Sql { path: "/d/registry.sqlite".into(), source: sql(rusqlite::ffi::SQLITE_IOERR) }.into(),
        RegistryProblem::Sql { path: "/d/registry.sqlite".into(), source: sql(rusqlite::ffi::SQLITE_FULL) }.into(),
        RegistryProblem::Row {
            path: "/d/registry.sqlite".into(),
            id: id(),
            source: Box::new(RecordProblem::Damaged { path: "/d/registry.sqlite".into(), why: "it is cut".into() }),
        }
        .into(),
        RegistryProblem::Stale { path: "/d/registry.sqlite".into(), id: id() }.into(),
        RecordProblem::Newer { path: "/d/record.json".into(), found: 2, ours: 1 }.into(),
        RecordProblem::Damaged { path: "/d/record.json".into(), why: "its checksum does not match".into() }.into(),
        RecordProblem::Unread { path: "/d/record.json".into(), source: io(io::ErrorKind::PermissionDenied) }.into(),
        RecordProblem::Missing { directory: "/d/vms/0123456789ab".into() }.into(),
        JournalProblem::Log { path: "/j".into(), source: pyro_hostfs::log::LogError::Format }.into(),
        JournalProblem::Log { path: "/j".into(), source: pyro_hostfs::log::LogError::Newer { found: 2, ours: 1 } }
            .into(),
        JournalProblem::Log {
            path: "/j".into(),
            source: pyro_hostfs::log::LogError::Io(io(io::ErrorKind::PermissionDenied)),
        }
        .into(),
        JournalProblem::Record { path: "/j".into(), source: json() }.into(),
        Unavailable::Unknown { kind: Kind::Task, id: id() }.into(),
        Unavailable::Unknown { kind: Kind::Vm, id: id() }.into(),
        Unavailable::Gone { kind: Kind::Task, id: id(), reason: Ended::Expired }.into(),
        Unavailable::RunExpired { ttl_seconds: 60 }.into(),
        Unavailable::Gone { kind: Kind::Vm, id: id(), reason: Ended::Deleted }.into(),
        Unavailable::Ambiguous { kind: Kind::Task, prefix: "0".into(), ids: vec![id(), "0fedcba98765".into()] }.into(),
        Unavailable::Capacity { limit: 4, live: 4 }.into(),
        Unavailable::NotStarted { id: id(), state: "created" }.into(),
        Unavailable::Stopped { kind: Kind::Task, id: id(), why: Error::machine_gone(&death) }.into(),
        Unavailable::Stopped { kind: Kind::Vm, id: id(), why: "its supervisor was asked to end".into() }.into(),
        Unavailable::EnvironmentChanged { kind: Kind::Vm, id: id() }.into(),
        Unavailable::EnvironmentChanged { kind: Kind::Task, id: id() }.into(),
        Unavailable::NameTaken { name: "mine".into(), id: id() }.into(),
        Unavailable::AttemptConflict { attempt_id: "mine".into() }.into(),
        Unavailable::UnknownSequence { id: id(), sequence: 9 }.into(),
        Unavailable::CommandLost { id: id(), sequence: 9, why: "the machine ended while it ran".into() }.into(),
        Unavailable::CommandNotRun { id: id(), sequence: 9, why: "/x is not a directory".into() }.into(),
        Unavailable::CommandCancelled { id: id(), sequence: 9, why: "its machine expired".into() }.into(),
        Unavailable::Supervisor {
            id: id(),
            what: "ended before it was ready",
            log: "; the last lines of its log:\n  x".into(),
        }
        .into(),
        Unavailable::TooManyClients { limit: 256 }.into(),
        Unavailable::OtherRelease {
            supervisor: "2.1.0 or earlier".into(),
            client: "2.2.0".into(),
            what: "the supervisor cannot do what is asked",
        }
        .into(),
        Unavailable::Unanswered { id: id(), why: "its supervisor ended unexpectedly".into() }.into(),
        Error::HostCompatRefused,
        Error::CallerGone { sequence: 9 },
        file("not_found"),
        file("not_a_directory"),
        file("is_a_directory"),
        file("exists"),
        file("not_empty"),
        file("outside_root"),
        file("changed"),
        file("no_space"),
        file("permission"),
        file("incomplete"),
        file("failed"),
        Error::FileUnknown { problem: "the machine ended meanwhile".into() },
        Error::Source { problem: "/x cannot be read: No such file or directory".into() },
        Error::SourceStream,
        Error::Export { problem: "../x: name_parent".into() },
        Error::Apply { problem: "1 changes conflict with the host's tree and 0 are refused".into() },
        Error::FileCancelled,
        Error::Cancelled,
        Error::Host { attempt: "make the machine's directory".into(), source: io(io::ErrorKind::StorageFull) },
        Error::Host { attempt: "make the machine's directory".into(), source: io(io::ErrorKind::PermissionDenied) },
    ]
}

#[test]
fn messages_codes_and_hints_are_what_they_were() {
    let shown: String = every_error()
        .iter()
        .map(|error| {
            let Failure { error, code, hint } = error.failure();
            format!("{code}\n  {error}\n  hint: {}\n", hint.as_deref().unwrap_or("-"))
        })
        .collect();
    insta::assert_snapshot!(shown);
}

#[test]
fn a_cause_is_said_once() {
    let error = Error::Start(StartError::Refused { command: "cont", message: "no".into() });
    assert_eq!(error.failure().error, "the machine could not be started: the machine refused `cont`: no");
}
