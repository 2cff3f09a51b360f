//! What a machine is kept for, where it is in its life, and how that ended.

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
    /// Its creator has not got it yet; gone when the creator is.
    Creating,
    /// Its machine was not started yet.
    Created,
    /// Its machine runs.
    Started,
    /// Its machine ran.
    Stopped,
}

/// How something ended that is gone.
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

    /// What a word says; `None` where it is none of these.
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

    /// What a word says; `None` where it is none of these.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Deleted, Self::Expired].into_iter().find(|ended| ended.as_str() == word)
    }
}
