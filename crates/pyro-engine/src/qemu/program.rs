//! Finding QEMU and telling its version.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ProgramError;

/// The oldest QEMU that saves and restores a machine the way this engine does.
pub const MINIMUM_VERSION: &str = "8.2";

/// Bytes of /proc/cpuinfo that hold its first processor.
const FIRST_PROCESSOR: u64 = 8192;

/// A QEMU that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its path.
    pub path: PathBuf,
    /// Path, size and time of change: another build has another fingerprint. Costs no start of QEMU.
    pub fingerprint: String,
}

impl Program {
    /// Finds `name` in the directories of `search_path`, or takes it as a path when it has a slash.
    ///
    /// # Errors
    /// [`ProgramError::Missing`].
    pub fn find(name: &Path, search_path: &[PathBuf]) -> Result<Self, ProgramError> {
        let missing = || ProgramError::Missing { program: name.display().to_string() };
        let found = pyro_hostfs::program::find(name, search_path);
        let path = found.ok_or_else(missing)?.canonicalize().map_err(|_| missing())?;
        let metadata = fs::metadata(&path).map_err(|_| missing())?;
        let fingerprint =
            format!("{}:{}:{}.{}", path.display(), metadata.size(), metadata.mtime(), metadata.mtime_nsec());
        Ok(Self { path, fingerprint })
    }

    /// Starts it to ask for its version, for example `10.0.2`.
    ///
    /// # Errors
    /// [`ProgramError::Unreadable`] when it does not say.
    pub fn version(&self) -> Result<String, ProgramError> {
        let unreadable = || ProgramError::Unreadable { program: self.path.clone() };
        let output = Command::new(&self.path).arg("--version").output().map_err(|_| unreadable())?;
        parse_version(&String::from_utf8_lossy(&output.stdout)).ok_or_else(unreadable)
    }

    /// As [`Self::version`], refusing what is too old.
    ///
    /// # Errors
    /// [`ProgramError::TooOld`] and those of [`Self::version`].
    pub fn checked_version(&self) -> Result<String, ProgramError> {
        let found = self.version()?;
        if is_at_least(&found, MINIMUM_VERSION) {
            Ok(found)
        } else {
            Err(ProgramError::TooOld { program: self.path.clone(), found, minimum: MINIMUM_VERSION })
        }
    }
}

fn parse_version(text: &str) -> Option<String> {
    let rest = text.lines().next()?.split("version ").nth(1)?;
    let version: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    Some(version).filter(|version| version.contains('.'))
}

fn is_at_least(found: &str, minimum: &str) -> bool {
    let parse = |text: &str| -> Vec<u32> { text.split('.').map_while(|part| part.parse().ok()).collect() };
    parse(found) >= parse(minimum)
}

/// The host's processor as the kernel names it: model and feature flags of the first one.
pub(crate) fn host_processor() -> String {
    // The first processor is at the front; the kernel makes up the rest only for who reads on, and
    // on a large host that takes longer than anything else here.
    let mut front = Vec::new();
    let read = fs::File::open("/proc/cpuinfo").and_then(|file| file.take(FIRST_PROCESSOR).read_to_end(&mut front));
    let text = read.map(|_| String::from_utf8_lossy(&front).into_owned()).unwrap_or_default();
    let wanted = ["model name", "flags", "microcode"];
    let first = text.split("\n\n").next().unwrap_or_default();
    first.lines().filter(|line| wanted.iter().any(|key| line.starts_with(key))).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn versions_are_read_and_compared_as_numbers() {
        let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2~bpo12+1)\nCopyright";
        assert_eq!(parse_version(text).as_deref(), Some("10.0.2"));
        assert_eq!(parse_version("something else"), None);
        assert!(is_at_least("10.0.2", "8.2"));
        assert!(is_at_least("8.2.0", "8.2"));
        assert!(!is_at_least("7.2.19", "8.2"));
    }

    #[test]
    fn a_program_that_is_not_there_is_missing() {
        let error = Program::find(Path::new("no-such-qemu"), &["/usr/bin".into()]).unwrap_err();
        assert_eq!(error.to_string(), "no-such-qemu was not found");
        assert!(Program::find(Path::new("/etc/passwd"), &[]).is_err(), "not executable");
    }

    #[test]
    fn a_program_that_is_too_old_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qemu");
        fs::write(&path, "#!/bin/sh\necho 'QEMU emulator version 7.2.19'\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let error = Program::find(&path, &[]).unwrap().checked_version().unwrap_err();
        assert!(matches!(&error, ProgramError::TooOld { found, .. } if found == "7.2.19"), "{error}");
    }
}
