use super::*;
use crate::journal;
use crate::lifecycle::{Kind, State};
use crate::record::wanted;
use crate::registry::Known;

fn machines() -> (tempfile::TempDir, Machines) {
    let base = tempfile::tempdir().unwrap();
    let machines = Machines::new(base.path().join("data"), NOTHING_OUTSIDE);
    (base, machines)
}

fn admit(machines: &Machines, limit: usize) -> Result<(VmId, Lock), Error> {
    let id = VmId::random().unwrap();
    machines.admit_one_shot(&id, Admission::Limit(limit)).map(|(_, lock)| (id, lock))
}

/// A directory with a record and nobody who owns it.
fn dead(machines: &Machines, state: State, created_at: f64) -> VmId {
    let id = VmId::random().unwrap();
    let new = Record::new(id.clone(), Kind::Task, "debian:12", "1", wanted(), created_at);
    let record = Record { state, ..new };
    let publish = || machines.registry()?.put(&record);
    machines.admit(&id, Admission::Limit(100), |path| record.write(path), publish).unwrap();
    journal::Journal::create(&machines.directory(&id), 100).unwrap();
    id
}

#[test]
fn the_next_machine_sweeps_what_a_dead_run_left_and_nothing_else() {
    let (_base, machines) = machines();
    let (living, _lock) = admit(&machines, 9).unwrap();
    let (dead, lock) = admit(&machines, 9).unwrap();
    drop(lock);
    fs::create_dir(machines.vms().join(".gone-undone-0123456789ab")).unwrap();
    let (next, _lock) = admit(&machines, 9).unwrap();
    assert!(machines.directory(&living).exists() && machines.directory(&next).exists());
    assert!(!machines.directory(&dead).exists());
    assert_eq!(fs::read_dir(machines.vms()).unwrap().count(), 2);
}

#[test]
fn what_a_sweep_removes_is_gone_when_the_lock_is_free_and_renamed_before() {
    let (_base, machines) = machines();
    let (dead, lock) = admit(&machines, 9).unwrap();
    fs::create_dir_all(machines.directory(&dead).join("deep/tree")).unwrap();
    drop(lock);
    let held = machines.hold().unwrap();
    assert_eq!(machines.recover_and_count(&held).unwrap().0, 0);
    let gone = machines.vms().join(format!(".gone-undone-{dead}"));
    assert!(!machines.directory(&dead).exists() && gone.join("deep/tree").exists(), "others wait for a name at most");
    drop(held);
    assert!(!gone.exists());
}

#[test]
fn a_sweep_of_nothing_makes_nothing() {
    let (base, machines) = machines();
    machines.recover().unwrap();
    assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
}

#[test]
fn there_is_room_for_the_limit_and_the_next_is_told_so() {
    let (_base, machines) = machines();
    let mut living: Vec<_> = (0..3).map(|_| admit(&machines, 3).unwrap()).collect();
    let error = admit(&machines, 3).unwrap_err();
    assert!(matches!(error, Error::Full { limit: 3, live: 3 }));
    assert!(error.to_string().contains('3'), "{error}");
    machines.release_slot(&living[0].0);
    let fourth = admit(&machines, 3).expect("an idle one takes no place");
    assert!(machines.take_slot(&living[0].0, Admission::Limit(3)).is_err(), "its place was taken");
    machines.take_slot(&fourth.0, Admission::Limit(3)).expect("it has its place");
    living.clear();
    machines.take_slot(&fourth.0, Admission::Limit(1)).unwrap();
}

#[test]
fn a_dead_supervisors_task_is_kept_stopped_and_what_nobody_got_is_forgotten() {
    let (_base, machines) = machines();
    let started = dead(&machines, State::Started, now());
    let creating = dead(&machines, State::Creating, now());
    let expired = dead(&machines, State::Started, 0.0);
    machines.recover().unwrap();
    let registry = machines.registry().unwrap();
    let Known::Here(record) = registry.find(&started).unwrap() else { panic!("it is kept") };
    assert_eq!((record.state, record.last_error.as_deref()), (State::Stopped, Some(SUPERVISOR_GONE)));
    assert_eq!(Record::read(&machines.directory(&started)).unwrap(), Some(*record));
    assert_eq!(registry.find(&creating).unwrap(), Known::Nothing);
    assert!(matches!(registry.find(&expired).unwrap(), Known::Gone { reason: Ended::Expired, .. }));
    assert!(!machines.directory(&creating).exists() && !machines.directory(&expired).exists());
}

#[test]
fn a_removal_that_was_cut_short_is_finished_and_remembered() {
    let (_base, machines) = machines();
    let id = dead(&machines, State::Started, now());
    fs::rename(machines.directory(&id), machines.vms().join(format!(".gone-deleted-{id}"))).unwrap();
    machines.recover().unwrap();
    let known = machines.registry().unwrap().find(&id).unwrap();
    assert!(matches!(known, Known::Gone { reason: Ended::Deleted, .. }), "{known:?}");
    assert_eq!(fs::read_dir(machines.vms()).unwrap().count(), 0);
}

#[test]
fn a_dead_task_that_cannot_be_settled_is_kept_and_takes_no_place() {
    let (_base, machines) = machines();
    let id = dead(&machines, State::Started, now());
    let journal = machines.directory(&id).join(journal::LOG);
    fs::write(&journal, b"pyrolog2 of a later release").unwrap();
    assert!(matches!(machines.recover().unwrap_err(), Error::Journal(problem) if problem.is_newer()));
    let _only = admit(&machines, 1).expect("the dead take no place");
    assert_eq!(fs::read(journal).unwrap(), b"pyrolog2 of a later release");
}
