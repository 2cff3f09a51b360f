//! Ways in for the fuzz targets; not part of what is built otherwise.

use std::fs;

use pyro_hostfs::log::{AppendLog, MAX_RECORD};
use pyro_store::journal::{self, Status};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::supervisor::rpc::{Arrived, Connection, Request};

/// Bytes at a socket, heard as a supervisor hears them and as a client does.
pub fn conversation(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        let mut connection = Connection::new(ours);
        let hear = async {
            while let Ok(Some(arrived)) = connection.reader.next().await {
                if let Arrived::Message(message) = arrived {
                    let _ = serde_json::from_slice::<Request>(&message);
                    let _ = connection.reader.parse_reply(&message);
                }
            }
            drop(connection);
        };
        let say = async {
            let _ = theirs.write_all(bytes).await;
            let _ = theirs.shutdown().await;
        };
        tokio::join!(hear, say);
    });
}

/// A journal: lines are records, and what follows an empty line is written behind them as it is.
pub fn journal(bytes: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(journal::LOG);
    let (records, tail) = match bytes.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, &b""[..]),
    };
    let mut log = AppendLog::create(&path).expect("a log");
    records.split(|byte| *byte == b'\n').for_each(|record| {
        let _ = log.append(&record[..record.len().min(MAX_RECORD)]);
    });
    drop(log);
    let mut whole = fs::read(&path).expect("the log");
    whole.extend(tail);
    fs::write(&path, whole).expect("the log");
    let Ok(before) = journal::read(directory.path()).map(|contents| contents.entries) else {
        assert!(journal::recover(directory.path()).is_err(), "what cannot be read is left alone");
        return;
    };
    if journal::recover(directory.path()).is_err() {
        return;
    }
    let after = journal::read(directory.path()).expect("what was recovered can be read").entries;
    assert_eq!(before.len(), after.len(), "no command is lost");
    for (before, after) in before.iter().zip(&after) {
        assert!(after.status() != Status::Running);
        assert!(before.status() == Status::Running || before == after, "what ended stays");
    }
    let once = fs::read(&path).expect("the log");
    journal::recover(directory.path()).expect("there is nothing to do");
    assert!(fs::read(&path).expect("the log") == once);
}

/// Records of machines and templates of any content.
pub fn records(bytes: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    for name in [pyro_store::record::RECORD, crate::template::RECORD] {
        fs::write(directory.path().join(name), bytes).expect("a file");
    }
    if let Ok(Some(record)) = pyro_store::record::Record::read(directory.path()) {
        record.write(directory.path()).expect("it can be written");
        let again = pyro_store::record::Record::read(directory.path());
        assert!(again.is_ok_and(|again| again.is_some_and(|again| again.id == record.id)));
    }
    let _ = crate::template::verify(directory.path());
}
