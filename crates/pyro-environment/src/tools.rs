//! The programs that build environments, and how one is found.

use std::ffi::OsString;
use std::path::PathBuf;

use tokio::process::Command;

use crate::EnvironmentError;

/// The programs that build environments, and where temporary things may be put.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Where programs are looked for.
    pub search_path: Vec<PathBuf>,
    /// A directory with room for an unpacked system, which other users may enter (`/tmp`).
    pub scratch: PathBuf,
}

impl Tools {
    pub(crate) fn command(&self, program: &str) -> Result<Command, EnvironmentError> {
        let found = self.search_path.iter().map(|directory| directory.join(program)).find(|path| path.is_file());
        let path = found.ok_or_else(|| EnvironmentError::MissingTool { program: program.into() })?;
        let mut command = std::process::Command::new(path);
        // These programs clean up after themselves when they are asked to end.
        pyro_sys::child::end_with_parent(&mut command);
        let mut command = Command::from(command);
        let joined = std::env::join_paths(&self.search_path).unwrap_or_else(|_| OsString::from("/usr/bin:/bin"));
        command.env("PATH", joined).env("LC_ALL", "C.UTF-8");
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tool_that_is_not_there_is_named() {
        let tools = Tools { search_path: vec!["/nonexistent".into()], scratch: "/tmp".into() };
        let error = tools.command("mmdebstrap").unwrap_err();
        assert_eq!(error.to_string(), "mmdebstrap was not found; pyro needs it to build environments");
    }
}
