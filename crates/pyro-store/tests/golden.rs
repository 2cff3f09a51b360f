//! The bytes on disk: what this release writes is what the one before wrote, and reads. A deliberate change is
//! another format, with a golden file of its own.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use pyro_store::journal::{self, EndRecord, Journal, StartRecord, Status};
use pyro_store::{Addresses, Ended, Kind, Known, Naming, Record, Registry, Settings, State, VmId, Wanted};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// A record of which every field says something.
fn record() -> Record {
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

#[test]
fn a_record_is_written_as_before_and_read_again() {
    // The order of the fields may change; the checksum is of the text as it stands.
    let fields = |text: &str| {
        let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
        assert!(fields.remove("crc32").unwrap().is_string());
        fields
    };
    let before = std::fs::read_to_string(golden("record-1.json")).unwrap();
    assert_eq!(fields(&record().text()), fields(&before));
    assert_eq!(Record::parse(before.as_bytes(), Path::new("record.json")).unwrap(), record());
}

/// Names and labels are additions that stand beside the other fields: release 2.1.0 reads the rest.
#[test]
fn a_record_with_a_name_and_labels_and_without_an_end_is_written_as_before_and_read_again() {
    let labels = [("stage".to_owned(), "test".to_owned()), ("team".to_owned(), "core".to_owned())];
    let naming = Naming { name: Some("build-1".into()), labels: labels.into() };
    let mut named = Record { state: State::Stopped, naming, ..record() };
    named.live_for(Duration::ZERO, 1_700_000_000.5);
    let before = std::fs::read_to_string(golden("record-1-named.json")).unwrap();
    let fields = |text: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).unwrap();
    assert_eq!(fields(&named.text()), fields(&before));
    let read = Record::parse(before.as_bytes(), Path::new("record.json")).unwrap();
    assert_eq!((read.expiry(), read.is_expired(4e9), &read), (None, false, &named));
    assert!(fields(&before)["expires_at"].is_number(), "release 2.1.0 reads a time that is far away");
    assert_eq!(record().expiry(), Some(1_700_000_600.5));
}

/// The log's records, a line each.
fn lines(directory: &Path) -> String {
    let contents = pyro_hostfs::log::read(&directory.join(journal::LOG)).unwrap();
    contents.records.iter().map(|record| format!("{}\n", String::from_utf8_lossy(record))).collect()
}

#[test]
fn a_journal_is_written_as_before_and_read_again() {
    let base = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(base.path(), 4).unwrap();
    for (command, status) in [("true", Status::Finished), ("sleep 9", Status::TimedOut), ("x", Status::Running)] {
        let began = StartRecord {
            sequence: 0,
            command: command.into(),
            cwd: "/workspace".into(),
            attempt_id: Some(command.into()),
            request_digest: "sha256:22".into(),
            started_at: 1_700_000_000.5,
            execution_mode: "guest_agent".into(),
        };
        let mut begun = journal.begin(began).unwrap();
        begun.stdout.push(b"twelve bytes");
        let end = EndRecord {
            status,
            exit_code: Some(0),
            duration_ms: Some(3),
            reason: None,
            stdout: begun.stdout.finish(),
            stderr: begun.stderr.finish(),
            ..EndRecord::lost(1_700_000_001.5, 0, 0)
        };
        if status != Status::Running {
            journal.end(begun.sequence, &end).unwrap();
        }
    }
    assert_eq!(lines(base.path()), std::fs::read_to_string(golden("journal-1.txt")).unwrap());
    let read = journal::read(base.path()).unwrap();
    let statuses: Vec<Status> = read.entries.iter().map(journal::CommandRecord::status).collect();
    assert_eq!(statuses, [Status::Finished, Status::TimedOut, Status::Running]);
}

/// The whole file, as release 2.1.0 wrote it.
#[test]
fn a_journal_of_release_2_1_0_is_read_and_gone_on_with() {
    let base = tempfile::tempdir().unwrap();
    std::fs::copy(golden("journal-1.log"), base.path().join(journal::LOG)).unwrap();
    assert_eq!(lines(base.path()), std::fs::read_to_string(golden("journal-1.txt")).unwrap());
    journal::recover(base.path()).unwrap();
    let (_journal, entries) = Journal::adopt(base.path(), 4).unwrap();
    let statuses: Vec<Status> = entries.iter().map(journal::CommandRecord::status).collect();
    assert_eq!(statuses, [Status::Finished, Status::TimedOut, Status::Lost]);
}

/// The whole file, as release 2.1.0 wrote it: a task, a VM, and a task that has expired.
#[test]
fn a_registry_of_release_2_1_0_is_read_and_written_to() {
    let base = tempfile::tempdir().unwrap();
    std::fs::copy(golden("registry-1.sqlite"), base.path().join("registry.sqlite")).unwrap();
    let mut registry = Registry::open(base.path()).unwrap();
    assert_eq!(registry.list(Kind::Task, "").unwrap(), [record()]);
    let vms = registry.list(Kind::Vm, "").unwrap();
    assert_eq!(
        vms.iter().map(|vm| (vm.id.as_str(), vm.state)).collect::<Vec<_>>(),
        [("ba9876543210", State::Creating)]
    );
    let gone = VmId::parse("00000000000a").unwrap();
    let expired = Known::Gone { id: gone, kind: Kind::Task, reason: Ended::Expired };
    assert_eq!(registry.find_attempt("theirs").unwrap(), expired);
    assert_eq!(registry.find_attempt("mine").unwrap(), Known::Here(Box::new(record())));
    let changed = Record { last_error: None, ..record() };
    registry.put(&changed).unwrap();
    assert_eq!(Registry::open(base.path()).unwrap().find(&record().id).unwrap(), Known::Here(Box::new(changed)));
}
