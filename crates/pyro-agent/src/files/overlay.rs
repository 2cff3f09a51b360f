//! The overlay file system: getting the kernel to have it, and mounting one.
//!
//! Distributions keep it in a module, compressed. The kernel itself unpacks it, so no program of
//! the image is needed.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use pyro_protocol::files::reason;
use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, fstatfs, statx};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    move_mount,
};

use super::failure::{Failure, Result, text};

/// The overlay's own directory beside the upper layer.
pub const WORK: &[u8] = b"work";
/// `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
const MAGIC: u64 = 0x794c_7630;
/// `MODULE_INIT_COMPRESSED_FILE` of linux/module.h.
const COMPRESSED: i32 = 4;
/// As the kernel's release names them, and how they end.
const MODULES: &str = "/lib/modules";
const MODULE: &str = "kernel/fs/overlayfs/overlay.ko";
const ENDS: [(&str, i32); 4] = [("", 0), (".xz", COMPRESSED), (".zst", COMPRESSED), (".gz", COMPRESSED)];

/// What is asked of it. Directories are renamed without copying what is in them (`redirect_dir`);
/// a changed file has its whole content in the upper layer (`metacopy`), which so can be read by
/// itself. Both layers are of one file system, whose inode numbers are shown as they are (`xino`).
const OPTIONS: [(&str, &str); 8] = [
    ("source", "pyro"),
    ("lowerdir", "seed"),
    ("upperdir", "upper"),
    ("workdir", "work"),
    ("redirect_dir", "on"),
    ("metacopy", "off"),
    ("index", "off"),
    ("xino", "off"),
];

/// Whether an overlay is mounted on a directory; one that it is only in does not count.
pub fn is_mounted(directory: &OwnedFd) -> rustix::io::Result<bool> {
    let known = statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::empty())?;
    let is_mount = known.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    Ok(is_mount && fstatfs(directory)?.f_type as u64 == MAGIC)
}

/// Mounts the overlay of some layers on a directory.
pub fn mount(layers: &OwnedFd, target: &OwnedFd) -> Result<()> {
    let failed = |what: &str, error| Failure::new(reason::FAILED, b"", format!("{what}: {}", text(error)));
    let context = open_context()?;
    // The layers are named as they are seen from here: their own path may have any bytes.
    rustix::process::fchdir(layers).map_err(|error| failed("enter the layers", error))?;
    let mounted = OPTIONS.iter().try_for_each(|(key, value)| fsconfig_set_string(&context, *key, *value));
    mounted.and_then(|()| fsconfig_create(&context)).map_err(|error| {
        failed("the root file system cannot hold the layers of an overlay, see the kernel's log", error)
    })?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NOATIME)
        .and_then(|mount| {
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
            move_mount(&mount, c"", target, c"", flags)
        })
        .map_err(|error| failed("mount the overlay on the workspace", error))
}

fn open_context() -> Result<OwnedFd> {
    let open = || fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC);
    let error = match open() {
        Err(Errno::NODEV) => load().err(),
        _ => None,
    };
    open().map_err(|cause| {
        let why = error.unwrap_or_else(|| text(cause));
        Failure::new(reason::FAILED, b"", format!("the kernel has no overlay file system: {why}"))
    })
}

/// Loads the module of the kernel that runs.
fn load() -> std::result::Result<(), String> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let module = Path::new(MODULES).join(release).join(MODULE);
    for (end, flags) in ENDS {
        let mut path = module.clone().into_os_string();
        path.push(end);
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.map_err(|error| format!("open {}: {error}", path.display()))?,
        };
        return match rustix::system::finit_module(&file, c"", flags) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(format!("load {}: {}", path.display(), text(error))),
        };
    }
    Err(format!("there is no {}", module.display()))
}
