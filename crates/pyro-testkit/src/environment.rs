//! An installed environment of a few bytes.

use std::fs;
use std::path::{Path, PathBuf};

use pyro_environment::{CATALOG, CATALOG_VERSION, FileRecord, KernelRecord, Manifest};
use pyro_hostfs::{digest, fingerprint};

/// Names of the files that make up an installed environment.
#[must_use]
pub fn small_environment_files() -> [&'static str; 2] {
    ["vmlinux", "rootfs.ext4"]
}

/// Installs the environment `name` of the catalog into `cache`, made of a few bytes. Returns its
/// directory.
///
/// # Panics
/// When the name is unknown or the file system refuses.
#[must_use]
pub fn install_small(cache: &Path, name: &str) -> PathBuf {
    let entry = CATALOG.iter().find(|entry| entry.name == name).expect("the environment is in the catalog");
    let directory = cache.join(format!("{}-{}", name.replace(':', "_"), entry.version));
    fs::create_dir_all(directory.join("modules")).expect("the cache is writable");
    for name in small_environment_files() {
        fs::write(directory.join(name), name).expect("the cache is writable");
    }
    fs::write(directory.join("modules/order"), "").expect("the cache is writable");
    let record = |name: &str| {
        let path = directory.join(name);
        let digest = if name == "rootfs.ext4" { digest::of_sparse_file(&path) } else { digest::of_file(&path) };
        let fingerprint = fingerprint::of(&path).expect("the file was just written").to_string();
        FileRecord { name: name.into(), digest: digest.expect("the file was just written"), fingerprint }
    };
    let manifest = Manifest {
        format: 1,
        name: name.into(),
        version: entry.version.into(),
        catalog_version: CATALOG_VERSION.into(),
        installed_by: "test".into(),
        installed_at: 1.0,
        suite: entry.suite.into(),
        source_digest: "sha256:0".into(),
        kernel: KernelRecord { release: "6.12-test".into(), image: record("vmlinux") },
        rootfs: record("rootfs.ext4"),
        modules: Vec::new(),
        packages: Vec::new(),
    };
    let text = pyro_environment_json(&manifest);
    fs::write(directory.join("environment.json"), text).expect("the cache is writable");
    directory
}

fn pyro_environment_json(manifest: &Manifest) -> Vec<u8> {
    serde_json::to_vec(manifest).expect("a manifest has string keys only")
}
