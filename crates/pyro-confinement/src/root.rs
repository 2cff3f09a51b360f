//! A root directory that contains only a program's own files, and an unprivileged user.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use pyro_sys::launch::{NO_DEVICES, NO_EXECUTION, NO_SET_UID, READ_ONLY, Step};

use crate::allowed_paths::AllowedPaths;

/// Where the new root is built: a directory that every host has and that no file comes from.
const WORKSHOP: &str = "/proc";
/// Devices that every program may want.
pub const DEVICES: [&str; 2] = ["/dev/null", "/dev/urandom"];
/// The user that a program is in its own namespace: nobody. Without rights there, it has none after it
/// was executed.
const NOBODY: u32 = 65534;

/// The user namespace's users: one.
pub fn user() -> io::Result<[Step; 3]> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let write = |path, bytes: String| Ok::<_, io::Error>(Step::Write { path: text(path)?, bytes: bytes.into_bytes() });
    Ok([
        write("/proc/self/setgroups", "deny".into())?,
        write("/proc/self/uid_map", format!("{NOBODY} {user} 1"))?,
        write("/proc/self/gid_map", format!("{NOBODY} {group} 1"))?,
    ])
}

/// Where a program's libraries are looked for: the allowed of the system, and those beside it.
pub fn libraries(program: &Path) -> Vec<PathBuf> {
    let beside = program.parent().and_then(Path::parent).unwrap_or(Path::new("/usr"));
    let mut wanted = vec![PathBuf::from("/etc/ld.so.cache"), PathBuf::from("/etc/alternatives")];
    for prefix in [Path::new("/"), Path::new("/usr"), Path::new("/usr/local"), beside] {
        wanted.extend(["lib", "lib64", "lib32"].map(|name| prefix.join(name)));
    }
    // Where each package has a directory of its own.
    wanted
        .extend(["/nix/store", "/gnu/store"].map(PathBuf::from).into_iter().filter(|store| program.starts_with(store)));
    wanted.sort();
    wanted.dedup();
    wanted.retain(|path| path.exists());
    wanted
}

/// How a file is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Code,
    Data,
    Writable,
    Device,
}

impl Shown {
    fn attributes(self) -> u64 {
        match self {
            Self::Code => READ_ONLY | NO_SET_UID | NO_DEVICES,
            Self::Data => READ_ONLY | NO_SET_UID | NO_DEVICES | NO_EXECUTION,
            Self::Writable => NO_SET_UID | NO_DEVICES | NO_EXECUTION,
            Self::Device => NO_SET_UID | NO_EXECUTION,
        }
    }
}

/// The steps that lead into the new root.
pub fn steps(allowed: &AllowedPaths, program: &Path, interpreter: Option<&Path>) -> io::Result<Vec<Step>> {
    // Sorted, so that a directory comes before what lies below it.
    let mut shown: BTreeMap<PathBuf, Shown> = BTreeMap::new();
    let mut links: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let code = libraries(program).into_iter().chain([program.to_owned()]).chain(interpreter.map(Path::to_owned));
    for path in code {
        resolve(&path, &mut links, &mut shown, Shown::Code)?;
    }
    let with = |paths: &[PathBuf], how| paths.iter().map(move |path| (path.clone(), how)).collect::<Vec<_>>();
    shown.extend(with(&allowed.readable, Shown::Data));
    shown.extend(with(&allowed.writable, Shown::Writable));
    shown.extend(with(&allowed.devices, Shown::Device));
    shown.extend(DEVICES.map(|path| (PathBuf::from(path), Shown::Device)));
    let mut steps = vec![Step::Tmpfs { at: text(WORKSHOP)? }];
    for (at, to) in &links {
        steps.extend(directories(at.parent())?);
        steps.push(Step::Link { to: text(to)?, at: text(within(at))? });
    }
    let mut whole: Vec<(&Path, Shown)> = Vec::new();
    for (path, how) in &shown {
        let above = whole.iter().rev().find(|(above, _)| path.starts_with(above));
        if above.is_some_and(|(_, above)| above == how || (*above, *how) == (Shown::Code, Shown::Data)) {
            continue; // it is there already
        }
        let metadata = fs::metadata(path)?;
        if above.is_none() {
            steps.extend(directories(path.parent())?);
            let at = text(within(path))?;
            steps.push(if metadata.is_dir() { Step::Directory(at) } else { Step::File(at) });
        }
        steps.push(Step::Bind { from: text(path)?, at: text(within(path))? });
        steps.push(Step::Protect { at: text(within(path))?, attributes: how.attributes() });
        whole.push((path, *how));
    }
    steps.push(Step::Root(text(WORKSHOP)?));
    steps.push(Step::Protect { at: text("/")?, attributes: 0 });
    Ok(steps)
}

/// Notes where a path really lies, and the symbolic links that lead there.
fn resolve(
    path: &Path,
    links: &mut BTreeMap<PathBuf, PathBuf>,
    shown: &mut BTreeMap<PathBuf, Shown>,
    how: Shown,
) -> io::Result<()> {
    let mut so_far = PathBuf::new();
    for part in path.components() {
        so_far.push(part);
        if part != Component::RootDir && so_far.is_symlink() {
            links.insert(so_far.clone(), fs::read_link(&so_far)?);
            so_far = so_far.canonicalize()?;
        }
    }
    shown.insert(so_far, how);
    Ok(())
}

/// A path below the workshop.
fn within(path: &Path) -> PathBuf {
    let below = path.strip_prefix("/").unwrap_or(path);
    Path::new(WORKSHOP).join(below)
}

/// Makes a directory of the new root, and those above it.
fn directories(path: Option<&Path>) -> io::Result<Vec<Step>> {
    let ancestors: Vec<&Path> = path.into_iter().flat_map(Path::ancestors).collect();
    let below_root = ancestors.into_iter().rev().filter(|path| path.parent().is_some());
    below_root.map(|path| Ok(Step::Directory(text(within(path))?))).collect()
}

/// A text as system calls take it.
pub fn text(text: impl AsRef<OsStr>) -> io::Result<CString> {
    Ok(CString::new(text.as_ref().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn said(steps: &[Step]) -> Vec<String> {
        steps.iter().map(|step| format!("{step:?}")).collect()
    }

    #[test]
    fn a_root_has_what_belongs_to_the_program_each_thing_once() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        for name in ["data", "data/inside", "own"] {
            fs::create_dir(base.join(name)).unwrap();
        }
        fs::write(base.join("data/inside/file"), "").unwrap();
        let allowed = AllowedPaths {
            readable: vec![base.join("data"), base.join("data/inside/file")],
            writable: vec![base.join("own"), base.join("data/inside")],
            devices: Vec::new(),
        };
        let program = Path::new("/bin/sh").canonicalize().unwrap();
        let steps = said(&steps(&allowed, &program, None).unwrap());
        let at = |what: &str| steps.iter().position(|step| step.contains("Bind") && step.contains(what));
        let (data, inside) = (at("/data\"").unwrap(), at("/data/inside\"").unwrap());
        assert!(data < inside, "what lies below another place comes after it");
        assert!(at("/data/inside/file").is_some(), "which may be read, in a place that may be written");
        assert!(at("/usr/bin\"").is_none() && at("/home").is_none());
        assert_eq!(steps.iter().filter(|step| step.contains("Root(")).count(), 1);
    }

    #[test]
    fn symbolic_links_on_the_way_to_a_library_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        fs::create_dir(base.join("real")).unwrap();
        symlink("real", base.join("link")).unwrap();
        let (mut links, mut shown) = (BTreeMap::new(), BTreeMap::new());
        resolve(&base.join("link"), &mut links, &mut shown, Shown::Code).unwrap();
        assert_eq!(links, BTreeMap::from([(base.join("link"), PathBuf::from("real"))]));
        assert_eq!(shown, BTreeMap::from([(base.join("real"), Shown::Code)]));
    }
}
