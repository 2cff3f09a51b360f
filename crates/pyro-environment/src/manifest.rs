//! `environment.json`: what was installed, out of what, with which digests.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use pyro_hostfs::seal::{self, Seal};
use serde::{Deserialize, Serialize};

use crate::EnvironmentError;
use crate::error::host;

/// Name of the file in an installed environment's directory.
pub const FILE_NAME: &str = "environment.json";
/// The format of the file. A newer format is refused.
pub const FORMAT: u32 = 1;

/// What `environment.json` says (the form on disk).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The environment's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Release of the catalog it was installed from.
    pub catalog_version: String,
    /// Release of pyro that installed it.
    pub installed_by: String,
    /// Unix seconds.
    pub installed_at: f64,
    /// The package archive's release.
    pub suite: String,
    /// Digest of the archive of the installed system, before it went onto the disk.
    pub source_digest: String,
    /// The guest's kernel.
    pub kernel: KernelRecord,
    /// The disk.
    pub rootfs: FileRecord,
    /// Digests of the modules that go into the initramfs, in the order of loading.
    pub modules: Vec<FileRecord>,
    /// Debian packages on the disk.
    pub packages: Vec<Package>,
}

/// The kernel of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRecord {
    /// For example `6.12.117+deb13-cloud-amd64`.
    pub release: String,
    /// The ELF image.
    pub image: FileRecord,
}

/// A file of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name inside the environment's directory.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// Size, inode and time of change when the digest was taken.
    #[serde(rename = "stamp")]
    pub fingerprint: String,
}

/// A Debian package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
}

/// The packages in the archive of an installed system, from dpkg's own records.
pub fn packages_in(archive: &Path) -> Result<Vec<Package>, EnvironmentError> {
    let read = || {
        let mut archive = tar::Archive::new(std::io::BufReader::new(fs::File::open(archive)?));
        for entry in archive.entries()? {
            let mut entry = entry?;
            if entry.path()?.ends_with("var/lib/dpkg/status") {
                let mut status = String::new();
                entry.read_to_string(&mut status)?;
                return Ok(Some(parse_status(&status)));
            }
        }
        Ok(None)
    };
    let packages = read().map_err(host("read the installed system's archive"))?;
    packages.filter(|packages| !packages.is_empty()).ok_or_else(|| EnvironmentError::Tool {
        program: "mmdebstrap".into(),
        status: "its archive has no package records".into(),
        last_words: Vec::new(),
    })
}

fn parse_status(status: &str) -> Vec<Package> {
    let field = |stanza: &str, name: &str| {
        stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default().to_owned()
    };
    status
        .split("\n\n")
        .filter(|stanza| field(stanza, "Status").ends_with(" installed"))
        .map(|stanza| Package {
            name: field(stanza, "Package"),
            version: field(stanza, "Version"),
            architecture: field(stanza, "Architecture"),
        })
        .collect()
}

/// Reads the manifest of an installed environment.
///
/// # Errors
/// `Damaged` for a missing or invalid manifest, `Newer` for one of a later format, `Host` where
/// it could not be read. Only `Damaged` says that the installed files are bad.
pub fn read(directory: &Path, name: &str) -> Result<Manifest, EnvironmentError> {
    let damaged = |problem: String| EnvironmentError::Damaged { name: name.into(), problem };
    let path = directory.join(FILE_NAME);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(format!("{FILE_NAME} does not exist")));
        }
        text => text.map_err(host(format!("read {}", path.display())))?,
    };
    let value: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| damaged(format!("{FILE_NAME}: {error}")))?;
    match value["format"].as_u64() {
        Some(found) if found > u64::from(FORMAT) => {
            return Err(EnvironmentError::Newer { path, found, ours: FORMAT });
        }
        _ if seal::check(&text) == Seal::Broken => {
            return Err(damaged(format!("{FILE_NAME}: its checksum does not match")));
        }
        Some(_) => {}
        None => return Err(damaged(format!("{FILE_NAME} has no format field"))),
    }
    serde_json::from_value(value).map_err(|error| damaged(format!("{FILE_NAME}: {error}")))
}

/// Writes the manifest.
pub fn write(directory: &Path, manifest: &Manifest) -> Result<(), EnvironmentError> {
    let text = seal::seal(&serde_json::to_string_pretty(manifest).expect("a manifest has string keys only"));
    pyro_hostfs::write::atomically(&directory.join(FILE_NAME), text.as_bytes())
        .map_err(host(format!("write {FILE_NAME}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_are_listed() {
        let status = "Package: git\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2.39.5\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
        let git = Package { name: "git".into(), version: "1:2.39.5".into(), architecture: "amd64".into() };
        assert_eq!(parse_status(status), [git]);
    }

    #[test]
    fn a_broken_manifest_is_damage_a_newer_one_is_refused_and_one_that_cannot_be_read_is_neither() {
        let directory = tempfile::tempdir().unwrap();
        let problem = |text: &str| {
            fs::write(directory.path().join(FILE_NAME), text).unwrap();
            read(directory.path(), "debian:12").unwrap_err().to_string()
        };
        assert!(problem("{").starts_with("environment debian:12 is damaged: environment.json: EOF"));
        assert!(problem("{}").ends_with("has no format field"));
        assert!(problem(r#"{"format": 99}"#).ends_with("it has format 99; this release supports format 1"));
        assert!(problem(r#"{"format": 1}"#).contains("missing field"));
        assert!(problem(&seal::seal(r#"{"format": 1}"#).replace("1,", "1 ,")).ends_with("its checksum does not match"));
        fs::remove_file(directory.path().join(FILE_NAME)).unwrap();
        assert!(matches!(read(directory.path(), "x"), Err(EnvironmentError::Damaged { .. })));
        fs::create_dir(directory.path().join(FILE_NAME)).unwrap();
        assert!(matches!(read(directory.path(), "x"), Err(EnvironmentError::Host { .. })));
    }
}
