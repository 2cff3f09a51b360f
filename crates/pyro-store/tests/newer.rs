//! What a newer release wrote is refused, by its name and by both numbers, and not touched. Each file here is one that
//! release 2.1.0 wrote, with a format number that is one higher.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::fs;
use std::path::{Path, PathBuf};

use pyro_store::error::RecordProblem;
use pyro_store::journal::{self, Journal};
use pyro_store::{Error, Kind, Record, Registry};

fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)).unwrap()
}

/// An error as a user reads it: with its cause.
fn text(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

#[test]
fn a_newer_record_is_refused_and_not_touched() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("record.json");
    let newer = String::from_utf8(golden("record-1.json")).unwrap().replace("\"format\": 1", "\"format\": 2");
    fs::write(&path, &newer).unwrap();
    let problem = Record::read(base.path()).unwrap_err();
    assert!(matches!(problem, RecordProblem::Newer { found: 2, ours: 1, .. }));
    let said = format!(
        "{} was written by a newer release of pyro: it has format 2; this release supports format 1",
        path.display()
    );
    assert_eq!(text(&problem), said);
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

#[test]
fn a_newer_journal_is_refused_and_not_touched_by_readers_and_writers() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join(journal::LOG);
    let mut newer = golden("journal-1.log");
    assert_eq!(&newer[..8], b"pyrolog1");
    newer[7] = b'2';
    fs::write(&path, &newer).unwrap();
    let said = format!(
        "the journal {} cannot be read: it was written by a newer release of pyro: it has format 2; this release supports format 1",
        path.display()
    );
    let errors = [
        journal::read(base.path()).map(drop).unwrap_err(),
        journal::recover(base.path()).unwrap_err(),
        Journal::adopt(base.path(), 4).map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(&error, Error::Journal(problem) if problem.is_newer()), "{error:?}");
        assert_eq!(text(&error), said);
    }
    assert_eq!(fs::read(&path).unwrap(), newer);
}

/// The version stands at byte 60 of an SQLite file, as four bytes.
#[test]
fn a_newer_registry_is_refused_and_not_touched_by_readers_and_writers() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("registry.sqlite");
    let mut newer = golden("registry-1.sqlite");
    assert_eq!(newer[60..64], 1u32.to_be_bytes());
    newer[60..64].copy_from_slice(&2u32.to_be_bytes());
    fs::write(&path, &newer).unwrap();
    let said = format!(
        "{} was made by a newer release of pyro: it has version 2; this release supports version 1",
        path.display()
    );
    let errors = [
        Registry::open(base.path()).map(drop).unwrap_err(),
        Registry::read(base.path()).map(drop).unwrap_err(),
        Registry::refuse_newer(base.path()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(text(&error), said);
    }
    assert_eq!(fs::read(&path).unwrap(), newer);
    let left: Vec<PathBuf> = fs::read_dir(base.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [path], "nothing was made beside it");
}

/// What is refused above for its number alone is read with the number that release 2.1.0 wrote.
#[test]
fn the_same_files_with_their_own_numbers_are_read() {
    let base = tempfile::tempdir().unwrap();
    for (name, golden_name) in
        [("record.json", "record-1.json"), (journal::LOG, "journal-1.log"), ("registry.sqlite", "registry-1.sqlite")]
    {
        fs::write(base.path().join(name), golden(golden_name)).unwrap();
    }
    assert!(Record::read(base.path()).unwrap().is_some());
    assert_eq!(journal::read(base.path()).unwrap().entries.len(), 3);
    assert_eq!(Registry::open(base.path()).unwrap().list(Kind::Task, "").unwrap().len(), 1);
}
