//! What a face tells the manager about the host.

use std::path::PathBuf;

/// Where things are. Faces fill it from the environment; the manager reads nothing itself.
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
    /// The KVM device.
    pub kvm_device: PathBuf,
}

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
            kvm_device: "/dev/kvm".into(),
        }
    }
}
