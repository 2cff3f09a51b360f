//! The two ways to start QEMU: with a kernel, or from a saved state.

use std::path::Path;

/// Where a run of QEMU starts from.
pub enum Start<'a> {
    Boot { kernel: &'a Path, initramfs: &'a Path, parameters: &'a [String] },
    Restore { state: &'a Path },
}
