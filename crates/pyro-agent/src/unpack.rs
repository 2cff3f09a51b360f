//! Filling a blank disk from tar archives, inside the guest.
//!
//! Here the agent is root and the file system is the guest's own: owners, modes and extended
//! attributes come out right without any rights on the host, and a hostile archive can spoil
//! nothing but its own machine.

use std::fs::{self, File};
use std::io::{self, Read};

use pyro_protocol::message::{Unpack, Unpacked};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::report::failed;

const TARGET: &str = "/target";
/// How often progress is reported, in bytes of archive.
const STEP: u64 = 8 << 20;

/// Unpacks all sources and leaves the target written and unmounted.
pub fn unpack(request: &Unpack, mut progress: impl FnMut(u64)) -> io::Result<Unpacked> {
    fs::create_dir_all(TARGET)?;
    mount(request.target.as_str(), TARGET, "ext4", MountFlags::NOATIME, None)
        .map_err(failed(&format!("mount {}", request.target)))?;
    let mut entries = 0;
    let mut seen = 0;
    for source in &request.sources {
        let file = File::open(source).map_err(failed(&format!("open {source}")))?;
        let mut counted = Counted { inner: file, seen: &mut seen, reported: 0, progress: &mut progress };
        entries += extract(&mut counted).map_err(failed(&format!("unpack {source}")))?;
    }
    unmount(TARGET, UnmountFlags::empty()).map_err(failed("write the disk"))?;
    rustix::fs::sync();
    Ok(Unpacked { entries })
}

fn extract(source: impl Read) -> io::Result<u64> {
    let mut archive = tar::Archive::new(io::BufReader::with_capacity(1 << 20, source));
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.set_preserve_mtime(true);
    archive.set_unpack_xattrs(true);
    archive.set_overwrite(true);
    let mut count = 0;
    for entry in archive.entries()? {
        let mut entry = entry?;
        // /dev is the kernel's business (devtmpfs), and the tar reader makes no device nodes.
        let kind = entry.header().entry_type();
        if kind.is_character_special() || kind.is_block_special() || kind.is_fifo() {
            continue;
        }
        entry.unpack_in(TARGET)?;
        count += 1;
    }
    Ok(count)
}

struct Counted<'a, R, F> {
    inner: R,
    seen: &'a mut u64,
    reported: u64,
    progress: &'a mut F,
}

impl<R: Read, F: FnMut(u64)> Read for Counted<'_, R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        *self.seen += read as u64;
        if *self.seen - self.reported >= STEP {
            self.reported = *self.seen;
            (self.progress)(*self.seen);
        }
        Ok(read)
    }
}
