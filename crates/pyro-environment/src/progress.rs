//! Progress of a pull, for display.

/// A step of a pull, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Another pull of the same environment is under way; this one waits for it.
    Waiting,
    /// The guests' kernel and its modules.
    Kernel,
    /// Debian's packages.
    Packages,
    /// The disk is filled inside a guest.
    Disk,
    /// Digests are computed and the directory gets its final name.
    Publishing,
}

impl Step {
    /// For people.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for another pull of this environment",
            Self::Kernel => "fetching the kernel",
            Self::Packages => "fetching and installing Debian's packages",
            Self::Disk => "writing the root disk inside a guest",
            Self::Publishing => "taking digests",
        }
    }
}

/// Where a pull is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The step.
    pub step: Step,
    /// The running program's own progress line; may be empty.
    pub detail: String,
    /// Bytes done and total bytes, where they are known.
    pub bytes: Option<(u64, u64)>,
}

impl Progress {
    pub(crate) fn of(step: Step) -> Self {
        Self { step, detail: String::new(), bytes: None }
    }

    pub(crate) fn with_detail(step: Step, detail: impl Into<String>) -> Self {
        Self { step, detail: detail.into(), bytes: None }
    }
}
