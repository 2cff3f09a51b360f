//! Recovery of dead machines. A free lock marks a dead machine; the holder of `vms.lock` recovers it. An unreadable
//! machine is kept unchanged (decision 0013).

use std::fs;
use std::io;
use std::path::Path;

use pyro_hostfs::lock::{self, TryError};

use super::decision::{Decision, Mark, decide};
use super::files::{GONE, Held, IDLE, LOCK, NEW, exists, lock_of_the_dead};
use super::{Machines, SUPERVISOR_GONE};
use crate::clock::now;
use crate::error::{Error, RecordProblem, host};
use crate::id::VmId;
use crate::journal;
use crate::lifecycle::{Ended, State};
use crate::record::Record;
use crate::registry::{Known, Registry};

impl Machines {
    /// Removes what dead machines left behind. Costs almost nothing if there is nothing
    /// to do.
    ///
    /// # Errors
    /// What kept it from settling one of them. A registry of a newer release is refused before anything is
    /// touched.
    pub fn recover(&self) -> Result<(), Error> {
        let mut entries = match fs::read_dir(self.vms()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(host("read the machines' directory"))?,
        };
        if entries.next().is_none() {
            return Ok(());
        }
        match lock::try_exclusive(&self.data.join("vms.lock")) {
            Ok(lock) => self.recover_and_count(&Held::new(lock, self.outside))?.1,
            // The present holder of the lock also recovers.
            Err(TryError::Held) => Ok(()),
            Err(TryError::Io(error)) => Err(host("lock the machines' directory")(error)),
        }
    }

    /// Recovers dead machines, and counts the live ones. Also returns the errors of machines that could not be
    /// recovered. A machine that could not be examined counts as live.
    pub(super) fn recover_and_count(&self, held: &Held) -> Result<(usize, Result<(), Error>), Error> {
        let read = host("read the machines' directory");
        let names: Result<Vec<_>, _> = fs::read_dir(self.vms()).and_then(Iterator::collect).map_err(read);
        let (mut live, mut settled) = (0, Ok(()));
        for entry in names? {
            let name = entry.file_name().to_string_lossy().into_owned();
            let result = match VmId::parse(&name) {
                // A failure leaves it to the next recovery.
                None => self.finish_removal(held, &entry.path()).map(|()| true),
                Some(id) => self.recover_one(held, &id).and_then(|dead| Ok(dead || exists(&entry.path().join(IDLE))?)),
            };
            live += usize::from(match (VmId::parse(&name), &result) {
                (None, _) => false,
                (Some(_), Ok(idle)) => !idle,
                // A dead machine that could not be recovered does not count.
                (Some(id), Err(_)) => self.is_alive(&id).unwrap_or(true),
            });
            settled = settled.and(result.map(drop));
        }
        Ok((live, settled))
    }

    /// The tree is removed when the lock is not held any more.
    pub(super) fn finish_removal(&self, held: &Held, path: &Path) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.strip_prefix(NEW).is_some_and(|id| VmId::parse(id).is_some()) {
            Registry::refuse_newer(&self.data)?;
            // Its maker held the lock that the caller holds now, and is dead.
            held.doom(path.to_owned());
            return Ok(());
        }
        let Some((why, id)) = name.strip_prefix(GONE).and_then(|rest| rest.split_once('-')) else { return Ok(()) };
        let Some(id) = VmId::parse(id) else { return Ok(()) };
        Registry::refuse_newer(&self.data)?;
        if let Some(reason) = Ended::parse(why) {
            self.registry()?.add_tombstone(&id, reason, now())?;
        }
        held.doom(path.to_owned());
        Ok(())
    }

    /// Recovers one machine if it is dead, and returns whether it is dead. The caller holds
    /// `vms.lock`, so no process is creating it now. An unreadable machine is left unchanged.
    pub(super) fn recover_one(&self, held: &Held, id: &VmId) -> Result<bool, Error> {
        let path = self.directory(id);
        if !exists(&path)? {
            for gone in self.on_their_way_out(id) {
                self.finish_removal(held, &gone)?;
            }
            self.forget_without_directory(id)?;
            return Ok(true);
        }
        let Some(_lock) = lock_of_the_dead(&path.join(LOCK))? else { return Ok(false) };
        let record = match Record::read(&path) {
            Ok(record) => record,
            Err(problem @ RecordProblem::Unread { .. }) => return Err(problem.into()),
            Err(_) => return Ok(true), // kept; those who list report it
        };
        let decision = decide(record.as_ref(), self.mark(id)?, now());
        if decision == Decision::Keep {
            return Ok(true);
        }
        Registry::refuse_newer(&self.data)?;
        if let Some(record) = &record {
            (self.outside.end_processes)(record);
        }
        match (decision, record) {
            (Decision::Remove, record) => {
                if record.is_some() {
                    self.registry()?.forget(id)?;
                }
                held.doom(self.put_out(id, "undone")?);
            }
            (Decision::Tombstone(reason), _) => {
                let gone = self.put_out(id, reason.as_str())?;
                // If the tombstone cannot be written now, the new name keeps the reason until the tree is removed.
                self.finish_removal(held, &gone)?;
            }
            (Decision::Stop, Some(record)) => {
                journal::recover(&path)?;
                let record = stopped(record);
                record.write(&path)?;
                self.registry()?.put(&record)?;
            }
            (Decision::Stop, None) | (Decision::Keep, _) => {}
        }
        Ok(true)
    }

    /// What the directory was marked as when it was made.
    pub fn mark(&self, id: &VmId) -> Result<Mark, Error> {
        Ok(if self.is_one_shot(id)? {
            Mark::OneShot
        } else if !self.is_committed(id)? {
            Mark::Uncommitted
        } else {
            Mark::Unmarked
        })
    }

    /// A row whose directory is gone: its owner died between the two.
    fn forget_without_directory(&self, id: &VmId) -> Result<(), Error> {
        if let Known::Here(record) = self.registry_to_read()?.find(id)? {
            let reason = if record.is_expired(now()) { Ended::Expired } else { Ended::Deleted };
            self.registry()?.add_tombstone(id, reason, now())?;
        }
        Ok(())
    }
}

/// The record that the dead owner would have written.
pub fn stopped(record: Record) -> Record {
    let last_error = Some(SUPERVISOR_GONE.into());
    Record { state: State::Stopped, addresses: None, last_error, ..record }
}
