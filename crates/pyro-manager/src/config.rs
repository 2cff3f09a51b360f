//! What a front end tells the manager about the host.

use std::path::PathBuf;

/// Where things are. Front ends fill it from the environment; the manager reads nothing itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Machines and their files. Made (0700) when first needed.
    pub data: PathBuf,
    /// Installed environments and their templates. Made (0700) when first needed.
    pub cache: PathBuf,
    /// Where programs are looked for, in order.
    pub search_path: Vec<PathBuf>,
    /// A directory that other users may enter, for what package tools unpack (`/tmp`).
    pub scratch: PathBuf,
    /// QEMU's name, looked up in `search_path`, or its path.
    pub qemu: PathBuf,
    /// passt's name, looked up in `search_path`, or its path.
    pub passt: PathBuf,
    /// The KVM device.
    pub kvm_device: PathBuf,
    /// How many VMs and tasks may live at once; by default what the host's memory bears.
    pub max_active_vms: Option<usize>,
    /// Bytes of each output stream of a command that the journal keeps.
    pub journal_cap: u64,
    /// How a supervisor is started: a program and its first arguments, to which the id is added.
    pub supervisor: Supervisor,
}

/// The program that calls [`crate::supervise`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor {
    /// Its path.
    pub program: PathBuf,
    /// What comes before the id.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
}

/// What the journal keeps of each stream where nothing else is said: 64 MiB.
pub const JOURNAL_CAP: u64 = 64 << 20;

impl Config {
    /// The host's usual places around a data and a cache directory.
    #[must_use]
    pub fn new(data: PathBuf, cache: PathBuf, search_path: Vec<PathBuf>) -> Self {
        Self {
            data,
            cache,
            search_path,
            scratch: "/tmp".into(),
            qemu: "qemu-system-x86_64".into(),
            passt: "passt".into(),
            kvm_device: "/dev/kvm".into(),
            max_active_vms: None,
            journal_cap: JOURNAL_CAP,
            supervisor: Supervisor {
                // The same program that runs now, even where its file was replaced meanwhile.
                program: "/proc/self/exe".into(),
                arguments: vec!["supervise".into()],
                environment: Vec::new(),
            },
        }
    }
}
