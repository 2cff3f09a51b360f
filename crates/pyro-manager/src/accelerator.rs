//! KVM where it really runs guests, TCG everywhere else.
//!
//! `/dev/kvm` may open, create machines, and still be unable to run an ordinary kernel. So a guest
//! has the last word: one is booted with KVM, once for each boot of the host, kernel and QEMU, and
//! whether it came up is written down with the reason.

use std::fs;
use std::path::Path;
use std::time::Duration;

use pyro_engine::{Accelerator, BootSpec, KvmDevice, MachineSpec, MemoryFile, MemoryMode};
use pyro_environment::Installed;
use pyro_guest::Identity;
use pyro_store::machines::Admission;
use serde::{Deserialize, Serialize};

use crate::error::host;
use crate::id::VmId;
use crate::unpacker::{attach, await_guest, in_time, make_memory};
use crate::vm_directory::VmDirectory;
use crate::{Error, Pyro};

/// A guest that really runs on the processor is up well before this.
const KVM_LIMIT: Duration = Duration::from_secs(8);
/// Memory of the probing guest, in MiB.
const PROBE_MEMORY_MIB: u32 = 256;
/// The file in the cache that keeps the verdict.
const VERDICT: &str = "kvm-verdict.json";

/// Whether KVM runs guests here (also the form on disk).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvmVerdict {
    /// What the verdict holds for: boot of the host, QEMU, kernel and agent.
    pub valid_for: String,
    /// Whether a guest came up.
    pub usable: bool,
    /// Why, in words.
    pub reason: String,
}

impl Pyro {
    /// The accelerator for this environment's guests.
    pub(crate) async fn accelerator(&self, installed: &Installed) -> Result<Accelerator, Error> {
        let environment = installed.clone();
        let looked = self.off_thread(move |pyro| {
            if !KvmDevice::inspect(&pyro.config.kvm_device).may_work() {
                return Ok(None);
            }
            let valid_for = pyro.verdict_scope(&environment)?;
            let verdict = pyro.kvm_verdict().filter(|verdict| verdict.valid_for == valid_for);
            Ok(Some((valid_for, verdict)))
        });
        let Some((valid_for, verdict)) = looked.await? else { return Ok(Accelerator::Tcg) };
        let verdict = match verdict {
            Some(verdict) => verdict,
            None => {
                let (usable, reason) = match self.probe_kvm(installed).await {
                    Ok(()) => (true, "a guest started under KVM".to_owned()),
                    Err(error @ (Error::Host { .. } | Error::Engine(_))) => return Err(error),
                    Err(error) => {
                        (false, format!("the device opens, but no guest starts with it: {}", first_line(&error)))
                    }
                };
                let verdict = KvmVerdict { valid_for, usable, reason };
                let text = serde_json::to_vec_pretty(&verdict).expect("a verdict has string keys only");
                let written = self.off_thread(move |pyro| {
                    pyro_hostfs::write::atomically(&pyro.config.cache.join(VERDICT), &text)
                        .map_err(host("write the verdict on KVM"))
                });
                written.await?;
                verdict
            }
        };
        Ok(if verdict.usable { Accelerator::Kvm } else { Accelerator::Tcg })
    }

    /// The verdict that was written down last, whatever it is valid for.
    pub(crate) fn kvm_verdict(&self) -> Option<KvmVerdict> {
        serde_json::from_slice(&fs::read(self.config.cache.join(VERDICT)).ok()?).ok()
    }

    /// Forgets the verdict, so that the next guest decides anew.
    pub(crate) fn forget_kvm_verdict(&self) {
        let _ = fs::remove_file(self.config.cache.join(VERDICT));
    }

    fn verdict_scope(&self, installed: &Installed) -> Result<String, Error> {
        let engine = self.engine.fingerprint(Accelerator::Kvm)?;
        let scope = format!("{} {engine} {}", host_boot_id(), installed.digest);
        Ok(pyro_hostfs::digest::of_bytes(scope.as_bytes()))
    }

    async fn probe_kvm(&self, installed: &Installed) -> Result<(), Error> {
        let id = VmId::random()?;
        let directory = VmDirectory::create(&self.machines(), &id, Admission::Always).await?;
        let memory = directory.path().join("memory");
        make_memory(&memory, PROBE_MEMORY_MIB)?;
        let spec = BootSpec {
            machine: MachineSpec {
                name: id.to_string(),
                accelerator: Accelerator::Kvm,
                vcpus: 1,
                memory_mib: PROBE_MEMORY_MIB,
                memory: MemoryFile { path: memory, mode: MemoryMode::Shared },
                disks: Vec::new(),
                nic: false,
                directory: directory.path().to_owned(),
            },
            kernel: installed.kernel.clone(),
            initramfs: installed.initramfs.clone(),
            parameters: Vec::new(),
        };
        let mut machine = in_time(self.engine.boot(spec), KVM_LIMIT).await?;
        let guest = attach(&mut *machine);
        guest.start_handshake(Identity::default());
        let result = await_guest(&mut *machine, guest.ready(), KVM_LIMIT).await;
        machine.halt().await;
        result
    }
}

/// Another boot of the host is another id.
fn host_boot_id() -> String {
    fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).unwrap_or_default().trim().to_owned()
}

fn first_line(error: &Error) -> String {
    error.failure().error.lines().next().unwrap_or_default().to_owned()
}
