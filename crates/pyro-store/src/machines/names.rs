//! Which names are taken. The records say so; `vms.lock` is held while a name is given away.

use super::files::exists;
use super::{Machines, Mark};
use crate::error::{Error, RecordProblem};
use crate::id::VmId;
use crate::record::Record;
use crate::registry::{Known, Registry};

impl Machines {
    /// The machines of this name, their creation under way or not. One that nobody can read has no name.
    ///
    /// # Errors
    /// The error of the file system, or that of a registry that is needed and cannot be read.
    pub fn named(&self, name: &str) -> Result<Vec<VmId>, Error> {
        let mut named = Vec::new();
        for id in self.ids()? {
            if self.name_of(&id)?.as_deref() == Some(name) {
                named.push(id);
            }
        }
        Ok(named)
    }

    /// Runs `write`, which writes down that `id` is called so, while nobody else can take the name.
    ///
    /// # Errors
    /// [`Error::NameTaken`], or the error of `write`.
    pub fn take_name(
        &self,
        id: &VmId,
        name: Option<&str>,
        write: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(name) = name else { return write() };
        let held = self.hold()?;
        for other in self.named(name)?.into_iter().filter(|other| other != id) {
            // It may have expired with nobody looking.
            self.recover_one(&held, &other)?;
            if exists(&self.directory(&other))? {
                return Err(Error::NameTaken { name: name.to_owned(), id: other.to_string() });
            }
        }
        write()
    }

    /// The name of a machine that is being admitted, while nobody else is.
    ///
    /// # Errors
    /// [`Error::NameTaken`], or as [`Self::named`].
    pub fn check_name_is_free(&self, name: &str) -> Result<(), Error> {
        match self.named(name)?.first() {
            Some(other) => Err(Error::NameTaken { name: name.to_owned(), id: other.to_string() }),
            None => Ok(()),
        }
    }

    fn name_of(&self, id: &VmId) -> Result<Option<String>, Error> {
        match Record::read(&self.directory(id)) {
            Ok(Some(record)) => Ok(record.naming.name),
            // Nobody but a release that can read it knows its name.
            Err(RecordProblem::Newer { .. }) => Ok(None),
            Err(problem @ RecordProblem::Unread { .. }) => Err(problem.into()),
            // The registry's row stands in, as it does wherever such a machine is shown.
            Ok(None) if !exists(&self.directory(id))? || self.mark(id)? == Mark::OneShot => Ok(None),
            Ok(None) | Err(_) => match self.registry_to_read().and_then(|registry: Registry| registry.find(id)) {
                Ok(Known::Here(record)) => Ok(record.naming.name),
                Ok(_) | Err(Error::Registry(crate::error::RegistryProblem::Row { .. })) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use crate::lifecycle::{Kind, State};
    use crate::machines::{Admission, NOTHING_OUTSIDE};
    use crate::naming::Naming;
    use crate::record::{RECORD, wanted};

    fn machines() -> (tempfile::TempDir, Machines) {
        let base = tempfile::tempdir().unwrap();
        let machines = Machines::new(base.path().join("data"), NOTHING_OUTSIDE);
        (base, machines)
    }

    /// A task of this name, whose supervisor is dead.
    fn task(machines: &Machines, name: &str, created_at: f64) -> VmId {
        let id = VmId::random().unwrap();
        let new = Record::new(id.clone(), Kind::Task, "debian:12", "1", wanted(), created_at);
        let naming = Naming { name: Some(name.into()), ..Naming::default() };
        let record = Record { state: State::Stopped, naming, ..new };
        let publish = || machines.registry()?.put(&record);
        machines.admit(&id, Admission::Limit(100), |path| record.write(path), publish).unwrap();
        id
    }

    #[test]
    fn a_name_is_found_and_taken_until_its_task_is_gone() {
        let (_base, machines) = machines();
        let id = task(&machines, "mine", now());
        let other = task(&machines, "other", now());
        assert_eq!(machines.named("mine").unwrap(), std::slice::from_ref(&id));
        assert!(matches!(machines.check_name_is_free("mine"), Err(Error::NameTaken { .. })));
        let taken = machines.take_name(&other, Some("mine"), || panic!("it is taken"));
        assert_eq!(taken.unwrap_err().to_string(), format!("the name mine is taken by task {id}"));
        machines.take_name(&id, Some("mine"), || Ok(())).expect("it has it already");
        machines.take_name(&other, None, || Ok(())).expect("no name is always free");
        machines.undo(&id).unwrap();
        machines.take_name(&other, Some("mine"), || Ok(())).unwrap();
    }

    #[test]
    fn the_name_of_what_expired_with_nobody_looking_is_free() {
        let (_base, machines) = machines();
        let expired = task(&machines, "mine", 0.0);
        let other = VmId::random().unwrap();
        machines.take_name(&other, Some("mine"), || Ok(())).unwrap();
        assert!(!machines.directory(&expired).exists());
    }

    #[test]
    fn the_name_of_a_task_whose_record_is_damaged_is_still_its_own() {
        let (_base, machines) = machines();
        let id = task(&machines, "mine", now());
        std::fs::write(machines.directory(&id).join(RECORD), b"{").unwrap();
        assert_eq!(machines.named("mine").unwrap(), [id]);
    }
}
