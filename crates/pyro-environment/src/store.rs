//! The cache of installed environments.
//!
//! ```text
//! CACHE/.lock-NAME            one pull of an environment at a time, across processes
//! CACHE/.partial-NAME         what a pull is making; useless while no process holds the lock
//! CACHE/NAME-VERSION/         installed: environment.json, vmlinux, rootfs.ext4, modules/, …
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pyro_hostfs::lock::{self, Lock, TryError};
use pyro_hostfs::{directory, fingerprint};

use crate::EnvironmentError;
use crate::catalog::{self, CATALOG, CatalogEntry};
use crate::error::host;
use crate::initramfs::{self, Agent};
use crate::install::{Installation, KERNEL, MODULES, ROOTFS, Unpacker, digest_of};
use crate::manifest::{self, Manifest};
use crate::partial::{self, Abandoned, exists};
use crate::progress::{Progress, Step};
use crate::tools::Tools;

const PARTIAL: &str = ".partial-";
/// The cache.
#[derive(Clone, Debug)]
pub struct Store {
    cache: PathBuf,
    tools: Tools,
    agent: Agent,
    /// Returns the free space; tests replace it.
    available_bytes: fn(&Path) -> io::Result<u64>,
}

/// An installed environment.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Its catalog entry.
    pub entry: &'static CatalogEntry,
    /// Its directory.
    pub directory: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
    /// The ELF kernel.
    pub kernel: PathBuf,
    /// The initramfs with this program's agent.
    pub initramfs: PathBuf,
    /// The disk, an ext4 file system. Never written to.
    pub rootfs: PathBuf,
    /// Digest of everything that a machine of this environment starts from, including the agent.
    pub digest: String,
    /// Digest of all that was installed. The agent is not: each release brings its own.
    pub system_digest: String,
}

/// What a prune removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Directories in the cache, by name.
    pub deleted: Vec<String>,
}

impl Store {
    /// The store in the directory `cache`, which is made when something is first put there.
    #[must_use]
    pub fn new(cache: PathBuf, tools: Tools, agent: Agent) -> Self {
        Self { cache, tools, agent, available_bytes: directory::available_bytes }
    }

    /// The cache's directory.
    #[must_use]
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The entry of that name.
    ///
    /// # Errors
    /// [`EnvironmentError::Unknown`], which names the known ones.
    pub fn entry(&self, name: &str) -> Result<&'static CatalogEntry, EnvironmentError> {
        catalog::find(name).ok_or_else(|| EnvironmentError::Unknown {
            name: name.into(),
            known: CATALOG.iter().map(|entry| entry.name).collect(),
        })
    }

    /// Where an environment is or would be installed.
    #[must_use]
    pub fn install_directory(&self, entry: &CatalogEntry) -> PathBuf {
        self.cache.join(entry.directory_name())
    }

    /// The installed environment of that name, ready to be used. Files whose fingerprint has changed
    /// since they were installed are digested again.
    ///
    /// # Errors
    /// `Unknown`, `NotInstalled`, or `Damaged` when the files are not those that were installed.
    pub fn installed(&self, name: &str) -> Result<Installed, EnvironmentError> {
        let entry = self.entry(name)?;
        let directory = self.install_directory(entry);
        if !exists(&directory)? {
            return Err(EnvironmentError::NotInstalled { name: name.into() });
        }
        // A cache that another user owns, or that is read-only, is used as it is, because every file is verified.
        let _ = pyro_hostfs::directory::close(&self.cache);
        let mut manifest = manifest::read(&directory, name)?;
        self.verify(&directory, &mut manifest)?;
        let initramfs = initramfs::ensure(&directory, &directory.join(MODULES), self.agent)?;
        let modules: Vec<&str> = manifest.modules.iter().map(|module| module.digest.as_str()).collect();
        let digest_with = |agent: &[&str]| {
            let system = [manifest.kernel.image.digest.as_str(), manifest.rootfs.digest.as_str()];
            pyro_hostfs::digest::of_bytes([&system[..], agent, &modules].concat().join("\n").as_bytes())
        };
        let (digest, system_digest) = (digest_with(&[self.agent.digest]), digest_with(&[]));
        Ok(Installed {
            entry,
            kernel: directory.join(KERNEL),
            rootfs: directory.join(ROOTFS),
            initramfs,
            directory,
            manifest,
            digest,
            system_digest,
        })
    }

    fn verify(&self, directory: &Path, manifest: &mut Manifest) -> Result<(), EnvironmentError> {
        let mut moved = false;
        let name = manifest.name.clone();
        let damaged = |problem: String| EnvironmentError::Damaged { name: name.clone(), problem };
        let files = [&mut manifest.kernel.image, &mut manifest.rootfs];
        for record in files.into_iter().chain(&mut manifest.modules) {
            let path = directory.join(&record.name);
            // Only a file that was read or is missing proves damage. An unreadable file does not.
            let unread = |error: io::Error| match error.kind() {
                io::ErrorKind::NotFound => damaged(format!("{}: {error}", record.name)),
                _ => host(format!("read {}", path.display()))(error),
            };
            let now = fingerprint::of(&path).map_err(unread)?.to_string();
            if now == record.fingerprint {
                continue;
            }
            let digest = digest_of(&path).map_err(unread)?;
            if digest != record.digest {
                return Err(damaged(format!(
                    "{} has changed since it was installed (its digest differs)",
                    record.name
                )));
            }
            record.fingerprint = now;
            moved = true;
        }
        if moved {
            // If the fingerprint cannot be saved, the next caller computes the digest again.
            let _ = manifest::write(directory, manifest);
        }
        Ok(())
    }

    /// Installs the environment, unless it is installed. A damaged one is removed after its replacement is made. One
    /// that could not be read, or that a newer release installed, is left unchanged.
    ///
    /// # Errors
    /// As [`EnvironmentError`]; afterwards the environment is as it was before.
    pub async fn pull(
        &self,
        name: &str,
        unpacker: &dyn Unpacker,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Installed, EnvironmentError> {
        let entry = self.entry(name)?;
        directory::private(&self.cache).map_err(host(format!("make {}", self.cache.display())))?;
        let _lock = self.lock(entry, progress).await?;
        partial::remove(&self.tools, &self.partial(entry)).await?;
        match self.installed(name) {
            Ok(installed) => return Ok(installed),
            // A damaged environment is removed only after its replacement is made.
            Err(EnvironmentError::NotInstalled { .. } | EnvironmentError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        self.check_space(entry)?;
        let partial = Abandoned(self.partial(entry), &self.tools);
        let result = self.install(entry, &partial.0, unpacker, progress).await;
        // Most programs and guests do not report a full disk clearly.
        let result = result.map_err(|error| self.full_disk(entry).unwrap_or(error));
        let removed = partial::remove(&self.tools, &partial.0).await;
        result?;
        removed?;
        self.installed(name)
    }

    async fn install(
        &self,
        entry: &'static CatalogEntry,
        partial: &Path,
        unpacker: &dyn Unpacker,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), EnvironmentError> {
        directory::private(partial).map_err(host("make a directory in the cache"))?;
        let scratch = partial::make_scratch(&self.tools, partial)?;
        let installation =
            Installation { entry, agent: self.agent, tools: &self.tools, directory: partial, scratch: &scratch };
        installation.run(unpacker, progress).await?;
        partial::remove_scratch(&self.tools, partial).await?;
        let target = self.install_directory(entry);
        self.discard(entry.name)?;
        fs::rename(partial, &target).map_err(host("put the environment in its place"))?;
        pyro_hostfs::write::flush_directory(&self.cache).map_err(host("flush the cache's directory"))
    }

    /// Removes an installed environment, whatever state it is in.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn discard(&self, name: &str) -> Result<(), EnvironmentError> {
        let directory = self.install_directory(self.entry(name)?);
        directory::remove(&directory).map_err(host(format!("remove {}", directory.display())))
    }

    /// Removes what no environment of this release uses: other versions, and what interrupted
    /// pulls left behind. Installed environments of this release and of newer ones stay.
    ///
    /// # Errors
    /// The error of the file system.
    pub async fn prune(&self) -> Result<Pruned, EnvironmentError> {
        let mut pruned = Pruned::default();
        let entries = match fs::read_dir(&self.cache) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(pruned),
            entries => entries.map_err(host("read the cache"))?,
        };
        let known: Vec<String> = CATALOG.iter().map(CatalogEntry::directory_name).collect();
        for entry in entries {
            let entry = entry.map_err(host("read the cache"))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(slug) = name.strip_prefix(PARTIAL) {
                // A running pull holds the lock and keeps its partial directory.
                if let Ok(_lock) = lock::try_exclusive(&self.lock_path(slug)) {
                    partial::remove(&self.tools, &entry.path()).await?;
                    pruned.deleted.push(name);
                }
            } else if !name.starts_with('.') && entry.path().is_dir() && !known.contains(&name) {
                match manifest::read(&entry.path(), &name) {
                    Ok(_) | Err(EnvironmentError::Damaged { .. }) => {}
                    // It belongs to a newer release, or its owner is unknown.
                    Err(_) => continue,
                }
                directory::remove(&entry.path()).map_err(host(format!("remove {name}")))?;
                pruned.deleted.push(name);
            }
        }
        pruned.deleted.sort();
        Ok(pruned)
    }

    fn partial(&self, entry: &CatalogEntry) -> PathBuf {
        self.cache.join(format!("{PARTIAL}{}", entry.slug()))
    }

    fn lock_path(&self, slug: &str) -> PathBuf {
        self.cache.join(format!(".lock-{slug}"))
    }

    async fn lock(
        &self,
        entry: &CatalogEntry,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Lock, EnvironmentError> {
        let path = self.lock_path(&entry.slug());
        let waited = match lock::try_exclusive(&path) {
            Ok(lock) => return Ok(lock),
            Err(TryError::Io(error)) => Err(error),
            Err(TryError::Held) => {
                progress(Progress::of(Step::Waiting));
                tokio::task::spawn_blocking(move || lock::exclusive(&path))
                    .await
                    .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            }
        };
        waited.map_err(host("lock the environment"))
    }

    fn check_space(&self, entry: &CatalogEntry) -> Result<(), EnvironmentError> {
        let needed = [(&self.cache, entry.space_needed), (&self.tools.scratch, entry.space_needed / 2)];
        match needed.into_iter().find_map(|(path, needed)| self.lack_of_space(entry, path, needed, needed)) {
            Some(lack) => Err(lack),
            None => Ok(()),
        }
    }

    /// Whether a disk has run full while the environment was made.
    fn full_disk(&self, entry: &CatalogEntry) -> Option<EnvironmentError> {
        const FULL: u64 = 16 << 20;
        let needed = [(&self.cache, entry.space_needed), (&self.tools.scratch, entry.space_needed / 2)];
        needed.into_iter().find_map(|(path, needed)| self.lack_of_space(entry, path, FULL, needed))
    }

    fn lack_of_space(
        &self,
        entry: &CatalogEntry,
        path: &Path,
        min_bytes: u64,
        needed: u64,
    ) -> Option<EnvironmentError> {
        let available = (self.available_bytes)(path).ok().filter(|available| *available < min_bytes)?;
        Some(EnvironmentError::NoSpace {
            name: entry.name.into(),
            path: path.to_owned(),
            available_mib: available >> 20,
            needed_mib: needed >> 20,
        })
    }
}

#[cfg(test)]
mod tests;
