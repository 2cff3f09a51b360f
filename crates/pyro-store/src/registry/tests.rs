use super::*;
use crate::lifecycle::State;
use crate::record::wanted;

fn record(digits: &str, kind: Kind, at: f64) -> Record {
    let id = VmId::parse(digits).unwrap();
    Record { state: State::Started, ..Record::new(id, kind, "debian:12", "1", wanted(), at) }
}

fn data() -> (tempfile::TempDir, PathBuf) {
    let base = tempfile::tempdir().unwrap();
    let data = base.path().join("data");
    (base, data)
}

#[test]
fn what_is_put_is_found_by_id_prefix_and_attempt() {
    let (_base, data) = data();
    let mut registry = Registry::open(&data).unwrap();
    let mut one = record("aaaa00000001", Kind::Task, 2.0);
    one.attempt_id = Some("x".into());
    let other = record("aaaa00000002", Kind::Task, 1.0);
    let vm = record("aaaa00000003", Kind::Vm, 0.0);
    for record in [&one, &other, &vm] {
        registry.put(record).unwrap();
    }
    one.last_error = Some("why".into());
    registry.put(&one).unwrap();
    assert_eq!(registry.find(&one.id).unwrap(), Known::Here(Box::new(one.clone())));
    assert_eq!(registry.find_attempt("x").unwrap(), Known::Here(Box::new(one.clone())));
    assert_eq!(registry.list(Kind::Task, "aaaa").unwrap(), [other, one], "oldest first");
    assert_eq!(registry.list(Kind::Vm, "").unwrap(), [vm]);
    assert_eq!(registry.list(Kind::Task, "%").unwrap(), [] as [Record; 0]);
}

#[test]
fn what_is_gone_is_remembered_for_a_day() {
    let (_base, data) = data();
    let mut registry = Registry::open(&data).unwrap();
    let mut one = record("aaaa00000001", Kind::Task, 0.0);
    one.attempt_id = Some("x".into());
    registry.put(&one).unwrap();
    registry.add_tombstone(&one.id, Ended::Expired, 100.0).unwrap();
    registry.add_tombstone(&one.id, Ended::Deleted, 101.0).unwrap();
    let gone = Known::Gone { id: one.id.clone(), kind: Kind::Task, reason: Ended::Expired };
    assert_eq!(registry.find(&one.id).unwrap(), gone);
    assert_eq!(registry.find_attempt("x").unwrap(), gone);
    registry.add_tombstone(&record("aaaa00000002", Kind::Vm, 0.0).id, Ended::Deleted, 100.0 + MEMORY_SECONDS).unwrap();
    assert_eq!(registry.find(&one.id).unwrap(), gone, "to the day");
    registry.add_tombstone(&one.id, Ended::Deleted, 101.0 + MEMORY_SECONDS).unwrap();
    assert_eq!(registry.find(&one.id).unwrap(), Known::Nothing);
}

#[test]
fn a_newer_registry_is_refused_and_left_alone() {
    let (_base, data) = data();
    drop(Registry::open(&data).unwrap());
    let connection = Connection::open(path(&data)).unwrap();
    connection.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    let error = Registry::open(&data).err().unwrap();
    assert!(matches!(error, Error::Registry(RegistryProblem::Newer { .. })));
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, schema::VERSION + 1);
}

#[test]
fn a_missing_or_damaged_registry_is_made_anew_from_the_directories() {
    let (_base, data) = data();
    let one = record("aaaa00000001", Kind::Task, 1.0);
    let directory = data.join("vms").join(one.id.as_str());
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::create_dir_all(data.join("vms/bbbb00000001")).unwrap();
    one.write(&directory).unwrap();
    assert_eq!(Registry::open(&data).unwrap().list(Kind::Task, "").unwrap(), std::slice::from_ref(&one));
    let _ = std::fs::remove_file(data.join("registry.sqlite-journal"));
    std::fs::write(path(&data), vec![b'x'; 8192]).unwrap();
    assert_eq!(Registry::open(&data).unwrap().list(Kind::Task, "").unwrap(), [one]);
    assert_eq!(std::fs::read(data.join("registry.damaged.sqlite")).unwrap(), vec![b'x'; 8192], "kept for a person");
}

#[test]
fn many_at_once_make_one_registry_and_lose_nothing() {
    let (_base, data) = data();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let data = data.clone();
            std::thread::spawn(move || {
                for at in 0..5 {
                    let one = record(&format!("{writer:06}{at:06}"), Kind::Task, 1.0);
                    Registry::open(&data).unwrap().put(&one).unwrap();
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(Registry::open(&data).unwrap().list(Kind::Task, "").unwrap().len(), 40);
}
