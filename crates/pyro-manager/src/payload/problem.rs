//! What could not be read, in a payload that has the rest.

use schemars::JsonSchema;
use serde::Serialize;

use crate::Error;

/// Something that is damaged, or that could not be read or written down. Nothing of it was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// The VM or task, where it is known which.
    pub id: Option<String>,
    /// What is wrong, in words.
    pub error: String,
    /// Stable word.
    pub code: String,
    /// What to do now.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn of(id: Option<String>, error: &Error) -> Self {
        let failure = error.failure();
        Self { id, error: failure.error, code: failure.code.into_owned(), hint: failure.hint }
    }

    /// Part of a journal is damaged.
    pub(crate) fn journal(id: String, error: String) -> Self {
        let hint = Some("`pyro task logs` shows every readable command and marks the unreadable ones".into());
        Self { id: Some(id), error, code: "journal_damaged".into(), hint }
    }
}
