//! Choosing the kernel modules that a guest needs before it has a disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufReader;
use std::path::Path;

use crate::EnvironmentError;
use crate::error::host;

/// What the guest's devices need. Everything else can be loaded from the disk with modprobe.
const WANTED: &[&str] = &["virtio_mmio", "virtio_blk", "virtio_net"];

/// The order in which to load: each file (relative, as in `modules.dep`) after what it needs.
/// Modules that are built into the kernel are in no `modules.dep`, and so not in the answer.
pub fn load_order(modules_dep: &str) -> Vec<String> {
    let needs: BTreeMap<&str, Vec<&str>> = modules_dep
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(file, needed)| (file, needed.split_whitespace().collect()))
        .collect();
    let mut order = Vec::new();
    for wanted in WANTED {
        if let Some(file) = needs.keys().find(|file| module_name(file) == *wanted) {
            visit(file, &needs, &mut order);
        }
    }
    order
}

fn visit(file: &str, needs: &BTreeMap<&str, Vec<&str>>, order: &mut Vec<String>) {
    if order.iter().any(|done| done == file) {
        return;
    }
    // The last one named is needed first; depmod never writes a circle.
    for needed in needs.get(file).into_iter().flatten().rev() {
        visit(needed, needs, order);
    }
    order.push(file.to_owned());
}

/// `kernel/drivers/block/virtio_blk.ko.xz` is `virtio_blk`.
pub fn module_name(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split('.').next().unwrap_or(base).replace('-', "_")
}

/// A module as the kernel takes it, unpacked where Debian packed it.
pub fn read(path: &Path) -> Result<Vec<u8>, EnvironmentError> {
    let problem = |problem: String| EnvironmentError::Kernel { problem };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => fs::read(path).map_err(host(format!("read {}", path.display()))),
        Some("xz") => {
            let file = fs::File::open(path).map_err(host(format!("read {}", path.display())))?;
            let mut module = Vec::new();
            lzma_rs::xz_decompress(&mut BufReader::new(file), &mut module)
                .map_err(|error| problem(format!("{} does not unpack: {error:?}", path.display())))?;
            Ok(module)
        }
        _ => Err(problem(format!("{} has an unknown compression format", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_comes_after_what_it_needs() {
        let dep = "kernel/net/core/failover.ko.xz:\n\
                   kernel/drivers/net/net_failover.ko.xz: kernel/net/core/failover.ko.xz\n\
                   kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/net_failover.ko.xz kernel/net/core/failover.ko.xz\n\
                   kernel/drivers/virtio/virtio_mmio.ko.xz:\n\
                   kernel/drivers/block/virtio-blk.ko.xz:\n\
                   kernel/other.ko.xz:\n";
        let names: Vec<String> = load_order(dep).iter().map(|file| module_name(file)).collect();
        assert_eq!(names, ["virtio_mmio", "virtio_blk", "failover", "net_failover", "virtio_net"]);
    }

    #[test]
    fn a_kernel_with_everything_built_in_needs_none() {
        assert!(load_order("").is_empty());
    }

    #[test]
    fn a_broken_module_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broken.ko.xz");
        fs::write(&path, b"not xz").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("broken.ko.xz does not unpack"));
        assert!(read(Path::new("x.ko.lz4")).unwrap_err().to_string().contains("unknown compression format"));
    }
}
