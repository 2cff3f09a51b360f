//! The names of the confinement layers, and the reason why one is not in force.

/// A confinement layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A filter of system calls, and no new privileges.
    Seccomp,
    /// A Landlock domain with its own files.
    Landlock,
    /// A root with only its own files.
    Root,
    /// User, process, IPC, host name and network namespaces.
    Namespaces,
    /// Bounds on what it may use.
    Limits,
    /// A control group, which bounds memory and processes of all of it.
    Cgroup,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.layer.names().join(", "), self.why)
    }
}

impl Layer {
    /// The names it is reported under.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Seccomp => &["seccomp"],
            Self::Landlock => &["landlock"],
            Self::Root => &["mountns"],
            Self::Namespaces => &["userns", "pidns", "ipcns", "utsns", "netns"],
            Self::Limits => &["rlimits"],
            Self::Cgroup => &["cgroup"],
        }
    }
}

/// A layer that is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The layer.
    pub layer: Layer,
    /// Why.
    pub why: String,
}

/// Layers from the innermost, in the order they are reported in.
pub const LAYERS: [Layer; 6] =
    [Layer::Seccomp, Layer::Landlock, Layer::Root, Layer::Namespaces, Layer::Limits, Layer::Cgroup];
