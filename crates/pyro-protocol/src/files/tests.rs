use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One of every operation, with every field set.
fn requests() -> Vec<(&'static str, Operation)> {
    let path = || b"a/\xff".to_vec();
    vec![
        ("list", Operation::List(List { path: path(), recursive: true, max_entries: 7 })),
        ("stat", Operation::Stat(Stat { path: path() })),
        ("read", Operation::Read(Read { path: path(), offset: 1 << 33, length: 9 })),
        (
            "write",
            Operation::Write(Write {
                path: path(),
                mode: Some(0o755),
                if_digest: ABSENT.into(),
                create_parents: true,
                offset: Some(0),
            }),
        ),
        ("make directory", Operation::MakeDirectory(MakeDirectory { path: path(), mode: Some(0o700), parents: true })),
        ("remove", Operation::Remove(Remove { path: path(), recursive: true })),
        ("move", Operation::Move(Move { from: path(), to: b"b".to_vec(), replace: true })),
        (
            "find",
            Operation::Find(Find { path: path(), glob: b"*.rs".to_vec(), kind: Kind::File as i32, max_entries: 3 }),
        ),
        (
            "grep",
            Operation::Grep(Grep {
                path: path(),
                pattern: b"fn".to_vec(),
                fixed: true,
                ignore_case: true,
                glob: b"*.rs".to_vec(),
                max_matches: 4,
            }),
        ),
        ("digest", Operation::Digest(Digest { path: path() })),
        ("pack", Operation::Pack(Pack { paths: vec![path(), b"b".to_vec()] })),
        ("unpack", Operation::Unpack(Unpack { path: path(), keep_owners: true })),
        ("begin seed", Operation::BeginSeed(BeginSeed {})),
        ("mount workspace", Operation::MountWorkspace(MountWorkspace {})),
        ("changes", Operation::Changes(Changes { paths: vec![path(), b"b".to_vec()], max_entries: 5 })),
    ]
}

fn replies() -> Vec<(&'static str, Vec<u8>)> {
    let entry = Entry {
        path: b"a".to_vec(),
        kind: Kind::Symlink as i32,
        size: 3,
        mode: 0o777,
        mtime_ns: -1,
        uid: 1000,
        gid: 1001,
        link_target: b"..".to_vec(),
        digest: "00".into(),
    };
    let found = Match { path: b"a".to_vec(), line_number: 2, line: b"x\xff".to_vec(), truncated: true };
    let (before, after) = (Some(entry.clone()), Some(Entry { mode: 0o755, ..Entry::default() }));
    let change = Change { path: b"a".to_vec(), before, after };
    let reply = |reply| frame(&FileReply { reply: Some(reply) });
    let event = |event| frame(&FileEvent { event: Some(event) });
    vec![
        ("entry", reply(Reply::Entry(entry))),
        ("match", reply(Reply::Match(found))),
        ("change", reply(Reply::Change(change))),
        ("notice", event(Event::Notice(Notice { path: b"s".to_vec(), problem: "a socket".into() }))),
        ("progress", event(Event::Progress(Progress { entries: 1000, bytes: 1 << 23 }))),
        ("done", event(Event::Done(Done { entries: 1, bytes: 2, digest: "ab".into(), truncated: true }))),
        (
            "failed",
            event(Event::Failed(Failed {
                reason: reason::NOT_FOUND.into(),
                path: b"a".to_vec(),
                message: "no".into(),
                entries: 1,
                bytes: 2,
            })),
        ),
    ]
}

/// A guest of today's template is spoken to by the host of tomorrow: the bytes stay.
#[test]
fn the_bytes_of_file_messages_are_frozen() {
    let path = format!("{}/golden/files.txt", env!("CARGO_MANIFEST_DIR"));
    let requests = requests().into_iter().map(|(name, operation)| {
        (name, frame(&FileRequest { root: b"/workspace".to_vec(), operation: Some(operation) }))
    });
    let now: String = requests.chain(replies()).map(|(name, bytes)| format!("{name}: {}\n", hex(&bytes))).collect();
    if std::env::var_os("PYRO_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    assert_eq!(now, std::fs::read_to_string(&path).expect("the golden file is in the repository"));
}

#[test]
fn messages_are_found_in_a_growing_buffer() {
    for (name, operation) in requests() {
        let request = FileRequest { root: b"/".to_vec(), operation: Some(operation) };
        let mut bytes = frame(&request);
        let whole = bytes.len();
        for length in 0..whole {
            assert_eq!(next_message::<FileRequest>(&bytes[..length]), Ok(None), "{name}, {length} bytes");
        }
        bytes.extend_from_slice(b"more");
        assert_eq!(next_message(&bytes), Ok(Some((request, whole))), "{name}");
    }
}

#[test]
fn a_message_of_absurd_length_is_refused_before_it_is_awaited() {
    let header = (MAX_MESSAGE as u32 + 1).to_le_bytes();
    assert!(next_message::<FileRequest>(&header).is_err());
    assert!(next_message::<FileRequest>(&(MAX_MESSAGE as u32).to_le_bytes()).is_ok());
}
