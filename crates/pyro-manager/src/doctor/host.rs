//! Checks of the host itself: each looks at one thing, and starts nothing.

use std::fs;
use std::path::Path;

use pyro_environment::PLATFORM;

use super::report::{Check, KvmReport};

pub fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

pub fn platform_check() -> Check {
    let platform = platform();
    if platform == PLATFORM {
        Check::pass("platform", platform)
    } else {
        Check::fail("platform", format!("{platform}; pyro runs on {PLATFORM}"), "use a Linux x86_64 machine".into())
    }
}

/// KVM is a matter of speed: without it, or without a verdict, guests run all the same.
pub fn kvm_check(kvm: &KvmReport) -> Check {
    let slow = format!("{}; guests run under software emulation (TCG), which is slower", kvm.reason);
    match kvm.usable {
        Some(true) => Check::pass("kvm", kvm.reason.clone()),
        None => Check::warn(
            "kvm",
            kvm.reason.clone(),
            "run `pyro env pull` or `pyro doctor --deep`; both boot a guest with KVM".into(),
        ),
        Some(false) if !kvm.exists => Check::warn(
            "kvm",
            slow,
            "load the kvm_intel or kvm_amd module, or turn virtualisation on in the firmware".into(),
        ),
        Some(false) if !(kvm.readable && kvm.writable) => {
            Check::warn("kvm", slow, "add your user to the group of the device (often `kvm`) and log in again".into())
        }
        Some(false) => {
            Check::warn("kvm", slow, "no action is possible: this host's KVM cannot run an ordinary kernel".into())
        }
    }
}

/// Where machines, tasks and the registry are.
pub const DATA_DIRECTORY: &str = "data_directory";

pub fn directory_check(name: &'static str, path: &Path, fix: &str) -> Check {
    const LITTLE: u64 = 2 << 30;
    // The nearest directory that is there: the rest is made when it is first needed.
    let there = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let shown = path.display();
    if rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_err() {
        let detail = format!("{shown} cannot be written");
        return Check::fail(name, detail, format!("{fix} to a directory of your own"));
    }
    if name == DATA_DIRECTORY
        && let Ok(Some(kind)) = pyro_hostfs::directory::network_file_system(there)
    {
        let detail = format!("{shown} is on a network file system ({kind}); file locks are not reliable there");
        return Check::fail(name, detail, format!("{fix} to a directory on a local disk"));
    }
    match pyro_hostfs::directory::available_bytes(there) {
        Ok(free) if free < LITTLE => {
            let detail = format!("{shown} has {} MiB free", free >> 20);
            Check::warn(name, detail, format!("free some space, or {fix} to a larger disk"))
        }
        Ok(free) => Check::pass(name, format!("{shown}, {} MiB free", free >> 20)),
        Err(error) => Check::warn(name, format!("{shown}: {error}"), fix.to_owned()),
    }
}

pub fn memory_check() -> Check {
    const ENOUGH_KIB: u64 = 1 << 20;
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next()?.parse::<u64>().ok());
    match available {
        Some(kib) if kib < ENOUGH_KIB => {
            let fix = "end other programs, or use a smaller --mem-mib".to_owned();
            Check::warn("memory", format!("{} MiB available", kib >> 10), fix)
        }
        Some(kib) => Check::pass("memory", format!("{} MiB available", kib >> 10)),
        None => Check::warn("memory", "/proc/meminfo does not report the available memory".into(), String::new()),
    }
}
