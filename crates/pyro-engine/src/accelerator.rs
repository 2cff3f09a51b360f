//! Accelerators (KVM and TCG), and the KVM device.

use std::fs::File;
use std::path::Path;

/// How a machine's instructions are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accelerator {
    /// By the processor, through `/dev/kvm`.
    Kvm,
    /// By software emulation inside QEMU.
    Tcg,
}

impl Accelerator {
    /// `kvm` or `tcg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

impl std::fmt::Display for Accelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The state of the KVM device file. Only a guest shows whether KVM really works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvmDevice {
    /// It is there.
    pub exists: bool,
    /// This user may read it.
    pub readable: bool,
    /// This user may write it.
    pub writable: bool,
}

impl KvmDevice {
    /// Looks at the device file `path` (`/dev/kvm`).
    #[must_use]
    pub fn inspect(path: &Path) -> Self {
        Self {
            exists: path.exists(),
            readable: File::options().read(true).open(path).is_ok(),
            writable: File::options().write(true).open(path).is_ok(),
        }
    }

    /// Whether KVM may work with this device.
    #[must_use]
    pub fn may_work(self) -> bool {
        self.exists && self.readable && self.writable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_not_worth_trying() {
        let device = KvmDevice::inspect(Path::new("/nonexistent/kvm"));
        assert_eq!(device, KvmDevice { exists: false, readable: false, writable: false });
        assert!(!device.may_work());
    }
}
