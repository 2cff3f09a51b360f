//! One installation, from nothing to a directory that can be published.
//!
//! Every step writes into the partial directory it is given, and nothing else; when a step fails,
//! or the process dies, that directory is useless and is removed.

use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::time::{SystemTime, UNIX_EPOCH};

use pyro_hostfs::{digest, fingerprint};

use crate::catalog::{CATALOG_VERSION, CatalogEntry, KERNEL_SUITE};
use crate::error::{UnpackFailure, host};
use crate::fetch::{Fetch, fetch, run_to_end};
use crate::initramfs::{self, Agent, ORDER};
use crate::manifest::{self, FORMAT, FileRecord, KernelRecord, Manifest};
use crate::progress::{Progress, Step};
use crate::tools::Tools;
use crate::{EnvironmentError, disk, kernel, modules};

/// The ELF kernel's file name.
pub const KERNEL: &str = "vmlinux";
/// The disk's file name.
pub const ROOTFS: &str = "rootfs.ext4";
/// The directory of the modules for the initramfs.
pub const MODULES: &str = "modules";

/// A disk to be filled.
#[derive(Clone, Copy, Debug)]
pub struct UnpackJob<'a> {
    /// ELF kernel to boot.
    pub kernel: &'a Path,
    /// Initramfs with the agent.
    pub initramfs: &'a Path,
    /// The blank disk; it holds an empty ext4 file system.
    pub disk: &'a Path,
    /// Tar archives, unpacked in order. Their lengths are multiples of 512.
    pub archives: &'a [&'a Path],
    /// A directory for the machine's own files.
    pub directory: &'a Path,
}

/// Fills disks inside a guest, so that nothing is unpacked with rights on the host.
pub trait Unpacker: Send + Sync {
    /// Does the job; `progress` gets the bytes of archive read so far.
    fn unpack<'a>(
        &'a self,
        job: UnpackJob<'a>,
        progress: &'a mut (dyn FnMut(u64) + Send),
    ) -> Pin<Box<dyn Future<Output = Result<(), UnpackFailure>> + Send + 'a>>;
}

/// What an installation needs to know.
pub struct Installation<'a> {
    pub entry: &'static CatalogEntry,
    pub agent: Agent,
    pub tools: &'a Tools,
    /// The partial directory.
    pub directory: &'a Path,
    /// This installation's own scratch directory; others may enter it.
    pub scratch: &'a Path,
}

impl Installation<'_> {
    /// Runs all steps, up to the written manifest.
    pub async fn run(
        &self,
        unpacker: &dyn Unpacker,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), EnvironmentError> {
        let release = self.kernel(progress).await?;
        progress(Progress::of(Step::Packages));
        let system = self.directory.join("system.tar");
        let request = Fetch {
            variant: "minbase",
            suite: self.entry.suite,
            packages: self.entry.packages,
            archive: &system,
            scratch: self.scratch,
        };
        fetch(self.tools, request, |line| progress(Progress::with_detail(Step::Packages, line))).await?;
        let packages = manifest::packages_in(&system)?;
        let source_digest = digest::of_file(&system).map_err(host("read the installed system's archive"))?;
        self.fill_disk(&system, unpacker, progress).await?;
        progress(Progress::of(Step::Publishing));
        self.remove_sources()?;
        self.write_manifest(release, packages, source_digest)
    }

    /// Kernel image, modules for the initramfs, and an archive of the whole module tree. Returns
    /// the kernel's release.
    async fn kernel(&self, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<String, EnvironmentError> {
        progress(Progress::of(Step::Kernel));
        let archive = self.directory.join("kernel.tar");
        let request = Fetch {
            variant: "extract",
            suite: KERNEL_SUITE,
            packages: &["linux-image-cloud-amd64"],
            archive: &archive,
            scratch: self.scratch,
        };
        fetch(self.tools, request, |line| progress(Progress::with_detail(Step::Kernel, line))).await?;
        let tree = self.directory.join("kernel");
        let release = extract_kernel(&archive, &tree)?;
        let image = fs::read(tree.join("vmlinuz")).map_err(host("read the kernel"))?;
        pyro_hostfs::write::atomically(&self.directory.join(KERNEL), &kernel::extract(&image)?)
            .map_err(host("write the kernel"))?;
        let mut depmod = self.tools.command("depmod")?;
        depmod.arg("-b").arg(tree.join("usr")).arg(&release);
        run_to_end("depmod", depmod, |_| {}).await?;
        self.boot_modules(&tree.join("usr/lib/modules").join(&release))?;
        write_overlay(&tree.join("usr"), &self.directory.join("overlay.tar"))
            .map_err(host("write the overlay archive"))?;
        Ok(release)
    }

    fn boot_modules(&self, tree: &Path) -> Result<(), EnvironmentError> {
        let target = self.directory.join(MODULES);
        fs::create_dir(&target).map_err(host("make the modules' directory"))?;
        let dep = fs::read_to_string(tree.join("modules.dep")).map_err(host("read modules.dep"))?;
        let mut order = String::new();
        for file in modules::load_order(&dep) {
            let name = format!("{}.ko", modules::module_name(&file));
            let module = modules::read(&tree.join(&file))?;
            pyro_hostfs::write::atomically(&target.join(&name), &module)
                .map_err(host(format!("write module {name}")))?;
            order.push_str(&format!("{name}\n"));
        }
        pyro_hostfs::write::atomically(&target.join(ORDER), order.as_bytes()).map_err(host("write the module order"))
    }

    async fn fill_disk(
        &self,
        system: &Path,
        unpacker: &dyn Unpacker,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), EnvironmentError> {
        progress(Progress::of(Step::Disk));
        let disk = self.directory.join(ROOTFS);
        disk::blank(&disk, self.tools).await?;
        let overlay = self.directory.join("overlay.tar");
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let total = size(system) + size(&overlay);
        let initramfs = initramfs::ensure(self.directory, &self.directory.join(MODULES), self.agent)?;
        let machine = self.directory.join("machine");
        pyro_hostfs::directory::private(&machine).map_err(host("make the machine's directory"))?;
        let job = UnpackJob {
            kernel: &self.directory.join(KERNEL),
            initramfs: &initramfs,
            disk: &disk,
            archives: &[system, &overlay],
            directory: &machine,
        };
        let mut report = |bytes: u64| {
            let bytes = Some((bytes.min(total), total));
            progress(Progress { step: Step::Disk, detail: String::new(), bytes });
        };
        let name = self.entry.name.to_owned();
        unpacker.unpack(job, &mut report).await.map_err(|source| EnvironmentError::Unpack { name, source })
    }

    fn remove_sources(&self) -> Result<(), EnvironmentError> {
        for name in ["kernel", "machine"] {
            pyro_hostfs::directory::remove(&self.directory.join(name)).map_err(host("remove what is used up"))?;
        }
        for name in ["kernel.tar", "overlay.tar", "system.tar"] {
            fs::remove_file(self.directory.join(name)).map_err(host("remove what is used up"))?;
        }
        Ok(())
    }

    fn write_manifest(
        &self,
        release: String,
        packages: Vec<manifest::Package>,
        source_digest: String,
    ) -> Result<(), EnvironmentError> {
        let order =
            fs::read_to_string(self.directory.join(MODULES).join(ORDER)).map_err(host("read the module order"))?;
        let modules = order.lines().map(|name| self.record(&format!("{MODULES}/{name}"))).collect::<Result<_, _>>()?;
        let manifest = Manifest {
            format: FORMAT,
            name: self.entry.name.into(),
            version: self.entry.version.into(),
            catalog_version: CATALOG_VERSION.into(),
            installed_by: env!("CARGO_PKG_VERSION").into(),
            installed_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
            suite: self.entry.suite.into(),
            source_digest,
            kernel: KernelRecord { release, image: self.record(KERNEL)? },
            rootfs: self.record(ROOTFS)?,
            modules,
            packages,
        };
        manifest::write(self.directory, &manifest)
    }

    /// Flushes a file to disk and describes it.
    fn record(&self, name: &str) -> Result<FileRecord, EnvironmentError> {
        let path = self.directory.join(name);
        let describe = || {
            File::open(&path)?.sync_all()?;
            Ok(FileRecord {
                name: name.into(),
                digest: digest_of(&path)?,
                fingerprint: fingerprint::of(&path)?.to_string(),
            })
        };
        describe().map_err(host(format!("take the digest of {name}")))
    }
}

/// The digest a file of an environment is known by.
pub fn digest_of(path: &Path) -> io::Result<String> {
    if path.ends_with(ROOTFS) { digest::of_sparse_file(path) } else { digest::of_file(path) }
}

/// Takes `boot/vmlinuz-*` and the module tree out of the kernel's archive, and nothing else: no
/// owner, no link, no path that leaves `tree`. Returns the release.
fn extract_kernel(archive: &Path, tree: &Path) -> Result<String, EnvironmentError> {
    let mut release = None;
    let mut extract = || -> io::Result<()> {
        let mut archive = tar::Archive::new(io::BufReader::with_capacity(1 << 20, File::open(archive)?));
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let path = path.strip_prefix(".").unwrap_or(&path).to_owned();
            let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
            if !plain || !entry.header().entry_type().is_file() {
                continue;
            }
            let text = path.to_string_lossy();
            let target = if let Some(found) = text.strip_prefix("boot/vmlinuz-") {
                release = Some(found.to_owned());
                tree.join("vmlinuz")
            } else if text.starts_with("usr/lib/modules/") {
                tree.join(&path)
            } else {
                continue;
            };
            fs::create_dir_all(target.parent().unwrap_or(tree))?;
            io::copy(&mut entry, &mut File::create(target)?)?;
        }
        Ok(())
    };
    extract().map_err(host("unpack the kernel package"))?;
    release.ok_or_else(|| EnvironmentError::Kernel { problem: "there is no kernel image in it".into() })
}

/// What goes onto the disk after the system: the module tree, the workspace, and two files that
/// the package tools had copied from the host, made the guest's own.
fn write_overlay(usr: &Path, target: &Path) -> io::Result<()> {
    let mut builder = tar::Builder::new(io::BufWriter::new(File::create_new(target)?));
    builder.mode(tar::HeaderMode::Deterministic);
    builder.append_dir_all("usr", usr)?;
    append(&mut builder, "workspace/", tar::EntryType::Directory, 0o755, b"")?;
    append(&mut builder, "etc/hostname", tar::EntryType::Regular, 0o644, b"pyro\n")?;
    append(&mut builder, "etc/resolv.conf", tar::EntryType::Regular, 0o644, b"")?;
    builder.into_inner()?.into_inner().map_err(|error| error.into_error())?.sync_all()
}

fn append(
    builder: &mut tar::Builder<impl io::Write>,
    path: &str,
    kind: tar::EntryType,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, path, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive_with(entries: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = tar::Builder::new(file.as_file());
        for (path, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.finish().unwrap();
        drop(builder);
        file
    }

    #[test]
    fn only_the_kernel_and_its_modules_are_taken_and_nothing_leaves_the_tree() {
        let archive = archive_with(&[
            ("./boot/vmlinuz-6.12.1-cloud", b"kernel"),
            ("./usr/lib/modules/6.12.1-cloud/kernel/a.ko", b"a"),
            ("./usr/lib/modules/../../../escaped", b"no"),
            ("./etc/passwd", b"no"),
        ]);
        let base = tempfile::tempdir().unwrap();
        let tree = base.path().join("tree");
        assert_eq!(extract_kernel(archive.path(), &tree).unwrap(), "6.12.1-cloud");
        assert_eq!(fs::read(tree.join("vmlinuz")).unwrap(), b"kernel");
        assert!(tree.join("usr/lib/modules/6.12.1-cloud/kernel/a.ko").exists());
        assert!(!tree.join("etc").exists());
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_archive_without_a_kernel_says_so() {
        let archive = archive_with(&[("./boot/config", b"x")]);
        let tree = tempfile::tempdir().unwrap();
        let error = extract_kernel(archive.path(), tree.path()).unwrap_err();
        assert_eq!(error.to_string(), "the kernel package cannot be used: there is no kernel image in it");
    }
}
