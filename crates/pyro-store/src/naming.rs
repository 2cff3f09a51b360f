//! What people call a machine: a name of its own, and labels.
//!
//! A name stands wherever an id stands, so that no name looks like an id, or like the beginning of one. Which names are
//! taken is decided by [`crate::Machines`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Characters of a name, and of a label's key, at most.
const MAX_NAME: usize = 63;
/// Bytes of a label's value at most.
const MAX_VALUE: usize = 256;
/// Labels of a machine at most.
const MAX_LABELS: usize = 32;
/// Digits of an id.
const ID_DIGITS: usize = 12;

/// What people call a machine (the form on disk).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Naming {
    /// Its name, which no other task has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Why something cannot be a name or a label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It has other characters, or too many.
    #[error("{text:?} cannot be {what}: it has 1 to 63 letters, digits, `-`, `_` or `.`, and begins with a letter")]
    Spelling {
        /// What it was to be.
        what: &'static str,
        /// What was given.
        text: String,
    },
    /// It looks like an id.
    #[error("{text:?} cannot be a name: it could be the beginning of an id (1 to 12 hex digits)")]
    LooksLikeId {
        /// What was given.
        text: String,
    },
    /// A label's value is too long, or has control characters.
    #[error("the value of label {key:?} has control characters, or more than 256 bytes")]
    Value {
        /// Its key.
        key: String,
    },
    /// There are too many labels.
    #[error("{count} labels are too many; a task has at most 32")]
    Count {
        /// How many.
        count: usize,
    },
}

impl Naming {
    /// Whether all of it may be written down.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn check(&self) -> Result<(), Unfit> {
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        for (key, value) in &self.labels {
            if !is_spelled_well(key) {
                return Err(Unfit::Spelling { what: "the key of a label", text: key.clone() });
            }
            if value.len() > MAX_VALUE || value.chars().any(char::is_control) {
                return Err(Unfit::Value { key: key.clone() });
            }
        }
        match self.labels.len() {
            count if count > MAX_LABELS => Err(Unfit::Count { count }),
            _ => Ok(()),
        }
    }

    /// Whether it has all of these labels, with these values.
    #[must_use]
    pub fn has_labels(&self, wanted: &BTreeMap<String, String>) -> bool {
        wanted.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }
}

/// Whether a text may be a name.
///
/// # Errors
/// [`Unfit`].
pub fn check_name(text: &str) -> Result<(), Unfit> {
    if !is_spelled_well(text) {
        return Err(Unfit::Spelling { what: "a name", text: text.to_owned() });
    }
    if text.len() <= ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Unfit::LooksLikeId { text: text.to_owned() });
    }
    Ok(())
}

fn is_spelled_well(text: &str) -> bool {
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphabetic());
    let goes_on_well = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    begins_well && goes_on_well && text.len() <= MAX_NAME
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::is_hex;

    fn labels(entries: &[(&str, &str)]) -> Naming {
        let labels = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Naming { name: None, labels }
    }

    #[test]
    fn a_name_begins_with_a_letter_and_is_no_beginning_of_an_id() {
        let longest = "x".repeat(63);
        for fit in ["x", "build-1", "My.Task_2", "abcdefg", "abcdefabcdefa", "feed-", longest.as_str()] {
            assert_eq!(check_name(fit), Ok(()), "{fit}");
        }
        let too_long = "x".repeat(64);
        for unfit in ["", "1build", "-x", ".x", "a b", "a/b", "a=b", "Zürich", "a\n", too_long.as_str()] {
            assert!(matches!(check_name(unfit), Err(Unfit::Spelling { .. })), "{unfit}");
        }
        for id in ["a", "beef", "BEEF", "abcdefabcdef"] {
            assert!(matches!(check_name(id), Err(Unfit::LooksLikeId { .. })), "{id}");
        }
    }

    #[test]
    fn labels_are_few_short_and_printable() {
        assert_eq!(labels(&[("beef", ""), ("team", "a b = ü")]).check(), Ok(()));
        assert_eq!(labels(&[("k", &"x".repeat(256))]).check(), Ok(()));
        assert!(matches!(labels(&[("k", &"x".repeat(257))]).check(), Err(Unfit::Value { .. })));
        assert!(matches!(labels(&[("k", "a\tb")]).check(), Err(Unfit::Value { .. })));
        assert!(matches!(labels(&[("1k", "")]).check(), Err(Unfit::Spelling { .. })));
        let many = |count: usize| Naming {
            name: None,
            labels: (0..count).map(|number| (format!("k{number}"), String::new())).collect(),
        };
        assert_eq!(many(32).check(), Ok(()));
        assert_eq!(many(33).check(), Err(Unfit::Count { count: 33 }));
    }

    #[test]
    fn a_filter_wants_every_label() {
        let labelled = labels(&[("team", "core"), ("stage", "test")]);
        assert!(labelled.has_labels(&BTreeMap::new()));
        assert!(labelled.has_labels(&labels(&[("team", "core")]).labels));
        assert!(!labelled.has_labels(&labels(&[("team", "core"), ("stage", "x")]).labels));
        assert!(!labelled.has_labels(&labels(&[("owner", "")]).labels));
    }

    proptest! {
        #[test]
        fn no_name_is_taken_for_an_id(text in "[a-fA-F0-9gx.-]{1,14}") {
            prop_assert!(check_name(&text).is_err() || !is_hex(&text) || text.len() > ID_DIGITS);
        }
    }
}
