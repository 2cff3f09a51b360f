//! Git, run in a repository of its own and in an empty world. It lives as long as the scratch directory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::DiffError;
use super::options::{Binary, Color, Form, Options};

/// A bare repository in a scratch directory.
pub(super) struct Repository {
    program: PathBuf,
    pub scratch: PathBuf,
}

impl Repository {
    pub fn make(program: PathBuf, scratch: &Path) -> Result<Self, DiffError> {
        let absolute = |path: &Path| std::path::absolute(path).map_err(DiffError::Scratch);
        let repository = Self { program: absolute(&program)?, scratch: absolute(scratch)? };
        for directory in ["home", "blobs"] {
            fs::create_dir(repository.scratch.join(directory)).map_err(DiffError::Scratch)?;
        }
        repository.run("init", ["--quiet", "--bare", "--template=", "--object-format=sha1"], b"")?;
        Ok(repository)
    }

    /// Runs one of Git's commands, with this standard input, and returns its standard output.
    pub fn run<A: AsRef<OsStr>>(
        &self,
        command: &'static str,
        arguments: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Result<Vec<u8>, DiffError> {
        let home = self.scratch.join("home");
        // From a file: a pipe that nobody reads would block both.
        let file = self.scratch.join("input");
        fs::write(&file, input).map_err(DiffError::Scratch)?;
        let input = File::open(&file).map_err(DiffError::Scratch)?;
        let output = Command::new(&self.program)
            .args(["--no-pager", "-c", "core.hooksPath=/dev/null", "-c", "core.attributesFile=/dev/null"])
            .args([
                "-c",
                "core.fsync=none",
                "-c",
                "core.fsmonitor=false",
                "-c",
                "gc.auto=0",
                "-c",
                "maintenance.auto=false",
                command,
            ])
            .args(arguments)
            .current_dir(&self.scratch)
            .env_clear()
            .env("GIT_DIR", self.scratch.join("repository"))
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", &home)
            // It runs nothing: its commands are in it.
            .env("PATH", &home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("LC_ALL", "C")
            .stdin(Stdio::from(input))
            .output()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => DiffError::GitMissing,
                _ => DiffError::Git { command, said: error.to_string() },
            })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(DiffError::Git { command, said: if said.is_empty() { output.status.to_string() } else { said } })
    }

    /// The difference between two trees.
    pub fn diff(&self, before: &str, after: &str, options: &Options) -> Result<Vec<u8>, DiffError> {
        let abbreviation = format!("--abbrev={}", options.abbreviation);
        let mut arguments = vec!["--no-ext-diff", "--no-textconv", &abbreviation];
        arguments.extend(match options.form {
            Form::Patch => None,
            Form::Stat => Some("--stat"),
            Form::NameOnly => Some("--name-only"),
            Form::NameStatus => Some("--name-status"),
        });
        if options.binary == Binary::Whole {
            arguments.push("--binary");
        }
        arguments.push(match options.color {
            Color::Always => "--color=always",
            Color::Never => "--color=never",
        });
        arguments.extend([before, after, "--"]);
        self.run("diff", arguments, b"")
    }
}
