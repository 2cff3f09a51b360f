//! The directories of all machines, who is alive among them, and what becomes of the dead.
//!
//! ```text
//! DATA/vms.lock           held for a moment while a machine is admitted or the dead are swept
//! DATA/vms/ID/lock        held by the living owner: a run's process, or a supervisor
//! DATA/vms/ID/creating    there until its creator has taken it, and locked while he may
//! DATA/vms/ID/idle        it takes no place of the capacity: no machine, or one that waits for a run
//! DATA/vms/ID/record.json what a supervisor's directory is of; a run's has none
//! DATA/vms/.gone-WHY-ID   on its way out; WHY says what to remember of it
//! ```
//!
//! A machine cannot outlive its owner (the kernel kills it), so a directory whose lock is free is
//! all that can be left of the dead. [`fate`] says what becomes of it.

mod fate;

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pyro_hostfs::directory;
use pyro_hostfs::lock::{self, Lock, TryError};
use pyro_hostfs::write::private_file;

use crate::Error;
use crate::clock::now;
use crate::error::{Unavailable, host};
use crate::payload::HOST_COMPAT;
use crate::registry::{Ended, Record, Registry, State};
use crate::vm::VmId;
use crate::{host_compat, journal};
use fate::{Fate, fate};

const LOCK: &str = "lock";
const IDLE: &str = "idle";
const CREATING: &str = "creating";
const GONE: &str = ".gone-";
/// What a task is told whose supervisor is gone.
const SUPERVISOR_GONE: &str = "its supervisor ended unexpectedly, and the machine with it";

/// Whether a new machine may be refused for want of capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is pyro's own, and short.
    Always,
    /// There may be so many at once.
    Limit(usize),
    /// As many as the host's available memory bears.
    ByMemory {
        /// Memory of one, in MiB.
        mem_mib: u32,
    },
}

/// The machines of a data directory.
#[derive(Clone, Debug)]
pub struct Machines {
    data: PathBuf,
}

/// Proof that `DATA/vms.lock` is held. What was renamed meanwhile is removed when it is not held any more:
/// others need not wait for that.
pub struct Held {
    lock: Option<Lock>,
    doomed: RefCell<Vec<PathBuf>>,
}

impl Held {
    fn new(lock: Lock) -> Self {
        Self { lock: Some(lock), doomed: RefCell::default() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.lock.take());
        for path in self.doomed.take() {
            // A failure leaves it to the next sweep.
            let _ = remove_tree(&path);
        }
    }
}

impl Machines {
    pub fn new(data: PathBuf) -> Self {
        Self { data }
    }

    /// The directory of a machine.
    pub fn directory(&self, id: &VmId) -> PathBuf {
        self.vms().join(id.as_str())
    }

    pub fn registry(&self) -> Result<Registry, Error> {
        Registry::open(&self.data)
    }

    /// Whether the machine's owner lives.
    pub fn is_alive(&self, id: &VmId) -> bool {
        lock::is_held(&self.directory(id).join(LOCK)).unwrap_or(false)
    }

    /// The record of a machine whose owner lives.
    pub fn of_the_living(&self, id: &VmId) -> Option<Record> {
        if self.is_alive(id) { Record::read(&self.directory(id)) } else { None }
    }

    /// Makes the directory of a new machine, held by the caller, where there is room for one more.
    /// `fill` is called while nobody else is admitted.
    pub fn admit(
        &self,
        id: &VmId,
        admission: Admission,
        fill: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<(PathBuf, Lock), Error> {
        let held = self.hold()?;
        self.check_room(&held, admission)?;
        let path = self.directory(id);
        directory::private(&path).map_err(host(format!("make {}", path.display())))?;
        let lock = lock::exclusive(&path.join(LOCK)).map_err(host("lock the machine's directory"))?;
        match fill(&path) {
            Ok(()) => Ok((path, lock)),
            Err(error) => {
                drop(held);
                // The first error is the one to tell; the rest is swept later.
                let _ = self.discard(id);
                Err(error)
            }
        }
    }

    /// Takes a place for a machine that is there and had none, as long as there is room.
    pub fn take_place(&self, id: &VmId, admission: Admission) -> Result<(), Error> {
        let held = self.hold()?;
        if self.directory(id).join(IDLE).exists() {
            self.check_room(&held, admission)?;
        }
        match fs::remove_file(self.directory(id).join(IDLE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(host("take a place")(error)),
            _ => Ok(()),
        }
    }

    /// Gives the place of a machine back that is not there any more.
    pub fn leave_place(&self, id: &VmId) {
        // On a full disk it keeps its place until it is deleted.
        let _ = private_file(&self.directory(id).join(IDLE));
    }

    /// Removes a machine's directory of which nothing is to be remembered.
    pub fn discard(&self, id: &VmId) -> Result<(), Error> {
        remove_tree(&self.put_out(id, "undone")?)
    }

    /// Removes a machine with its record. The caller is its owner, or has found it dead.
    pub fn bury(&self, id: &VmId, reason: Ended) -> Result<(), Error> {
        let gone = self.put_out(id, reason.word())?;
        remove_tree(&gone)?;
        // A full disk may have room for this now.
        let remembered = self.registry().and_then(|mut registry| registry.bury(id, reason, now()));
        if remembered.is_err() {
            // The name of an empty directory tells the next sweep what to remember.
            let _ = fs::create_dir(gone);
        }
        remembered
    }

    /// Removes a machine with its record, as if it had never been.
    pub fn undo(&self, id: &VmId) -> Result<(), Error> {
        self.registry()?.forget(id)?;
        self.discard(id)
    }

    /// Gives it another name first, so that nobody takes half of a directory for a whole one. The tree under
    /// the name that is returned is still to be removed.
    fn put_out(&self, id: &VmId, why: &str) -> Result<PathBuf, Error> {
        let gone = self.vms().join(format!("{GONE}{why}-{id}"));
        match fs::rename(self.directory(id), &gone) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(host(format!("remove {}", self.directory(id).display()))(error))
            }
            _ => Ok(gone),
        }
    }

    /// Removes what the dead left behind, if there is anything at all. Costs next to nothing
    /// otherwise.
    pub fn sweep(&self) {
        let anything = fs::read_dir(self.vms()).is_ok_and(|mut entries| entries.next().is_some());
        // Whoever holds the lock just now sweeps, too.
        if anything && let Ok(lock) = lock::try_exclusive(&self.data.join("vms.lock")) {
            let _ = self.sweep_and_count(&Held::new(lock));
        }
    }

    /// Looks at one machine whose owner seems to be dead, and says whether it is.
    ///
    /// # Errors
    /// When what must be written down about it cannot be.
    pub fn look_after(&self, id: &VmId) -> Result<bool, Error> {
        let held = self.hold()?;
        self.settle(&held, id)
    }

    /// Waits until the machine's owner has ended. Blocks.
    pub fn wait_for_end(&self, id: &VmId) {
        // Only the end matters; whether it could be waited for shows right after.
        let _ = lock::wait_until_free(&self.directory(id).join(LOCK));
        for gone in self.on_their_way_out(id) {
            let _ = lock::wait_until_free(&gone.join(LOCK));
        }
    }

    /// What is left of a machine that is being removed.
    fn on_their_way_out(&self, id: &VmId) -> Vec<PathBuf> {
        let whys = ["undone", Ended::Deleted.word(), Ended::Expired.word()];
        let names = whys.map(|why| self.vms().join(format!("{GONE}{why}-{id}")));
        names.into_iter().filter(|path| path.exists()).collect()
    }

    /// Waits until a machine that is being created is taken, or its makers are dead. Blocks.
    pub fn wait_until_taken(&self, id: &VmId) {
        let _ = lock::wait_until_free(&self.directory(id).join(CREATING));
    }

    /// Locks a new machine as not taken by its creator yet.
    pub fn lock_creating(&self, id: &VmId) -> Result<Lock, Error> {
        lock::exclusive(&self.directory(id).join(CREATING)).map_err(host("lock a new machine"))
    }

    /// Takes a new machine: from here on it stays when its creator dies.
    pub fn take(&self, id: &VmId) -> Result<(), Error> {
        fs::remove_file(self.directory(id).join(CREATING)).map_err(host("take the new machine"))
    }

    /// Whether its creator has taken it.
    pub fn is_taken(&self, id: &VmId) -> bool {
        !self.directory(id).join(CREATING).exists()
    }

    /// Takes a dead machine over: the caller is its owner from now on. `None` when it lives, or is
    /// gone.
    pub fn take_over(&self, id: &VmId) -> Result<Option<(Record, Lock)>, Error> {
        let held = self.hold()?;
        self.settle(&held, id)?;
        let path = self.directory(id);
        let Some(record) = Record::read(&path) else { return Ok(None) };
        Ok(lock_of_the_dead(&path.join(LOCK))?.map(|lock| (record, lock)))
    }

    fn hold(&self) -> Result<Held, Error> {
        let vms = self.vms();
        directory::private(&self.data).map_err(host(format!("use {}", self.data.display())))?;
        directory::private(&vms).map_err(host(format!("make {}", vms.display())))?;
        let lock = lock::exclusive(&self.data.join("vms.lock")).map_err(host("lock the machines' directory"))?;
        Ok(Held::new(lock))
    }

    fn check_room(&self, held: &Held, admission: Admission) -> Result<(), Error> {
        let live = self.sweep_and_count(held);
        let limit = match admission {
            Admission::Always => return Ok(()),
            Admission::Limit(limit) => limit,
            Admission::ByMemory { mem_mib } => fate::capacity(live, available_memory_mib(), u64::from(mem_mib)),
        };
        if live < limit { Ok(()) } else { Err(Unavailable::Capacity { limit, live }.into()) }
    }

    /// Settles the dead, and counts the living that have a machine.
    fn sweep_and_count(&self, held: &Held) -> usize {
        let Ok(entries) = fs::read_dir(self.vms()) else { return 0 };
        let mut live = 0;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            match VmId::parse(&name) {
                // A failure leaves it to the next sweep.
                None => drop(self.finish_removal(held, &entry.path())),
                Some(id) => {
                    if !self.settle(held, &id).unwrap_or(true) && !entry.path().join(IDLE).exists() {
                        live += 1;
                    }
                }
            }
        }
        live
    }

    fn finish_removal(&self, held: &Held, path: &Path) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((why, id)) = name.strip_prefix(GONE).and_then(|rest| rest.split_once('-')) else { return Ok(()) };
        let Some(id) = VmId::parse(id) else { return Ok(()) };
        if let Some(reason) = Ended::parse(why) {
            self.registry()?.bury(&id, reason, now())?;
        }
        held.doomed.borrow_mut().push(path.to_owned());
        Ok(())
    }

    /// Does to a dead machine what is to be done; says whether it is dead. The caller holds
    /// `vms.lock`, so nobody is making it just now.
    fn settle(&self, held: &Held, id: &VmId) -> Result<bool, Error> {
        let path = self.directory(id);
        if !path.exists() {
            for gone in self.on_their_way_out(id) {
                self.finish_removal(held, &gone)?;
            }
            self.forget_without_directory(id)?;
            return Ok(true);
        }
        let Some(_lock) = lock_of_the_dead(&path.join(LOCK))? else { return Ok(false) };
        let record = Record::read(&path);
        if record.as_ref().is_some_and(|record| record.execution_mode == HOST_COMPAT) {
            host_compat::end_all(id); // the kernel ended the first process only
        }
        match fate(record.as_ref(), self.is_taken(id), now()) {
            Fate::Remove => match record {
                Some(_) => {
                    self.registry()?.forget(id)?;
                    held.doomed.borrow_mut().push(self.put_out(id, "undone")?);
                }
                None => held.doomed.borrow_mut().push(self.put_out(id, "undone")?),
            },
            Fate::Bury(reason) => {
                let gone = self.put_out(id, reason.word())?;
                // What cannot be remembered now is, by its name, when the tree is removed.
                self.finish_removal(held, &gone)?;
            }
            Fate::Keep => {}
            Fate::Stop => {
                let mut record = record.expect("only a record is stopped");
                journal::recover(&path)?;
                record.state = State::Stopped;
                record.addresses = None;
                record.last_error = Some(SUPERVISOR_GONE.into());
                record.write(&path)?;
                self.registry()?.put(&record)?;
            }
        }
        Ok(true)
    }

    /// A row whose directory is gone: its owner died between the two.
    fn forget_without_directory(&self, id: &VmId) -> Result<(), Error> {
        use crate::registry::Known;
        let mut registry = self.registry()?;
        if let Known::Here(record) = registry.find(id)? {
            let reason = if record.is_expired(now()) { Ended::Expired } else { Ended::Deleted };
            registry.bury(id, reason, now())?;
        }
        Ok(())
    }

    fn vms(&self) -> PathBuf {
        self.data.join("vms")
    }
}

/// Removes what was renamed to go.
fn remove_tree(gone: &Path) -> Result<(), Error> {
    pyro_engine::qemu::remove_cgroup(gone);
    directory::remove(gone).map_err(host(format!("remove {}", gone.display())))
}

/// The lock, when its owner is dead. Others may be asking the same at this moment.
fn lock_of_the_dead(path: &Path) -> Result<Option<Lock>, Error> {
    loop {
        match lock::try_exclusive(path) {
            Ok(lock) => return Ok(Some(lock)),
            Err(TryError::Io(error)) => return Err(host("look at a machine's lock")(error)),
            Err(TryError::Held) if lock::is_held(path).map_err(host("look at a machine's lock"))? => return Ok(None),
            Err(TryError::Held) => std::thread::yield_now(),
        }
    }
}

/// Memory that new processes may use without swapping, in MiB; see proc_meminfo(5).
fn available_memory_mib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

#[cfg(test)]
mod tests;
