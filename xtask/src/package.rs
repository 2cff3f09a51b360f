//! The Python package, with the program inside, installed into .venv.

use std::fs;
use std::path::Path;
use std::process::Command;

/// How it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// For tests.
    Debug,
    /// For measurements.
    Release,
}

/// Builds the package around the program of the same build, and installs it.
pub fn install(root: &Path, build: Build) -> Result<(), String> {
    let (directory, flags): (&str, &[&str]) = match build {
        Build::Debug => ("target/debug", &[]),
        Build::Release => ("target/release", &["--release"]),
    };
    let scripts = root.join("python/pyro_mcp.data/scripts");
    fs::create_dir_all(&scripts)
        .and_then(|()| fs::copy(root.join(directory).join("pyro"), scripts.join("pyro")))
        .map_err(|error| format!("{}: {error}", scripts.display()))?;
    let venv = root.join(".venv");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::iter::once(venv.join("bin")).chain(std::env::split_paths(&path));
    let status = Command::new(venv.join("bin/maturin"))
        .args(["develop", "--locked", "-q"])
        .args(flags)
        .current_dir(root.join("python"))
        .env("PATH", std::env::join_paths(places).map_err(|error| error.to_string())?)
        .env("VIRTUAL_ENV", &venv)
        .status()
        .map_err(|error| format!("maturin: {error}; `make setup` makes .venv"))?;
    if status.success() { Ok(()) } else { Err("the Python package could not be built".into()) }
}
