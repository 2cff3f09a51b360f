//! What is to change of a task's name and labels, and writing it down.

use std::collections::BTreeMap;

use pyro_store::machines::Machines;
use pyro_store::naming::check_name;
use pyro_store::{Kind, Naming, Record};

use crate::Error;
use crate::error::Unavailable;
use crate::id::VmId;

/// What is to become of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NameChange {
    /// It stays.
    #[default]
    Keep,
    /// This one is taken.
    Set(String),
    /// There is none any more.
    Remove,
}

/// What is to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamingChange {
    /// The name.
    pub name: NameChange,
    /// Labels that are set.
    pub labels: BTreeMap<String, String>,
    /// Keys of labels that are removed. One that is not there is removed already.
    pub remove_labels: Vec<String>,
}

impl NamingChange {
    /// What it is called then.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`].
    pub(crate) fn applied_to(&self, before: &Naming) -> Result<Naming, Error> {
        let refuse = |problem: String| Err(Error::InvalidArgument { problem });
        if *self == Self::default() {
            return refuse("nothing is to be changed; name a name or a label".into());
        }
        if let Some(key) = self.remove_labels.iter().find(|key| self.labels.contains_key(*key)) {
            return refuse(format!("label {key:?} cannot be set and removed at once"));
        }
        let mut after = before.clone();
        match &self.name {
            NameChange::Keep => {}
            NameChange::Set(name) => after.name = Some(name.clone()),
            NameChange::Remove => after.name = None,
        }
        after.labels.retain(|key, _| !self.remove_labels.contains(key));
        after.labels.extend(self.labels.clone());
        after.check()?;
        Ok(after)
    }
}

/// Writes a record down that is called otherwise. The caller is its owner.
///
/// # Errors
/// [`Unavailable::NameTaken`], or those of the store.
pub(crate) fn write(machines: &Machines, record: &Record) -> Result<(), Error> {
    let write = || {
        record.write(&machines.directory(&record.id))?;
        machines.registry()?.put(record)
    };
    Ok(machines.take_name(&record.id, record.naming.name.as_deref(), write)?)
}

/// The id that a caller means: an id, or a task's name. `None` where there is no such task.
///
/// # Errors
/// [`Unavailable::Ambiguous`], or those of the store.
pub(crate) fn meant(machines: &Machines, kind: Kind, text: &str) -> Result<Option<VmId>, Error> {
    if let Some(id) = VmId::parse(text) {
        return Ok(Some(id));
    }
    if kind != Kind::Task || check_name(text).is_err() {
        return Ok(None);
    }
    let mut named = machines.named(text)?;
    if named.len() > 1 {
        let ids = named.iter().map(VmId::to_string).collect();
        return Err(Unavailable::Ambiguous { kind, prefix: text.to_owned(), ids }.into());
    }
    Ok(named.pop())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn before() -> Naming {
        Naming { name: Some("mine".into()), labels: labels(&[("team", "core"), ("stage", "test")]) }
    }

    #[test]
    fn what_is_not_named_stays() {
        let change = NamingChange { labels: labels(&[("stage", "done"), ("new", "")]), ..NamingChange::default() };
        let after = change.applied_to(&before()).unwrap();
        assert_eq!(after.name.as_deref(), Some("mine"));
        assert_eq!(after.labels, labels(&[("team", "core"), ("stage", "done"), ("new", "")]));
        let change = NamingChange {
            name: NameChange::Remove,
            remove_labels: vec!["team".into(), "never".into()],
            ..NamingChange::default()
        };
        assert_eq!(change.applied_to(&before()).unwrap(), Naming { name: None, labels: labels(&[("stage", "test")]) });
    }

    #[test]
    fn a_change_that_makes_no_sense_is_refused() {
        let set = |name: &str| NamingChange { name: NameChange::Set(name.into()), ..NamingChange::default() };
        let both = NamingChange {
            labels: labels(&[("team", "x")]),
            remove_labels: vec!["team".into()],
            ..NamingChange::default()
        };
        for change in [NamingChange::default(), both, set("beef"), set("a b"), set("")] {
            assert_eq!(change.applied_to(&before()).unwrap_err().code(), "invalid_argument", "{change:?}");
        }
        assert_eq!(set("other").applied_to(&before()).unwrap().name.as_deref(), Some("other"));
    }
}
