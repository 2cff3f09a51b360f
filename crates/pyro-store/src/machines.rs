//! The directories of all machines, which owners are alive, and recovery of the dead ones.
//!
//! ```text
//! DATA/vms.lock           held for a moment while a machine is admitted or the dead are recovered
//! DATA/vms/ID/lock        held by the living owner: a run's process, or a supervisor
//! DATA/vms/ID/creating    there until its creator has taken it, and locked while he may
//! DATA/vms/ID/idle        it takes no place of the capacity: no machine, or one that waits for a run
//! DATA/vms/ID/record.json what a supervisor's directory is of; a run's has none
//! DATA/vms/ID/one-shot    it is of one run: nothing of it is to stay
//! DATA/vms/.new-ID        being made, under vms.lock; renamed when it has its record or its mark
//! DATA/vms/.gone-WHY-ID   on its way out; WHY says what to remember of it
//! ```
//!
//! The kernel kills a machine when its owner dies. A free lock therefore means that the owner is dead and
//! only its directory is left. `decision` chooses what to do with it. A directory is removed only if it is
//! marked for removal (by the file `one-shot`, or by its name), or if its readable record says so. An
//! unreadable one is kept (decision 0013).

mod admission;
mod decision;
mod files;
mod names;
mod recovery;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pyro_hostfs::directory;
use pyro_hostfs::lock::{self, Lock};
use pyro_hostfs::write::private_file;

use crate::clock::now;
use crate::error::{Error, RecordProblem, RegistryProblem, host};
use crate::id::VmId;
use crate::lifecycle::Ended;
use crate::record::Record;
use crate::registry::Registry;
pub use admission::Admission;
use admission::available_memory_mib;
pub use decision::{Decision, Mark, decide};
#[cfg(test)]
pub use files::NOTHING_OUTSIDE;
use files::{CREATING, GONE, Held, IDLE, LOCK, NEW, ONE_SHOT, lock_of_the_dead, remove_tree};
pub use files::{Outside, exists};
pub use recovery::stopped;

/// The `last_error` of a task whose supervisor died.
const SUPERVISOR_GONE: &str = "its supervisor ended unexpectedly, and the machine with it";

/// The machines of a data directory.
#[derive(Clone, Debug)]
pub struct Machines {
    data: PathBuf,
    outside: Outside,
}

impl Machines {
    /// The machines of this data directory.
    #[must_use]
    pub fn new(data: PathBuf, outside: Outside) -> Self {
        Self { data, outside }
    }

    /// The directory of a machine.
    pub fn directory(&self, id: &VmId) -> PathBuf {
        self.vms().join(id.as_str())
    }

    /// The registry; the first call makes it.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn registry(&self) -> Result<Registry, Error> {
        Registry::open(&self.data)
    }

    /// The registry, opened for reading.
    pub fn registry_to_read(&self) -> Result<Registry, Error> {
        Registry::read(&self.data)
    }

    /// The ids of all directories.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn ids(&self) -> Result<Vec<VmId>, Error> {
        let read = || host("read the machines' directory");
        let entries = match fs::read_dir(self.vms()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(read())?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            ids.extend(entry.map_err(read())?.file_name().to_str().and_then(VmId::parse));
        }
        Ok(ids)
    }

    /// Whether the machine's owner lives.
    pub fn is_alive(&self, id: &VmId) -> Result<bool, Error> {
        lock::is_held(&self.directory(id).join(LOCK)).map_err(host("look at a machine's lock"))
    }

    /// The record of a machine whose owner is alive; `None` if the directory must be examined.
    pub fn of_the_living(&self, id: &VmId) -> Option<Record> {
        if self.is_alive(id).unwrap_or(false) { Record::read(&self.directory(id)).ok().flatten() } else { None }
    }

    /// Makes the directory of a new machine, held by the caller, where there is room for one more. `fill` gives
    /// it what it is to have before it gets its name, its record or its mark at least; `publish` is called
    /// after that. Nobody else is admitted meanwhile.
    ///
    /// # Errors
    /// [`Error::Full`], what the host says, or what the two say.
    pub fn admit<E: From<Error>>(
        &self,
        id: &VmId,
        admission: Admission,
        fill: impl FnOnce(&Path) -> Result<(), E>,
        publish: impl FnOnce() -> Result<(), E>,
    ) -> Result<(PathBuf, Lock), E> {
        let held = self.hold()?;
        self.check_room(&held, admission)?;
        let (new, path) = (self.vms().join(format!("{NEW}{id}")), self.directory(id));
        let make = || {
            directory::private(&new).map_err(host(format!("make {}", new.display())))?;
            let lock = lock::exclusive(&new.join(LOCK)).map_err(host("lock the machine's directory"))?;
            fill(&new)?;
            fs::rename(&new, &path).map_err(host(format!("make {}", path.display())))?;
            publish()?;
            Ok(lock)
        };
        make().map(|lock| (path.clone(), lock)).inspect_err(|_| {
            // The first error is the one to tell; the rest is removed by recovery.
            let _ = directory::remove(&new);
            let _ = self.discard(id);
        })
    }

    /// Makes the directory of a machine of which nothing is to stay.
    pub fn admit_one_shot(&self, id: &VmId, admission: Admission) -> Result<(PathBuf, Lock), Error> {
        let mark = |path: &Path| private_file(&path.join(ONE_SHOT)).map(drop).map_err(host("mark a directory"));
        self.admit(id, admission, mark, || Ok(()))
    }

    /// Takes a place for a machine that is there and had none, as long as there is room.
    pub fn take_slot(&self, id: &VmId, admission: Admission) -> Result<(), Error> {
        let held = self.hold()?;
        let idle = self.directory(id).join(IDLE);
        if exists(&idle)? {
            self.check_room(&held, admission)?;
        }
        match fs::remove_file(idle) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(host("take a place")(error)),
            _ => Ok(()),
        }
    }

    /// Gives the place of a machine back that is not there any more.
    pub fn release_slot(&self, id: &VmId) {
        // On a full disk it keeps its place until it is deleted.
        let _ = private_file(&self.directory(id).join(IDLE));
    }

    /// Removes a machine's directory of which nothing is to be remembered.
    pub fn discard(&self, id: &VmId) -> Result<(), Error> {
        remove_tree(&self.put_out(id, "undone")?, self.outside)
    }

    /// Removes a machine with its record. The caller is its owner, or has found it dead.
    pub fn remove_with_tombstone(&self, id: &VmId, reason: Ended) -> Result<(), Error> {
        let gone = self.put_out(id, reason.as_str())?;
        remove_tree(&gone, self.outside)?;
        // A full disk may have room for this now.
        let remembered = self.registry().and_then(|mut registry| registry.add_tombstone(id, reason, now()));
        if remembered.is_err() {
            // The name of an empty directory tells the next recovery what to remember.
            let _ = fs::create_dir(gone);
        }
        remembered
    }

    /// Removes a machine with its record, as if it had never been.
    pub fn undo(&self, id: &VmId) -> Result<(), Error> {
        self.registry()?.forget(id)?;
        self.discard(id)
    }

    /// Renames the directory first, so that no process takes a half-removed directory for a whole one. The caller
    /// must remove the tree under the returned name.
    fn put_out(&self, id: &VmId, why: &str) -> Result<PathBuf, Error> {
        let gone = self.vms().join(format!("{GONE}{why}-{id}"));
        match fs::rename(self.directory(id), &gone) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(host(format!("remove {}", self.directory(id).display()))(error))
            }
            _ => Ok(gone),
        }
    }

    /// Looks at one machine whose owner seems to be dead, and says whether it is.
    ///
    /// # Errors
    /// When its end cannot be recorded.
    pub fn look_after(&self, id: &VmId) -> Result<bool, Error> {
        let held = self.hold()?;
        self.recover_one(&held, id)
    }

    /// Waits until the machine's owner has ended. Blocks.
    pub fn wait_for_end(&self, id: &VmId) {
        // An error of the wait is ignored; the next check shows whether the owner ended.
        let _ = lock::wait_until_free(&self.directory(id).join(LOCK));
        for gone in self.on_their_way_out(id) {
            let _ = lock::wait_until_free(&gone.join(LOCK));
        }
    }

    /// What is left of a machine that is being removed.
    fn on_their_way_out(&self, id: &VmId) -> Vec<PathBuf> {
        let whys = ["undone", Ended::Deleted.as_str(), Ended::Expired.as_str()];
        let names = whys.map(|why| self.vms().join(format!("{GONE}{why}-{id}")));
        // A directory that cannot be examined may exist.
        names.into_iter().filter(|path| path.try_exists().unwrap_or(true)).collect()
    }

    /// Waits until a machine that is being created is taken, or its makers are dead. Blocks.
    pub fn wait_until_committed(&self, id: &VmId) {
        let _ = lock::wait_until_free(&self.directory(id).join(CREATING));
    }

    /// Locks a new machine, whose directory is still being made, as not taken by its creator yet.
    pub fn lock_creating(new: &Path) -> Result<Lock, Error> {
        lock::exclusive(&new.join(CREATING)).map_err(host("lock a new machine"))
    }

    /// Runs `work` on the directory of a machine whose owner is dead, and holds the lock meanwhile.
    ///
    /// # Errors
    /// The error of `work`, or [`Error::Lives`].
    pub fn while_dead(&self, id: &VmId, work: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
        let _held = self.hold()?;
        Registry::refuse_newer(&self.data).or_else(|error| match error {
            Error::Registry(RegistryProblem::Sql { .. }) => Ok(()), // it is damaged, and is not needed for this
            error => Err(error),
        })?;
        let path = self.directory(id);
        let lives = || Error::Lives { id: id.to_string() };
        let _lock = lock_of_the_dead(&path.join(LOCK))?.ok_or_else(lives)?;
        work(&path)
    }

    /// Whether it is of one run: nothing of it is to stay.
    pub fn is_one_shot(&self, id: &VmId) -> Result<bool, Error> {
        exists(&self.directory(id).join(ONE_SHOT))
    }

    /// Puts a damaged registry aside and makes another from the directories.
    pub fn make_registry_anew(&self) -> Result<(), Error> {
        let _held = self.hold()?;
        Registry::make_anew(&self.data).map(drop)
    }

    /// The registry's file.
    pub fn registry_path(&self) -> PathBuf {
        crate::registry::path(&self.data)
    }

    /// Commits a new machine: from here on it stays when its creator dies.
    pub fn commit(&self, id: &VmId) -> Result<(), Error> {
        fs::remove_file(self.directory(id).join(CREATING)).map_err(host("commit the new machine"))
    }

    /// Whether its creator has committed it.
    pub fn is_committed(&self, id: &VmId) -> Result<bool, Error> {
        Ok(!exists(&self.directory(id).join(CREATING))?)
    }

    /// Takes a dead machine over: the caller is its owner from now on. `None` when it lives, or is
    /// gone.
    pub fn take_over(&self, id: &VmId) -> Result<Option<(Record, Lock)>, Error> {
        let held = self.hold()?;
        self.recover_one(&held, id)?;
        let path = self.directory(id);
        let Some(record) = Record::read(&path)? else { return Ok(None) };
        Ok(lock_of_the_dead(&path.join(LOCK))?.map(|lock| (record, lock)))
    }

    /// The same for a machine that a user asked to remove. An unreadable record does not prevent this,
    /// unless a newer release wrote it.
    pub fn take_over_to_remove(&self, id: &VmId) -> Result<Option<Lock>, Error> {
        let held = self.hold()?;
        self.recover_one(&held, id)?;
        let path = self.directory(id);
        if !exists(&path)? {
            return Ok(None);
        }
        if let Err(problem @ RecordProblem::Newer { .. }) = Record::read(&path) {
            return Err(problem.into());
        }
        lock_of_the_dead(&path.join(LOCK))
    }

    fn hold(&self) -> Result<Held, Error> {
        let vms = self.vms();
        directory::private(&self.data).map_err(host(format!("use {}", self.data.display())))?;
        directory::private(&vms).map_err(host(format!("make {}", vms.display())))?;
        let lock = lock::exclusive(&self.data.join("vms.lock")).map_err(host("lock the machines' directory"))?;
        Ok(Held::new(lock, self.outside))
    }

    fn check_room(&self, held: &Held, admission: Admission) -> Result<(), Error> {
        // Listing reports the machines that could not be recovered.
        let (live, _) = self.recover_and_count(held)?;
        let limit = match admission {
            Admission::Always => return Ok(()),
            Admission::Limit(limit) => limit,
            Admission::ByMemory { mem_mib } => decision::capacity(live, available_memory_mib(), u64::from(mem_mib)),
        };
        if live < limit { Ok(()) } else { Err(Error::Full { limit, live }) }
    }

    fn vms(&self) -> PathBuf {
        self.data.join("vms")
    }
}

#[cfg(test)]
mod tests;
