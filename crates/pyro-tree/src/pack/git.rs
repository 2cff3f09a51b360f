//! The host's `git`, asked which files of a checkout it does not ignore.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pyro_hostfs::program;

use super::error::PackError;
use crate::name;

/// What would make `git` look elsewhere than at the checkout.
const MISLEADING: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
];

pub(super) struct Git {
    program: PathBuf,
}

impl Git {
    /// `checkout` is for the error.
    pub fn find(checkout: &Path, search_path: &[PathBuf]) -> Result<Self, PackError> {
        let program = program::find(Path::new("git"), search_path);
        Ok(Self { program: program.ok_or_else(|| PackError::GitMissing(checkout.to_owned()))? })
    }

    /// Clean names below the checkout: files that are tracked or not ignored, submodules, and other checkouts inside.
    pub fn files(&self, checkout: &Path) -> Result<Vec<Vec<u8>>, PackError> {
        let failed = |message: String| PackError::Git { path: checkout.to_owned(), message };
        let mut command = Command::new(&self.program);
        // A program that the checkout's own configuration names would run on the host.
        command.args(["-c", "core.fsmonitor=false", "-C"]).arg(checkout);
        command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]);
        command.env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C").stdin(Stdio::null());
        for variable in MISLEADING {
            command.env_remove(variable);
        }
        let output = command.output().map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let cleaned = names.map(|name| match name::clean(name) {
            Ok(path) if !path.is_empty() => Ok(path),
            _ => Err(failed(format!("it names {:?}", String::from_utf8_lossy(name)))),
        });
        cleaned.collect()
    }
}
