//! Templates: a machine that was booted once and is restored ever after.
//!
//! ```text
//! ENVIRONMENT/templates/.lock-KEY      exclusive: being made or dropped; shared: being restored from
//! ENVIRONMENT/templates/.partial-KEY   being made; rubbish whenever nobody holds the lock
//! ENVIRONMENT/templates/KEY/           template.json, memory, state, disk.qcow2
//! ```
//!
//! The key is a digest of everything the frozen machine depends on, so a template is never wrong,
//! only missing. Files whose fingerprint has changed since they were made are looked at again.

mod record;
mod target;
mod verify;
mod warm_up;

#[cfg(fuzzing)]
pub use record::RECORD;
pub use target::{Base, RestoreTarget};
pub use verify::{Verdict, verify};

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use pyro_engine::qemu::overlay;
use pyro_engine::{Accelerator, BootSpec, Disk, DiskLayer, Layering, MachineSpec, MemoryFile, MemoryMode, RestoreSpec};
use pyro_environment::Installed;
use pyro_hostfs::lock::{self, Lock, Mode};
use pyro_hostfs::{digest, directory, fingerprint};

pub use warm_up::run_quietly;
use warm_up::warm_and_save;

use crate::error::host;
use crate::id::VmId;
use crate::threads::off_thread;
use crate::unpacker::{BOOT_LIMIT, in_time, make_memory};
use crate::{Error, MachineSize, Pyro};
use record::{FORMAT, FileRecord, Read, Record, read_record};

const MEMORY: &str = "memory";
const STATE: &str = "state";
const DISK: &str = "disk.qcow2";
/// A machine's own name of the layer that came from the template.
const BASE: &str = "base.qcow2";
const PARTIAL: &str = ".partial-";
const LOCK: &str = ".lock-";

/// How often a template is made before it is given up for its clock.
const MAX_CLOCK_TRIES: usize = 3;
/// What makes a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateKey {
    environment: String,
    fingerprint: String,
    accelerator: Accelerator,
    size: MachineSize,
}

/// A template that may be restored from while this is held.
#[derive(Debug)]
pub struct Template {
    directory: PathBuf,
    rootfs: PathBuf,
    key: TemplateKey,
    _lock: Lock,
}

/// What became of a look for a template.
#[derive(Debug)]
pub enum Lookup {
    /// It is there and whole.
    Found(Template),
    /// There is none.
    Missing,
    /// There was one, and it is not what was made.
    Damaged(String),
}

impl TemplateKey {
    /// A name for it, and for nothing else.
    pub fn digest(&self) -> String {
        let Self { environment, fingerprint, accelerator, size } = self;
        let text = format!("{FORMAT} {environment} {fingerprint} {accelerator} {} {}", size.vcpus(), size.memory_mib());
        digest::of_bytes(text.as_bytes()).trim_start_matches("sha256:")[..32].to_owned()
    }
}

impl Pyro {
    /// The key of the template for machines of this kind.
    pub(crate) async fn template_key(
        &self,
        installed: &Installed,
        accelerator: Accelerator,
        size: MachineSize,
    ) -> Result<TemplateKey, Error> {
        let fingerprint = self.off_thread(move |pyro| Ok(pyro.engine.fingerprint(accelerator)?)).await?;
        Ok(TemplateKey { environment: installed.digest.clone(), fingerprint, accelerator, size })
    }

    /// Looks for the template.
    pub(crate) async fn find_template(&self, installed: &Installed, key: &TemplateKey) -> Result<Lookup, Error> {
        let root = templates(installed);
        let lock = locked(&root, key, Mode::Shared).await?;
        let directory = root.join(key.digest());
        let (rootfs, key) = (installed.rootfs.clone(), key.clone());
        off_thread(move || match verify(&directory)? {
            Verdict::Whole => Ok(Lookup::Found(Template { directory, rootfs, key, _lock: lock })),
            Verdict::Missing => Ok(Lookup::Missing),
            Verdict::Damaged(problem) => Ok(Lookup::Damaged(problem)),
        })
        .await
    }

    /// Removes the template, if it is there.
    pub(crate) async fn drop_template(&self, installed: &Installed, key: &TemplateKey) -> Result<(), Error> {
        let root = templates(installed);
        let _lock = locked(&root, key, Mode::Exclusive).await?;
        let unusable = root.join(key.digest());
        off_thread(move || directory::remove(&unusable).map_err(host("remove a template"))).await
    }

    /// Makes the template, unless another process has just done so.
    pub(crate) async fn make_template(&self, installed: &Installed, key: &TemplateKey) -> Result<(), Error> {
        let root = templates(installed);
        let _lock = locked(&root, key, Mode::Exclusive).await?;
        let target = root.join(key.digest());
        let partial = root.join(format!("{PARTIAL}{}", key.digest()));
        let places = (target.clone(), partial.clone());
        let is_there = off_thread(move || {
            let (target, partial) = places;
            directory::remove(&partial).map_err(host("remove what an interrupted run left"))?;
            // One that could not be read, or is of a newer release, is neither whole nor damaged: it stays.
            if verify(&target)? == Verdict::Whole {
                return Ok(true);
            }
            directory::remove(&target).map_err(host("remove a damaged template"))?;
            directory::private(&partial).map_err(host("make a template's directory"))?;
            Ok(false)
        });
        if is_there.await? {
            return Ok(());
        }
        let made = self.freeze_on_a_good_clock(&partial, installed, key).await;
        off_thread(move || {
            if made.is_err() {
                // The first error is the one to tell; the rest is removed by the next run.
                let _ = directory::remove(&partial);
            }
            made?;
            fs::rename(&partial, &target).map_err(host("put the template in its place"))?;
            pyro_hostfs::write::flush_directory(&root).map_err(host("flush the templates' directory"))
        })
        .await
    }

    /// A kernel that finds its clock unstable while it boots, on a busy host, takes a worse one, and every machine
    /// restored from it would lose time for ever. Such a template is not kept, and made again.
    async fn freeze_on_a_good_clock(
        &self,
        partial: &Path,
        installed: &Installed,
        key: &TemplateKey,
    ) -> Result<(), Error> {
        for _ in 1..MAX_CLOCK_TRIES {
            match self.freeze_into(partial, installed, key).await {
                Err(Error::ClockSource { .. }) => {}
                made => return made,
            }
            let again = partial.to_owned();
            off_thread(move || {
                directory::remove(&again)
                    .and_then(|()| directory::private(&again))
                    .map_err(host("make a template again"))
            })
            .await?;
        }
        self.freeze_into(partial, installed, key).await
    }

    async fn freeze_into(&self, partial: &Path, installed: &Installed, key: &TemplateKey) -> Result<(), Error> {
        make_memory(&partial.join(MEMORY), key.size.memory_mib())?;
        overlay::write_empty(&partial.join(DISK), disk_size(&installed.rootfs)?)
            .map_err(host("make the template's disk"))?;
        let memory = MemoryFile { path: partial.join(MEMORY), mode: MemoryMode::Shared };
        let name = format!("template-{}", &key.digest()[..12]);
        let machine = machine_spec(&name, key, memory, vec![partial.join(DISK)], &installed.rootfs, partial);
        let mut machine = in_time(self.engine.boot(boot_spec(machine, installed)), BOOT_LIMIT).await?;
        let result = warm_and_save(&mut *machine, &partial.join(STATE)).await;
        machine.halt().await;
        let clock_source = result?;
        let (partial, key) = (partial.to_owned(), key.clone());
        off_thread(move || write_down(&partial, &key, clock_source)).await
    }

    /// Removes templates that no machine of this release on this host would use.
    pub(crate) fn prune_templates(&self, installed: &Installed) -> Result<Vec<String>, Error> {
        let root = templates(installed);
        let read = || host("read the templates' directory");
        let entries = match fs::read_dir(&root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(read())?,
        };
        let mut removed = Vec::new();
        for entry in entries {
            let entry = entry.map_err(read())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let key = name.strip_prefix(PARTIAL).unwrap_or(&name);
            if name.starts_with(LOCK) || (!name.starts_with(PARTIAL) && self.is_current(&entry.path(), installed)?) {
                continue;
            }
            // One that is being made or restored from is left alone.
            if let Ok(_lock) = lock::try_exclusive(&root.join(format!("{LOCK}{key}"))) {
                directory::remove(&entry.path()).map_err(host("remove a template"))?;
                removed.push(format!(
                    "{}/templates/{name}",
                    installed.directory.file_name().unwrap_or_default().display()
                ));
            }
        }
        Ok(removed)
    }

    /// Whether a machine of this release, or of a newer one, may use it.
    fn is_current(&self, directory: &Path, installed: &Installed) -> Result<bool, Error> {
        let record = match read_record(directory)? {
            Read::Record(record) => record,
            Read::Missing | Read::Damaged(_) | Read::Older(_) => return Ok(false),
            Read::Newer(_) => return Ok(true),
        };
        let mut is_made_here = false;
        for accelerator in [Accelerator::Kvm, Accelerator::Tcg] {
            is_made_here |= record.fingerprint == self.engine.fingerprint(accelerator)?;
        }
        Ok(is_made_here && record.environment == installed.digest)
    }
}

impl Template {
    /// What a machine restored from it is made of. `directory` holds its own overlay, which is
    /// made here.
    pub async fn restore_spec(&self, target: RestoreTarget<'_>) -> Result<RestoreSpec, Error> {
        let RestoreTarget { id, directory: vm, base, .. } = target;
        let memory = MemoryFile { path: self.directory.join(MEMORY), mode: MemoryMode::CopyOnWrite };
        let (below, rootfs, own) = (self.directory.join(DISK), self.rootfs.clone(), vm.to_owned());
        let layers = off_thread(move || {
            let overlay = own.join(DISK);
            overlay::write_empty(&overlay, disk_size(&rootfs)?).map_err(host("make the machine's disk"))?;
            let below = match base {
                Base::Templates => below,
                Base::Own => keep_below(&below, own.join(BASE))?,
            };
            Ok(vec![overlay, below])
        });
        let machine = machine_spec(&id.to_string(), &self.key, memory, layers.await?, &self.rootfs, vm);
        Ok(RestoreSpec { machine, state: self.directory.join(STATE) })
    }
}

/// What a machine is booted from again: its own disk as it left it, and fresh memory.
pub fn boot_again_spec(id: &VmId, vm: &Path, key: &TemplateKey, installed: &Installed) -> Result<BootSpec, Error> {
    let path = vm.join(MEMORY);
    // Zeros that are mapped copy-on-write: memory that never goes to a disk.
    make_memory(&path, key.size.memory_mib())?;
    let memory = MemoryFile { path, mode: MemoryMode::CopyOnWrite };
    let layers = vec![vm.join(DISK), vm.join(BASE)];
    Ok(boot_spec(machine_spec(&id.to_string(), key, memory, layers, &installed.rootfs, vm), installed))
}

/// Takes the digests of a new template's files, and writes its record.
fn write_down(partial: &Path, key: &TemplateKey, clock_source: String) -> Result<(), Error> {
    let record = Record {
        format: FORMAT,
        environment: key.environment.clone(),
        fingerprint: key.fingerprint.clone(),
        vcpu_count: key.size.vcpus(),
        mem_mib: key.size.memory_mib(),
        clock_source,
        files: [MEMORY, STATE, DISK].into_iter().map(|name| describe(partial, name)).collect::<Result<_, _>>()?,
    };
    record.write(partial).map_err(host("write the template's record"))
}

fn templates(installed: &Installed) -> PathBuf {
    installed.directory.join("templates")
}

/// The template's disk as the machine's own file. One that is there belongs to a template that could not be restored
/// from: under another template's memory it would be another disk.
fn keep_below(from: &Path, to: PathBuf) -> Result<PathBuf, Error> {
    match fs::remove_file(&to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(host("remove the disk of another template")(error));
        }
        _ => {}
    }
    pyro_hostfs::write::link_or_copy(from, &to).map_err(host("keep the template's disk for the machine"))?;
    Ok(to)
}

fn disk_size(rootfs: &Path) -> Result<u64, Error> {
    Ok(fs::metadata(rootfs).map_err(host("look at the environment's disk"))?.len())
}

/// A machine of this key over the environment's disk; `overlays` from the upper to the lower.
fn machine_spec(
    name: &str,
    key: &TemplateKey,
    memory: MemoryFile,
    overlays: Vec<PathBuf>,
    rootfs: &Path,
    directory: &Path,
) -> MachineSpec {
    let mut layers = overlays.into_iter().map(|path| DiskLayer { path, layering: Layering::Qcow2 });
    let top = layers.next().expect("every machine has an overlay of its own");
    let mut below: Vec<DiskLayer> = layers.collect();
    below.push(DiskLayer { path: rootfs.to_owned(), layering: Layering::Raw });
    MachineSpec {
        name: name.to_owned(),
        accelerator: key.accelerator,
        vcpus: key.size.vcpus(),
        memory_mib: key.size.memory_mib(),
        memory,
        disks: vec![Disk { top, below, writable: true }],
        nic: false,
        directory: directory.to_owned(),
    }
}

fn boot_spec(machine: MachineSpec, installed: &Installed) -> BootSpec {
    BootSpec {
        machine,
        kernel: installed.kernel.clone(),
        initramfs: installed.initramfs.clone(),
        parameters: vec![format!("{}/dev/vda", pyro_guest::ROOT_PARAMETER)],
    }
}

/// Flushes a file of the template and describes it.
fn describe(directory: &Path, name: &str) -> Result<FileRecord, Error> {
    let path = directory.join(name);
    let describe = || {
        File::open(&path)?.sync_all()?;
        let digest = digest::of_sparse_file(&path)?;
        Ok(FileRecord { name: name.into(), digest, fingerprint: fingerprint::of(&path)?.to_string() })
    };
    describe().map_err(host(format!("take the digest of the template's {name}")))
}

/// Takes a lock, and waits for others off the event loop.
async fn locked(root: &Path, key: &TemplateKey, mode: Mode) -> Result<Lock, Error> {
    let (root, name) = (root.to_owned(), format!("{LOCK}{}", key.digest()));
    off_thread(move || {
        directory::private(&root).map_err(host("make the templates' directory"))?;
        lock::acquire(&root.join(name), mode).map_err(host("lock a template"))
    })
    .await
}
