//! The guest's first file system: the agent as `/init`, and the modules it loads.

use std::fs;
use std::path::{Path, PathBuf};

use crate::EnvironmentError;
use crate::cpio::Archive;
use crate::error::host;

/// The guest agent, as the caller carries it.
#[derive(Clone, Copy, Debug)]
pub struct Agent {
    /// The static program.
    pub program: &'static [u8],
    /// `sha256:` and hex of it.
    pub digest: &'static str,
}

/// The file in the modules' directory that names them in the order of loading.
pub const ORDER: &str = "order";

/// Makes sure that `directory` holds the initramfs for this agent, and returns its path. An
/// environment that was installed by another release of the agent gets a second one.
pub fn ensure(directory: &Path, modules: &Path, agent: Agent) -> Result<PathBuf, EnvironmentError> {
    let digest = agent.digest.trim_start_matches("sha256:");
    let path = directory.join(format!("initramfs-{}.cpio", &digest[..16.min(digest.len())]));
    if !path.exists() {
        let archive = build(modules, agent)?;
        pyro_hostfs::write::atomically(&path, &archive).map_err(host("write the initramfs"))?;
    }
    Ok(path)
}

fn build(modules: &Path, agent: Agent) -> Result<Vec<u8>, EnvironmentError> {
    let mut archive = Archive::default();
    for directory in ["dev", "proc", "sys", "modules"] {
        archive.directory(directory);
    }
    archive.character_device("dev/console", 5, 1);
    archive.file("init", 0o755, agent.program);
    let order = fs::read_to_string(modules.join(ORDER)).map_err(host("read the module order"))?;
    archive.file("modules/order", 0o644, order.as_bytes());
    for name in order.lines() {
        let module = fs::read(modules.join(name)).map_err(host(format!("read module {name}")))?;
        archive.file(&format!("modules/{name}"), 0o644, &module);
    }
    Ok(leave_room_at_the_end(archive.finish()))
}

/// Pads the archive with zeros, which the kernel skips, to a few bytes more than whole pages.
///
/// QEMU puts the initramfs at the top of a small guest's memory, page by page, and its firmware
/// then puts the ACPI tables into the last bytes of that memory, whatever lies there. This way
/// all but these few bytes of the last page are free. Found with QEMU 10.0 and 512 MiB.
fn leave_room_at_the_end(mut archive: Vec<u8>) -> Vec<u8> {
    const PAGE: usize = 4096;
    archive.resize(archive.len().next_multiple_of(PAGE) + 4, 0);
    archive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_agent_gets_an_initramfs_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let modules = directory.path().join("modules");
        fs::create_dir(&modules).unwrap();
        fs::write(modules.join(ORDER), "a.ko\n").unwrap();
        fs::write(modules.join("a.ko"), b"module").unwrap();
        let one = Agent { program: b"one", digest: "sha256:1111111111111111" };
        let two = Agent { program: b"two", digest: "sha256:2222222222222222" };
        let first = ensure(directory.path(), &modules, one).unwrap();
        assert_eq!(first, ensure(directory.path(), &modules, one).unwrap());
        assert_ne!(first, ensure(directory.path(), &modules, two).unwrap());
        let text = fs::read(first).unwrap();
        assert_eq!(text.len() % 4096, 4, "the ACPI tables find room behind it");
        assert!(text.windows(6).any(|window| window == b"module"));
    }
}
