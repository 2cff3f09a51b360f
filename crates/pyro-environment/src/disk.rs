//! A blank disk with an empty ext4 file system on it.

use std::path::Path;
use std::process::Stdio;

use crate::EnvironmentError;
use crate::error::host;
use crate::tools::Tools;

/// What a guest sees as the size of its disk, in bytes. The file is sparse.
pub const DISK_SIZE: u64 = 16 << 30;

/// Makes the disk.
pub async fn blank(path: &Path, tools: &Tools) -> Result<(), EnvironmentError> {
    let file = pyro_hostfs::write::private_file(path).map_err(host("make the disk"))?;
    file.set_len(DISK_SIZE).map_err(host("make the disk"))?;
    let mut command = tools.command("mke2fs")?;
    // Lazy tables: the kernel initialises them when they are first used, and the holes stay holes.
    command.args(["-q", "-F", "-t", "ext4", "-L", "pyro-root", "-m", "0", "-J", "size=16"]);
    command.args(["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]).arg(path);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    crate::fetch::run_to_end("mke2fs", command, |_| {}).await
}
