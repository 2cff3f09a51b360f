use proptest::prelude::*;

use super::*;

fn entries(directory: &Path) -> Result<Vec<CommandRecord>, Error> {
    Ok(read(directory)?.entries)
}

fn is_newer(error: &Error) -> bool {
    matches!(error, Error::Journal(problem) if problem.is_newer())
}

fn began(command: &str) -> StartRecord {
    StartRecord {
        sequence: 0,
        command: command.into(),
        cwd: "/workspace".into(),
        attempt_id: None,
        request_digest: "d".into(),
        started_at: 1.5,
        execution_mode: "guest_agent".into(),
    }
}

fn finished(stdout: OutputLog, stderr: OutputLog) -> EndRecord {
    EndRecord {
        status: Status::Finished,
        exit_code: Some(0),
        duration_ms: Some(3),
        reason: None,
        stdout: stdout.finish(),
        stderr: stderr.finish(),
        ..EndRecord::lost(2.5, 0, 0)
    }
}

#[test]
fn a_command_is_running_from_its_beginning_and_what_it_wrote_is_there_at_once() {
    let base = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(base.path(), 100).unwrap();
    let mut begun = journal.begin(began("one")).unwrap();
    begun.stdout.push(b"\xffab");
    let read = entries(base.path()).unwrap().remove(0);
    assert_eq!((read.status(), read.began.command.as_str()), (Status::Running, "one"));
    assert_eq!(read_output(base.path(), 1, Stream::Stdout, 1, 9).unwrap(), b"ab");
    let end = finished(begun.stdout, begun.stderr);
    journal.end(1, &end).unwrap();
    assert_eq!(journal.begin(began("two")).unwrap().sequence, 2);
    let all = entries(base.path()).unwrap();
    assert_eq!((all[0].end.as_ref(), all[1].status()), (Some(&end), Status::Running));
    assert_eq!(end.stdout, StreamEnd { bytes: 3, kept: 3, crc32: Some(crc32fast::hash(b"\xffab")), cut: None });
}

#[test]
fn the_cap_keeps_the_first_bytes_and_says_so() {
    let base = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(base.path(), 4).unwrap();
    let mut begun = journal.begin(began("one")).unwrap();
    begun.stdout.push(b"abc");
    begun.stdout.push(b"def");
    begun.stdout.push(b"ghi");
    begun.stderr.push(b"1234");
    let end = finished(begun.stdout, begun.stderr);
    assert_eq!((end.stdout.bytes, end.stdout.kept), (9, 4));
    assert_eq!(end.stdout.cut.as_deref(), Some("the journal keeps 4 bytes of each stream"));
    assert_eq!((end.stderr.bytes, end.stderr.cut), (4, None), "to the byte");
    assert_eq!(read_tail(base.path(), 1, Stream::Stdout, 3).unwrap(), b"bcd");
}

#[test]
fn what_was_running_when_the_writer_died_is_lost_and_numbers_go_on() {
    let base = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(base.path(), 100).unwrap();
    let one = journal.begin(began("one")).unwrap();
    let mut two = journal.begin(began("two")).unwrap();
    two.stdout.push(b"half");
    journal.end(1, &finished(one.stdout, one.stderr)).unwrap();
    drop(journal);
    recover(base.path()).unwrap();
    let all = entries(base.path()).unwrap();
    assert_eq!(all.iter().map(CommandRecord::status).collect::<Vec<_>>(), [Status::Finished, Status::Lost]);
    let end = all[1].end.as_ref().unwrap();
    assert_eq!((end.exit_code, end.duration_ms, end.stdout.kept), (None, None, 4), "nothing is invented");
    recover(base.path()).unwrap();
    assert_eq!(entries(base.path()).unwrap(), all, "once");
    assert_eq!(Journal::adopt(base.path(), 100).unwrap().0.begin(began("three")).unwrap().sequence, 3);
}

#[test]
fn a_journal_of_a_later_format_is_refused() {
    let base = tempfile::tempdir().unwrap();
    std::fs::write(base.path().join(LOG), b"pyrolog2").unwrap();
    assert!(is_newer(&entries(base.path()).unwrap_err()));
    assert!(is_newer(&recover(base.path()).unwrap_err()));
}

/// Found by fuzzing: an end of the number was taken for the end of one of them, and the other ran for ever.
#[test]
fn a_journal_with_a_number_twice_or_left_out_is_damaged_and_left_alone() {
    for numbers in [[1, 1], [1, 3], [2, 3], [u64::MAX, 1]] {
        let base = tempfile::tempdir().unwrap();
        let mut log = AppendLog::create(&base.path().join(LOG)).unwrap();
        for sequence in numbers {
            log.append(&command_record::Event::Began(StartRecord { sequence, ..began("x") }).bytes()).unwrap();
        }
        let before = std::fs::read(base.path().join(LOG)).unwrap();
        assert!(entries(base.path()).is_err() && recover(base.path()).is_err(), "{numbers:?}");
        assert_eq!(std::fs::read(base.path().join(LOG)).unwrap(), before);
    }
}

#[test]
fn a_directory_without_a_journal_has_no_commands() {
    let base = tempfile::tempdir().unwrap();
    recover(base.path()).unwrap();
    assert_eq!(entries(base.path()).unwrap(), []);
}

/// A journal of three commands that ended, and its records' places in the file.
fn three(directory: &Path) -> (Vec<CommandRecord>, Vec<std::ops::Range<usize>>) {
    let mut journal = Journal::create(directory, 100).unwrap();
    for name in ["one", "two", "three"] {
        let begun = journal.begin(began(name)).unwrap();
        journal.end(begun.sequence, &finished(begun.stdout, begun.stderr)).unwrap();
    }
    drop(journal);
    let mut at = 8;
    let log = log::read(&directory.join(LOG)).unwrap();
    let places = log.records.iter().map(|record| {
        let begin = at;
        at += 8 + record.len();
        begin..at
    });
    let places = places.collect();
    (entries(directory).unwrap(), places)
}

fn flip(path: &Path, bit: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_beginning_or_end_is_said_and_no_exit_code_is_invented() {
    for (record, status, exit_code) in
        [(2, Status::Finished, Some(0)), (3, Status::Lost, None), (5, Status::Lost, None)]
    {
        let base = tempfile::tempdir().unwrap();
        let (whole, places) = three(base.path());
        flip(&base.path().join(LOG), (places[record].start + 20) * 8);
        let damaged = std::fs::read(base.path().join(LOG)).unwrap();
        let read_only = read(base.path()).unwrap();
        assert!(read_only.problem().unwrap().contains("bytes cannot be read (damaged parts: 1)"));
        recover(base.path()).unwrap();
        let all = entries(base.path()).unwrap();
        assert_eq!(all.len(), 3);
        let hit = if record == 5 { 2 } else { 1 };
        assert_eq!(
            (all[hit].status(), all[hit].exit_code(), all[hit].began.sequence),
            (status, exit_code, hit as u64 + 1)
        );
        assert!(all[hit].end.as_ref().unwrap().reason.as_ref().unwrap().contains("the journal is damaged"));
        assert!((0..3).filter(|at| *at != hit).all(|at| all[at] == whole[at]), "the others are as they were");
        let aside = std::fs::read_dir(base.path()).unwrap().map(|entry| entry.unwrap().path());
        let aside: Vec<_> = aside.filter(|path| path.display().to_string().contains("journal.damaged-")).collect();
        assert_eq!(aside.len(), 1);
        assert_eq!(std::fs::read(&aside[0]).unwrap(), damaged, "kept as it was");
    }
}

#[test]
fn a_command_of_which_nothing_can_be_read_is_lost_and_keeps_its_number() {
    let base = tempfile::tempdir().unwrap();
    let (_, places) = three(base.path());
    for record in [2, 3] {
        flip(&base.path().join(LOG), (places[record].start + 9) * 8);
    }
    for _ in 0..2 {
        recover(base.path()).unwrap();
        let all = entries(base.path()).unwrap();
        let statuses: Vec<_> = all.iter().map(|entry| (entry.began.sequence, entry.status())).collect();
        assert_eq!(statuses, [(1, Status::Finished), (2, Status::Lost), (3, Status::Finished)]);
        let reason = all[1].end.as_ref().unwrap().reason.as_deref();
        assert_eq!(reason, Some("the journal is damaged here: the command and its outcome are unknown"));
    }
}

#[test]
fn a_number_is_never_used_twice_whatever_of_the_log_is_gone() {
    let base = tempfile::tempdir().unwrap();
    let (_, places) = three(base.path());
    // The last command's records are gone, and its output is there.
    File::options().write(true).open(base.path().join(LOG)).unwrap().set_len(places[4].start as u64 + 5).unwrap();
    std::fs::write(files::path(base.path(), 3, Stream::Stdout), "kept").unwrap();
    let (mut journal, _) = Journal::adopt(base.path(), 100).unwrap();
    assert_eq!(journal.begin(began("four")).unwrap().sequence, 4);
    assert_eq!(read_output(base.path(), 3, Stream::Stdout, 0, 9).unwrap(), b"kept");
    let numbers: Vec<_> = entries(base.path()).unwrap().iter().map(|entry| entry.began.sequence).collect();
    assert_eq!(numbers, [1, 2, 4], "the third was not written down, so it was not sent");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever is begun and ended in whatever order, and wherever the file is cut: numbers are
    /// distinct and in order, and an entry that ended before the cut stays as it ended.
    #[test]
    fn a_cut_journal_tells_a_beginning_of_the_truth(ends in proptest::collection::vec(any::<bool>(), 1..12), cut in 0u64..400) {
        let base = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(base.path(), 100).unwrap();
        for end in &ends {
            let begun = journal.begin(began("x")).unwrap();
            if *end {
                journal.end(begun.sequence, &finished(begun.stdout, begun.stderr)).unwrap();
            }
        }
        let whole = entries(base.path()).unwrap();
        drop(journal);
        let path = base.path().join(LOG);
        let length = std::fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(length.saturating_sub(cut).max(8)).unwrap();
        recover(base.path()).unwrap();
        for (at, left) in entries(base.path()).unwrap().iter().enumerate() {
            prop_assert_eq!(left.began.sequence, at as u64 + 1);
            prop_assert_ne!(left.status(), Status::Running);
            prop_assert!(left.status() == Status::Lost || left == &whole[at]);
        }
    }

    /// Whichever bit is flipped, every command is there with what its whole records say, also after the next
    /// writer has come.
    #[test]
    fn a_flipped_bit_is_seen_and_costs_what_it_hits(bit in 0usize..20_000) {
        let base = tempfile::tempdir().unwrap();
        let (whole, places) = three(base.path());
        let path = base.path().join(LOG);
        let bit = bit % (std::fs::metadata(&path).unwrap().len() as usize * 8);
        flip(&path, bit);
        let hit = places.iter().position(|place| place.contains(&(bit / 8))).map(|record| record / 2);
        for turn in 0..2 {
            let contents = read(base.path()).unwrap();
            prop_assert!(contents.problem().is_some());
            prop_assert_eq!(contents.entries.len(), 3 + turn);
            for (at, entry) in contents.entries.iter().take(3).enumerate() {
                prop_assert_eq!(entry.began.sequence, at as u64 + 1);
                prop_assert!(Some(at) == hit || entry == &whole[at]);
                prop_assert!(entry.exit_code().is_none_or(|code| code == 0));
            }
            let (mut journal, _) = Journal::adopt(base.path(), 100).unwrap();
            prop_assert_eq!(journal.begin(began("next")).unwrap().sequence, 4 + turn as u64);
        }
    }
}
