//! The kind of a machine, its state, and the reason of its end.

use serde::{Deserialize, Serialize};

/// What a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A machine for one command.
    Vm,
    /// A machine that stays.
    Task,
}

/// Where it is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its creator has not taken it yet. It is removed when the creator dies.
    Creating,
    /// Its machine was not started yet.
    Created,
    /// Its machine runs.
    Started,
    /// Its machine ran.
    Stopped,
}

/// Why a VM or task was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Somebody deleted it.
    Deleted,
    /// Its time was up.
    Expired,
}

impl Kind {
    /// The word every front end shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Task => "task",
        }
    }

    /// Parses the word; `None` for an unknown one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Vm, Self::Task].into_iter().find(|kind| kind.as_str() == word)
    }
}

impl State {
    /// The word every front end shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating | Self::Created => "created",
            Self::Started => "started",
            Self::Stopped => "stopped",
        }
    }
}

impl Ended {
    /// The word every front end shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
        }
    }

    /// Parses the word; `None` for an unknown one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Deleted, Self::Expired].into_iter().find(|ended| ended.as_str() == word)
    }
}
