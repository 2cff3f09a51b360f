//! Directories of a running pull: a partial directory in the cache, and a scratch directory that
//! others may enter. A note in the first says where the second is, so that the next pull finds it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use pyro_hostfs::directory;

use crate::EnvironmentError;
use crate::error::host;
use crate::tools::Tools;

/// Holds, inside a partial directory, the path of the scratch directory that goes with it.
pub const SCRATCH_NOTE: &str = "scratch";
/// How a scratch directory's name begins; 16 hex digits follow.
const SCRATCH: &str = "pyro-";

/// Makes a scratch directory that others may enter, and notes it where the next pull finds it.
pub fn make_scratch(tools: &Tools, partial: &Path) -> Result<PathBuf, EnvironmentError> {
    use std::os::unix::fs::DirBuilderExt;
    let mut random = [0u8; 8];
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    let name = random.iter().fold(String::from(SCRATCH), |name, byte| format!("{name}{byte:02x}"));
    let scratch = tools.scratch.join(name);
    let note = scratch.as_os_str().as_encoded_bytes();
    pyro_hostfs::write::atomically(&partial.join(SCRATCH_NOTE), note).map_err(host("write a note"))?;
    fs::DirBuilder::new().mode(0o755).create(&scratch).map_err(host("make a scratch directory"))?;
    Ok(scratch)
}

/// The scratch directory that a note names. A note that names anything else is damaged, and nothing is
/// removed for it.
fn noted_scratch(tools: &Tools, note: &Path) -> Result<Option<PathBuf>, EnvironmentError> {
    let text = match fs::read(note) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(host("read a note"))?,
    };
    let scratch = PathBuf::from(OsString::from_vec(text));
    let name = scratch.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(SCRATCH));
    let is_one = name.is_some_and(|name| name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
    Ok((is_one && scratch.parent() == Some(&tools.scratch)).then_some(scratch))
}

/// Removes a partial directory and the scratch directory that goes with it.
pub async fn remove(tools: &Tools, partial: &Path) -> Result<(), EnvironmentError> {
    if !exists(partial)? {
        return Ok(());
    }
    remove_scratch(tools, partial).await?;
    directory::remove(partial).map_err(host(format!("remove {}", partial.display())))
}

/// Removes the scratch directory of a partial one.
pub async fn remove_scratch(tools: &Tools, partial: &Path) -> Result<(), EnvironmentError> {
    let note = partial.join(SCRATCH_NOTE);
    let Some(scratch) = noted_scratch(tools, &note)? else { return Ok(()) };
    if directory::remove(&scratch).is_err() {
        // Files of a user namespace's other ids: only from inside such a one can they be removed.
        if let Ok(mut command) = tools.command("mmdebstrap") {
            command.args(["--unshare-helper", "rm", "-rf", "--"]).arg(&scratch);
            let _ = crate::fetch::run_to_end("mmdebstrap", command, |_| {}).await;
        }
    }
    if exists(&scratch)? {
        let error = std::io::Error::other("files of other users are left in it");
        return Err(host(format!("remove {}", scratch.display()))(error));
    }
    fs::remove_file(&note).map_err(host("remove a note"))
}

/// A partial directory. Dropping it removes as much as possible when a pull is abandoned. The next pull
/// removes the rest.
pub struct Abandoned<'a>(pub PathBuf, pub &'a Tools);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        match noted_scratch(self.1, &self.0.join(SCRATCH_NOTE)) {
            Ok(Some(scratch)) if directory::remove(&scratch).is_err() => return, // the note stays, for the next pull
            Err(_) => return,
            Ok(_) => {}
        }
        let _ = directory::remove(&self.0);
    }
}

/// Whether the path exists. An error is not treated as absence.
pub fn exists(path: &Path) -> Result<bool, EnvironmentError> {
    path.try_exists().map_err(host(format!("look at {}", path.display())))
}
