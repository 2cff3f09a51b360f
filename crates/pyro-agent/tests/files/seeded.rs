//! A seeded workspace of its own for each test, mounted as in a guest.
//!
//! A mount needs rights, and so do the attributes that an overlay keeps beside it: in the
//! namespaces that anybody may have, the kernel allows the one and not the other. So these tests run
//! as root, in a mount namespace of their own, and are skipped for anybody else. The layers are in
//! memory: mounting a seed for the first time writes it to the disk, and all else that waits for it.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use pyro_protocol::files::{BeginSeed, Change, Changes, Entry, Kind, MountWorkspace, Operation};
use rustix::fs::XattrFlags;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::worker::{Said, ask, at, lossy};

const INSIDE: &str = "PYRO_TEST_HAS_OWN_MOUNTS";
const ATTRIBUTE: &CStr = c"trusted.pyro";
const TRIAL: &str = "mount -t tmpfs tmpfs . && cd \"$PWD\" && mkdir lower upper work on && \
    mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay on && umount on";

/// Runs a test, named with its module, in a program of its own that has a mount namespace.
pub fn with_mounts(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        mount("tmpfs", std::env::temp_dir(), "tmpfs", MountFlags::empty(), None).unwrap();
        return body();
    }
    if let Err(why) = has_rights() {
        return pyro_testkit::skip(test, &why);
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
    let directory = TempDir::new().unwrap();
    command.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").env("TMPDIR", directory.path());
    let output = command.output().unwrap();
    let said = format!("{}{}", lossy(&output.stdout), lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn has_rights() -> Result<(), String> {
    let directory = TempDir::new().unwrap();
    rustix::fs::setxattr(directory.path(), ATTRIBUTE, b"x", XattrFlags::empty())
        .map_err(|error| format!("trusted attributes cannot be set here: {error}"))?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", TRIAL]).current_dir(directory.path());
    let output = command.output().map_err(|error| format!("unshare: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("no overlay here: {}", lossy(&output.stderr))) }
}

/// A machine's root with a workspace in it.
pub struct World {
    directory: TempDir,
}

impl World {
    pub fn new() -> Self {
        let world = Self { directory: TempDir::new().unwrap() };
        fs::create_dir(world.workspace()).unwrap();
        world
    }

    /// One whose seed was filled, and mounted.
    pub fn seeded(fill: impl FnOnce(&Path)) -> Self {
        let world = Self::new();
        world.begin().done();
        fill(&world.seed());
        world.mount().done();
        world
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    pub fn workspace(&self) -> PathBuf {
        self.root().join("workspace")
    }

    pub fn layers(&self) -> PathBuf {
        self.root().join("var/lib/pyro/workspace")
    }

    pub fn seed(&self) -> PathBuf {
        self.layers().join("seed")
    }

    pub fn begin(&self) -> Said {
        ask(self.root(), Operation::BeginSeed(BeginSeed {}))
    }

    pub fn mount(&self) -> Said {
        ask(self.root(), Operation::MountWorkspace(MountWorkspace {}))
    }

    /// As when the machine is turned off.
    pub fn unmount(&self) {
        let _ = unmount(self.workspace(), UnmountFlags::DETACH);
    }

    pub fn ask(&self, paths: &[&str], max_entries: u64) -> Said {
        let paths = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        ask(self.root(), Operation::Changes(Changes { paths, max_entries }))
    }

    /// All changes, a line each. What is held against both trees as anybody sees them.
    pub fn changes(&self) -> Vec<String> {
        let said = self.ask(&[], 0);
        let changes = said.changes();
        said.done();
        let (mut tree, workspace) = (tree(&self.seed()), tree(&self.workspace()));
        for change in &changes {
            let (before, after) = (change.before.as_ref().map(seen), change.after.as_ref().map(seen));
            assert_ne!(before, after, "a change that is none: {change:?}");
            assert_eq!(tree.get(&change.path), before.as_ref(), "what it was: {change:?}");
            match after {
                Some(after) => tree.insert(change.path.clone(), after),
                None => tree.remove(&change.path),
            };
        }
        assert_eq!(tree, workspace, "the seed with all changes is the workspace");
        assert!(changes.windows(2).all(|two| two[0].path < two[1].path), "sorted, and each once");
        changes.iter().map(line).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn line(change: &Change) -> String {
    let sign = match (&change.before, &change.after) {
        (None, _) => '+',
        (_, None) => '-',
        _ => '~',
    };
    format!("{sign} {}", lossy(&change.path))
}

/// What counts of a name: kind, permission bits, digest or target.
type Seen = (Kind, u32, String);

fn seen(entry: &Entry) -> Seen {
    assert!(entry.path.is_empty(), "the change has its path");
    let what = if entry.kind() == Kind::Symlink { lossy(&entry.link_target) } else { entry.digest.clone() };
    (entry.kind(), entry.mode, what)
}

/// All that is in a directory, read in the ordinary way.
fn tree(root: &Path) -> BTreeMap<Vec<u8>, Seen> {
    let mut tree = BTreeMap::new();
    let mut waiting = vec![Vec::new()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(at(root, &directory)).unwrap() {
            let entry = entry.unwrap();
            let mut path = directory.clone();
            path.extend(if path.is_empty() { b"".as_slice() } else { b"/" });
            path.extend_from_slice(entry.file_name().as_bytes());
            let metadata = entry.metadata().unwrap();
            let kind = metadata.file_type();
            let (kind, what) = if kind.is_dir() {
                waiting.push(path.clone());
                (Kind::Directory, String::new())
            } else if kind.is_symlink() {
                (Kind::Symlink, lossy(fs::read_link(entry.path()).unwrap().as_os_str().as_bytes()))
            } else if kind.is_file() {
                (Kind::File, digest(&fs::read(entry.path()).unwrap()))
            } else {
                assert!(!kind.is_char_device() || metadata.rdev() != 0, "a whiteout is never seen");
                (Kind::Other, String::new())
            };
            tree.insert(path, (kind, metadata.permissions().mode() & 0o7777, what));
        }
    }
    tree
}

pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
