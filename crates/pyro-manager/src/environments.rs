//! The contract's operations on environments.

use std::sync::Arc;

use pyro_engine::Accelerator;
use pyro_environment::{CATALOG, CatalogEntry, EnvironmentError, Installed, PLATFORM, Progress};
use pyro_store::{Kind, Record, State};
use tokio::sync::mpsc;

use crate::error::Unavailable;
use crate::events::{EnvironmentProgress, RunEvent, tell};
use crate::payload::{CATALOG_VERSION, EnvironmentList, EnvironmentRecord, PruneRecord, PullRecord};
use crate::template::Lookup;
use crate::unpacker::GuestUnpacker;
use crate::{Error, MachineSize, Pyro};

/// What a machine has of a disk of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// None: it was not started yet.
    None,
    /// One that was made over what is installed.
    Own,
}

/// What a machine has of a disk of its own, which can be used over nothing but what it was made over.
///
/// # Errors
/// [`Unavailable::EnvironmentChanged`].
pub fn disk_over(record: &Record, installed: &Installed) -> Result<Disk, Error> {
    match &record.environment_digest {
        // Tasks of release 2.1.0 have a layer on the template's disk, which may be another one now.
        None if record.kind == Kind::Task && record.state != State::Creating => Err(changed(record)),
        None => Ok(Disk::None),
        // Release 2.1.0 noted the digest with its own agent in it.
        Some(digest) if [&installed.system_digest, &installed.digest].contains(&digest) => Ok(Disk::Own),
        Some(_) => Err(changed(record)),
    }
}

fn changed(record: &Record) -> Error {
    Unavailable::EnvironmentChanged { kind: record.kind, id: record.id.to_string() }.into()
}

impl Pyro {
    /// Every environment of the catalog.
    ///
    /// # Errors
    /// None so far; a damaged environment is listed as not installed, with its problem.
    pub fn list_environments(&self) -> Result<EnvironmentList, Error> {
        let environments = CATALOG.iter().map(|entry| self.record(entry)).collect();
        Ok(EnvironmentList { catalog_version: CATALOG_VERSION, environments })
    }

    /// One environment.
    ///
    /// # Errors
    /// [`Error::Environment`] for an unknown name.
    pub fn inspect_environment(&self, name: &str) -> Result<EnvironmentRecord, Error> {
        Ok(self.record(self.store.entry(name)?))
    }

    /// Installs the environment and makes the template for the default size; does nothing where
    /// both are there.
    ///
    /// # Errors
    /// [`Error`]; nothing half-done is ever taken for done.
    pub async fn pull_environment(
        &self,
        name: &str,
        progress: &mut (dyn FnMut(EnvironmentProgress) + Send),
    ) -> Result<PullRecord, Error> {
        self.off_thread(Pyro::check_engine).await?;
        let installed = self.install(name, progress).await?;
        progress(EnvironmentProgress::Probe);
        let accelerator = self.accelerator(&installed).await?;
        let key = self.template_key(&installed, accelerator, MachineSize::default()).await?;
        match self.find_template(&installed, &key).await? {
            Lookup::Found(_) => {}
            Lookup::Missing | Lookup::Damaged(_) => {
                progress(EnvironmentProgress::Template);
                self.make_template(&installed, &key).await?;
            }
        }
        let name = name.to_owned();
        self.off_thread(move |pyro| pyro.inspect_environment(&name)).await
    }

    /// Removes what no environment of this release uses.
    ///
    /// # Errors
    /// [`Error::Environment`] or [`Error::Host`] when the file system refuses.
    pub async fn prune_environments(&self) -> Result<PruneRecord, Error> {
        let mut deleted = self.store.prune().await?.deleted;
        let templates = self.off_thread(|pyro| {
            let mut deleted = Vec::new();
            for entry in CATALOG {
                if let Ok(installed) = pyro.store.installed(entry.name) {
                    deleted.extend(pyro.prune_templates(&installed)?);
                }
            }
            Ok(deleted)
        });
        deleted.extend(templates.await?);
        let count = deleted.len();
        Ok(PruneRecord { deleted_environment_dirs: deleted, count })
    }

    /// Installs it, or finds it installed. The disk is filled under software emulation: that works
    /// everywhere, and a kernel is needed to find out whether KVM does.
    pub(crate) async fn install(
        &self,
        name: &str,
        progress: &mut (dyn FnMut(EnvironmentProgress) + Send),
    ) -> Result<Installed, Error> {
        let unpacker = GuestUnpacker { engine: Arc::clone(&self.engine), accelerator: Accelerator::Tcg };
        let mut report = |step: Progress| progress(step.into());
        Ok(self.store.pull(name, &unpacker, &mut report).await?)
    }

    /// The installed environment. Where files have changed, their digests are taken: that may take long.
    pub(crate) async fn installed(&self, name: &str) -> Result<Installed, EnvironmentError> {
        let owned = name.to_owned();
        // An error of the outer result is none of the environment's.
        let looked = self.off_thread(move |pyro| Ok(pyro.store.installed(&owned))).await;
        looked.unwrap_or_else(|error| {
            let (attempt, source) = ("look at the environment".into(), std::io::Error::other(error));
            Err(EnvironmentError::Host { attempt, source })
        })
    }

    /// The environment, pulled when it is not installed, and made again when it is damaged.
    pub(crate) async fn environment_for_run(
        &self,
        name: &str,
        events: &mpsc::Sender<RunEvent>,
    ) -> Result<Installed, Error> {
        match self.installed(name).await {
            Ok(installed) => return Ok(installed),
            Err(EnvironmentError::NotInstalled { .. }) => {
                tell(events, RunEvent::Notice(format!("{name} is not installed; pulling it (needed once)"))).await?;
            }
            Err(error @ EnvironmentError::Damaged { .. }) => {
                tell(events, RunEvent::Notice(format!("{error}; pulling it again"))).await?;
            }
            Err(error) => return Err(error.into()),
        }
        self.off_thread(Pyro::check_engine).await?;
        let mut report = |progress| drop(events.try_send(RunEvent::Environment(progress)));
        self.install(name, &mut report).await
    }

    fn record(&self, entry: &'static CatalogEntry) -> EnvironmentRecord {
        let (installed, problem) = match self.store.installed(entry.name) {
            Ok(installed) => (Some(installed), None),
            Err(EnvironmentError::NotInstalled { .. }) => (None, None),
            Err(error) => (None, Some(Error::from(error).failure().error)),
        };
        let manifest = installed.as_ref().map(|installed| installed.manifest.clone());
        EnvironmentRecord {
            name: entry.name,
            version: entry.version,
            description: entry.description,
            default_packages: entry.default_packages,
            distribution: entry.distribution,
            distribution_version: entry.distribution_version,
            platform: PLATFORM,
            source: format!("{} {} packages, signed by the Debian archive", entry.distribution, entry.suite),
            source_digest: manifest.as_ref().map(|manifest| manifest.source_digest.clone()),
            catalog_version: CATALOG_VERSION,
            installed: installed.is_some(),
            cache_dir: self.store.cache().to_owned(),
            install_dir: self.store.install_directory(entry),
            install_manifest: installed.as_ref().map(|installed| installed.directory.join("environment.json")),
            kernel_image: installed.as_ref().map(|installed| installed.kernel.clone()),
            rootfs_image: installed.as_ref().map(|installed| installed.rootfs.clone()),
            problem,
            manifest,
        }
    }
}
