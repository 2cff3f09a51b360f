//! What becomes of the dead, and how many may live: decisions without files or clocks.

use crate::registry::{Ended, Record, State};

/// The least capacity, however little memory there is.
const LEAST: usize = 4;

/// What is to be done with a directory whose owner is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody ever got it, or it was of one run: it goes without a trace.
    Remove,
    /// It goes, and its id is remembered.
    Bury(Ended),
    /// Its machine died with its owner: it is kept, stopped.
    Stop,
    /// It is kept as it is.
    Keep,
}

/// What becomes of a directory with this record at the time `now`, its owner being dead. `is_taken`
/// says whether its creator has got it.
pub fn fate(record: Option<&Record>, is_taken: bool, now: f64) -> Fate {
    match record {
        None => Fate::Remove,
        Some(record) if !is_taken || record.state == State::Creating => Fate::Remove,
        Some(record) if record.is_expired(now) => Fate::Bury(Ended::Expired),
        Some(record) if record.state == State::Started => Fate::Stop,
        Some(_) => Fate::Keep,
    }
}

/// How many machines may live: those that do, and as many more of this size as the available
/// memory holds when every one of them uses all of its own.
pub fn capacity(live: usize, available_mib: u64, mem_mib: u64) -> usize {
    let more = usize::try_from(available_mib / mem_mib.max(1)).unwrap_or(usize::MAX);
    live.saturating_add(more).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VmOptions;
    use crate::registry::Kind;
    use crate::vm::VmId;

    fn record(state: State) -> Record {
        let id = VmId::parse("0123456789ab").unwrap();
        Record { state, ..Record::new(id, Kind::Task, "debian:12", "1", VmOptions::default(), 1000.0) }
    }

    #[test]
    fn a_run_and_what_nobody_got_leave_no_trace() {
        assert_eq!(fate(None, true, 0.0), Fate::Remove);
        assert_eq!(fate(Some(&record(State::Creating)), true, 1e9), Fate::Remove, "expired or not");
        assert_eq!(fate(Some(&record(State::Started)), false, 0.0), Fate::Remove, "made, and never taken");
    }

    #[test]
    fn what_was_started_is_kept_stopped_until_its_time_is_up() {
        assert_eq!(fate(Some(&record(State::Started)), true, 1599.9), Fate::Stop);
        assert_eq!(fate(Some(&record(State::Stopped)), true, 1599.9), Fate::Keep);
        assert_eq!(fate(Some(&record(State::Created)), true, 1599.9), Fate::Keep);
        for state in [State::Started, State::Stopped, State::Created] {
            assert_eq!(fate(Some(&record(state)), true, 1600.0), Fate::Bury(Ended::Expired));
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
