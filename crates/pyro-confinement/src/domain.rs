//! The Landlock domain: which files a confined program may open, and what it may do with them.
//!
//! Requests the kernel's newest rules; an older kernel applies those it knows. Without Landlock
//! there is no domain, and the layer is reported as missing.

use std::os::fd::OwnedFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};

use crate::allowed_paths::AllowedPaths;

/// The newest rules this knows of: files, devices, TCP, signals and abstract sockets.
const NEWEST: ABI = ABI::V6;

/// A descriptor for [`pyro_sys::launch::Step::Landlock`], or why there is none.
pub fn of(allowed: &AllowedPaths, program: &Path, interpreter: Option<&Path>) -> Result<OwnedFd, String> {
    build(allowed, program, interpreter).map_err(|error| error.to_string())?.ok_or_else(|| NOT_THERE.to_owned())
}

/// A domain whose program may open any file, and signals nobody and finds no abstract socket
/// outside of it. Unlike one with rules for files it may still change its own mounts.
pub fn of_scopes() -> Result<OwnedFd, String> {
    let scopes = || -> Result<Option<OwnedFd>, landlock::RulesetError> {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).scope(Scope::from_all(NEWEST))?;
        Ok(ruleset.create()?.into())
    };
    scopes().map_err(|error| error.to_string())?.ok_or_else(|| NOT_THERE.to_owned())
}

const NOT_THERE: &str = "this kernel has no Landlock, or it is switched off";

fn build(
    allowed: &AllowedPaths,
    program: &Path,
    interpreter: Option<&Path>,
) -> Result<Option<OwnedFd>, landlock::RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = read | AccessFs::WriteFile | AccessFs::Truncate;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    let mut created = ruleset.create()?;
    let mut allow = |path: &Path, access: BitFlags<AccessFs>| {
        // One that is not there needs no rule.
        let Ok(opened) = PathFd::new(path) else { return Ok(()) };
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
        (&mut created).add_rule(PathBeneath::new(opened, access)).map(drop)
    };
    for path in [Some(program), interpreter].into_iter().flatten() {
        allow(path, AccessFs::Execute | AccessFs::ReadFile)?;
    }
    for path in &allowed.readable {
        allow(path, read)?;
    }
    for path in &allowed.writable {
        allow(path, write)?;
    }
    for path in &allowed.devices {
        allow(path, AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev)?;
    }
    Ok(created.into())
}
