//! Decisions about dead machines and about capacity, without files or clocks.

use crate::lifecycle::{Ended, State};
use crate::record::Record;

/// The least capacity, however little memory there is.
const MIN_CAPACITY: usize = 4;

/// What to do with a directory whose owner is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Its creator never took it, or it belonged to one run: remove it without a tombstone.
    Remove,
    /// Remove it, and remember its id.
    Tombstone(Ended),
    /// Its machine died with its owner: keep it, in the state `stopped`.
    Stop,
    /// Keep it unchanged.
    Keep,
}

/// What a directory was marked as when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It belongs to one run and must be removed completely.
    OneShot,
    /// Its creator has not taken it yet.
    Uncommitted,
    /// Nothing of the kind.
    Unmarked,
}

/// Decides about a directory with this record at the time `now`, whose owner is dead. The caller must have
/// read the record; an unreadable record decides nothing.
pub fn decide(record: Option<&Record>, mark: Mark, now: f64) -> Decision {
    match (record, mark) {
        (None, Mark::OneShot) => Decision::Remove,
        // Without a record, its kind is unknown.
        (None, Mark::Uncommitted | Mark::Unmarked) => Decision::Keep,
        (Some(_), Mark::Uncommitted) => Decision::Remove,
        (Some(record), _) if record.state == State::Creating => Decision::Remove,
        (Some(record), _) if record.is_expired(now) => Decision::Tombstone(Ended::Expired),
        (Some(record), _) if record.state == State::Started => Decision::Stop,
        (Some(_), _) => Decision::Keep,
    }
}

/// How many machines may be live: the present ones, plus as many of this size as fit into the available
/// memory when each uses all of its memory.
pub fn capacity(live: usize, available_mib: u64, mem_mib: u64) -> usize {
    let more = usize::try_from(available_mib / mem_mib.max(1)).unwrap_or(usize::MAX);
    live.saturating_add(more).max(MIN_CAPACITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::VmId;
    use crate::lifecycle::Kind;
    use crate::record::wanted;

    fn record(state: State) -> Record {
        let id = VmId::parse("0123456789ab").unwrap();
        Record { state, ..Record::new(id, Kind::Task, "debian:12", "1", wanted(), 1000.0) }
    }

    #[test]
    fn a_marked_run_and_what_nobody_got_leave_no_trace() {
        assert_eq!(decide(None, Mark::OneShot, 0.0), Decision::Remove);
        assert_eq!(decide(Some(&record(State::Creating)), Mark::Uncommitted, 1e9), Decision::Remove, "expired or not");
        assert_eq!(
            decide(Some(&record(State::Started)), Mark::Uncommitted, 0.0),
            Decision::Remove,
            "made, and never taken"
        );
    }

    #[test]
    fn what_has_no_record_and_no_mark_is_kept() {
        assert_eq!(decide(None, Mark::Unmarked, 1e9), Decision::Keep);
        assert_eq!(decide(None, Mark::Uncommitted, 1e9), Decision::Keep, "whose it was is not known");
    }

    #[test]
    fn what_was_started_is_kept_stopped_until_its_time_is_up() {
        assert_eq!(decide(Some(&record(State::Started)), Mark::Unmarked, 1599.9), Decision::Stop);
        assert_eq!(decide(Some(&record(State::Stopped)), Mark::Unmarked, 1599.9), Decision::Keep);
        assert_eq!(decide(Some(&record(State::Created)), Mark::Unmarked, 1599.9), Decision::Keep);
        for state in [State::Started, State::Stopped, State::Created] {
            assert_eq!(decide(Some(&record(state)), Mark::Unmarked, 1600.0), Decision::Tombstone(Ended::Expired));
        }
    }

    #[test]
    fn capacity_is_what_memory_bears_and_never_below_four() {
        assert_eq!(capacity(0, 100, 1024), 4);
        assert_eq!(capacity(4, 1023, 1024), 4, "the fifth would not fit");
        assert_eq!(capacity(4, 1024, 1024), 5);
        assert_eq!(capacity(10, 4096, 256), 26);
    }
}
