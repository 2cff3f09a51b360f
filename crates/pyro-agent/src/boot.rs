//! From the kernel's hand-over to a machine that can serve.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use pyro_protocol::ROOT_PARAMETER;
use rustix::mount::{MountFlags, mount};

use crate::cgroup::Cgroups;
use crate::report::{failed, log};
use crate::{modules, network, port};

const NEW_ROOT: &str = "/newroot";

/// Mounts, modules, port, root disk, in this order; each is needed by the next.
pub fn bring_up() -> io::Result<(port::Port, Cgroups)> {
    pseudo_filesystem("devtmpfs", "/dev", "mode=755")?;
    pseudo_filesystem("proc", "/proc", "")?;
    pseudo_filesystem("sysfs", "/sys", "")?;
    let news = port::kernel_news()?;
    modules::load_all(Path::new("/modules"))?;
    let port = port::open(&news)?;
    let mut cgroups = Cgroups::default();
    if let Some(device) = root_device()? {
        switch_root(&device)?;
        furnish()?;
        cgroups = Cgroups::mount()?;
    }
    limits();
    Ok((port, cgroups))
}

/// Writes everything to disk and turns the machine off.
pub fn power_off() -> ExitCode {
    rustix::fs::sync();
    // A read-only remount leaves the root file system clean; what cannot be remounted is synced.
    let _ = rustix::mount::mount_remount("/", MountFlags::RDONLY, "");
    if let Err(error) = rustix::system::reboot(rustix::system::RebootCommand::PowerOff) {
        log(&format!("power off: {error}"));
    }
    ExitCode::FAILURE
}

fn pseudo_filesystem(kind: &str, target: &str, options: &str) -> io::Result<()> {
    fs::create_dir_all(target)?;
    let flags = MountFlags::NOSUID | if kind == "devtmpfs" { MountFlags::empty() } else { MountFlags::NODEV };
    let options = std::ffi::CString::new(options)?;
    mount(kind, target, kind, flags, Some(options.as_c_str())).map_err(failed(&format!("mount {kind} on {target}")))
}

fn root_device() -> io::Result<Option<String>> {
    let line = fs::read_to_string("/proc/cmdline")?;
    Ok(line.split_whitespace().find_map(|word| word.strip_prefix(ROOT_PARAMETER)).map(str::to_owned))
}

/// Makes the root disk the root of everything. The initramfs stays underneath, a few megabytes
/// that hold this very program.
fn switch_root(device: &str) -> io::Result<()> {
    fs::create_dir_all(NEW_ROOT)?;
    mount(device, NEW_ROOT, "ext4", MountFlags::NOATIME, Some(c"noinit_itable"))
        .map_err(failed(&format!("mount the root disk {device}")))?;
    for directory in ["/dev", "/proc", "/sys"] {
        let target = format!("{NEW_ROOT}{directory}");
        fs::create_dir_all(&target)?;
        rustix::mount::mount_move(directory, &target).map_err(failed(&format!("move {directory}")))?;
    }
    rustix::process::chdir(NEW_ROOT)?;
    rustix::mount::mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    rustix::process::chdir("/")?;
    Ok(())
}

/// What programs expect to find in a running system.
fn furnish() -> io::Result<()> {
    pseudo_filesystem("devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666")?;
    pseudo_filesystem("tmpfs", "/dev/shm", "mode=1777")?;
    pseudo_filesystem("tmpfs", "/run", "mode=755")?;
    fs::create_dir_all("/run/lock")?;
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        let path = format!("/dev/{link}");
        if fs::symlink_metadata(&path).is_err() {
            std::os::unix::fs::symlink(target, path)?;
        }
    }
    network::loopback_up()
}

/// Room for many descriptors, as an init system gives: programs may raise their own limit.
fn limits() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = Rlimit { current: Some(1024), maximum: Some(1 << 20) };
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        log(&format!("descriptor limit: {error}"));
    }
}
