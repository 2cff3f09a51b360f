//! What this host can do, what is missing, and what to do about it.
//!
//! Nothing here assumes that anything is there: each check looks for itself and says what it saw.
//! Only a deep look starts machines.

mod host;
mod report;

pub use report::{Check, CheckStatus, DoctorReport, KvmReport};

use std::collections::BTreeMap;
use std::path::Path;

use pyro_engine::qemu::{MINIMUM_VERSION, Program};
use pyro_engine::{Accelerator, KvmDevice, MAC_ADDRESS, ProgramError};
use pyro_environment::CATALOG;
use pyro_network::{HostFiles, HostNetwork, Passt};
use serde_json::{Value, json};

use crate::limits::NetworkPolicy;
use crate::network::UplinkPlan;
use crate::{Error, Pyro};
use host::{DATA_DIRECTORY, directory_check, kvm_check, memory_check, platform, platform_check};

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Look only.
    Quick,
    /// Boot a guest, too.
    Deep,
}

/// Programs that only building environments needs, with the Debian package of each.
const BUILD_TOOLS: &[(&str, &str)] = &[("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("depmod", "kmod")];
/// Each of these signs both releases that environments come from.
const KEYRINGS: &[&str] = &[
    "/usr/share/keyrings/debian-archive-bookworm-automatic.gpg",
    "/usr/share/keyrings/debian-archive-bookworm-automatic.pgp",
    "/usr/share/keyrings/debian-archive-trixie-automatic.gpg",
    "/usr/share/keyrings/debian-archive-trixie-automatic.pgp",
];

impl Pyro {
    /// Looks at everything.
    pub async fn doctor(&self, depth: Depth) -> DoctorReport {
        let deep = if depth == Depth::Deep { Some(self.deep_check().await) } else { None };
        let passt = if depth == Depth::Deep { Some(self.deep_network_check().await) } else { None };
        let kvm = self.kvm_report();
        let (networking, network) = self.networking();
        let mut checks = vec![
            platform_check(),
            self.qemu_check(),
            self.confinement_check().await,
            kvm_check(&kvm),
            self.build_tools_check(),
            network,
            directory_check(DATA_DIRECTORY, &self.config.data, "set PYRO_HOME"),
            directory_check("cache_directory", &self.config.cache, "set PYRO_ENVIRONMENT_CACHE_DIR"),
            memory_check(),
            self.environments_check(),
        ];
        checks.extend(deep);
        checks.extend(passt);
        let issues = checks
            .iter()
            .filter(|check| check.status == CheckStatus::Fail)
            .map(|check| format!("{}: {}", check.name, check.detail))
            .collect::<Vec<_>>();
        DoctorReport {
            platform: platform(),
            runtime_ok: issues.is_empty(),
            issues,
            networking,
            runtime: self.runtime(),
            kvm,
            checks,
        }
    }

    fn kvm_report(&self) -> KvmReport {
        let device = KvmDevice::inspect(&self.config.kvm_device);
        let path = self.config.kvm_device.display();
        let (usable, reason) = if !device.exists {
            (Some(false), format!("{path} does not exist"))
        } else if !device.may_work() {
            (Some(false), format!("this user may not open {path} for reading and writing"))
        } else {
            match self.kvm_verdict() {
                Some(verdict) => (Some(verdict.usable), verdict.reason),
                None => (None, "the device opens; no guest has used it yet".into()),
            }
        };
        let KvmDevice { exists, readable, writable } = device;
        KvmReport { exists, readable, writable, usable, reason }
    }

    fn qemu_check(&self) -> Check {
        let install = format!(
            "install qemu-system-x86 {MINIMUM_VERSION} or newer (`make setup` does; on Debian 12 from bookworm-backports)"
        );
        match self.qemu_version() {
            Ok((path, version)) => Check::pass("qemu", format!("QEMU {version} at {path}")),
            Err(error) => Check::fail("qemu", error.to_string(), install),
        }
    }

    /// What stands around a machine's process. A layer that the host does not allow is a warning: guests
    /// run all the same.
    async fn confinement_check(&self) -> Check {
        let fix = "docs/security.md explains each layer and what it needs";
        let Ok(program) = Program::find(&self.config.qemu, &self.config.search_path) else {
            return Check::warn("confinement", "not checked, because QEMU is missing".into(), "install QEMU".into());
        };
        match program.confinement().await {
            Ok(found) if found.missing.is_empty() => Check::pass("confinement", found.layers.join(", ")),
            Ok(found) => {
                let missing = found.missing.join("; ");
                let detail = format!("in force: {}; not in force: {missing}", found.layers.join(", "));
                Check::warn("confinement", detail, fix.into())
            }
            Err(error) => Check::warn("confinement", format!("QEMU could not be started: {error}"), fix.into()),
        }
    }

    /// Refuses a QEMU that is not there or too old, before anything is downloaded for it. An
    /// engine of another kind is its own judge.
    pub(crate) fn check_engine(&self) -> Result<(), Error> {
        match self.engine.fingerprint(Accelerator::Tcg) {
            Ok(fingerprint) if fingerprint.starts_with("qemu ") => self.qemu_version().map(drop).map_err(Error::Engine),
            Ok(_) => Ok(()),
            Err(error) => Err(Error::Engine(error)),
        }
    }

    fn qemu_version(&self) -> Result<(String, String), ProgramError> {
        let program = Program::find(&self.config.qemu, &self.config.search_path)?;
        Ok((program.path.display().to_string(), program.checked_version()?))
    }

    fn build_tools_check(&self) -> Check {
        let mut missing: Vec<&str> = BUILD_TOOLS
            .iter()
            .filter(|(program, _)| self.find(program).is_none())
            .map(|(_, package)| *package)
            .collect();
        if !KEYRINGS.iter().any(|path| Path::new(path).exists()) {
            missing.push("debian-archive-keyring");
        }
        if missing.is_empty() {
            return Check::pass("build_tools", "mmdebstrap, mke2fs, depmod and Debian's keys are installed".into());
        }
        let detail = format!("missing: {}", missing.join(", "));
        let fix = format!("apt-get install {} (`make setup` does)", missing.join(" "));
        let installed = CATALOG.iter().any(|entry| self.store.installed(entry.name).is_ok());
        // What is installed runs without them.
        if installed { Check::warn("build_tools", detail, fix) } else { Check::fail("build_tools", detail, fix) }
    }

    /// Networks for guests: what there is, and the check of it.
    fn networking(&self) -> (Value, Check) {
        let host = HostNetwork::look(&HostFiles::default());
        let passt = Passt::find(&self.config.passt, &self.config.search_path);
        let version = passt.as_ref().ok().and_then(Passt::version);
        let network = UplinkPlan::for_policy(&self.config, NetworkPolicy::Egress, MAC_ADDRESS);
        let (reason, fix) = match &network {
            Ok(_) => (None, None),
            Err(error) => (Some(error.failure().error), error.hint()),
        };
        let dns_servers = network.ok().flatten().map(|network| network.addresses().dns_servers);
        let path = passt.ok().map(|passt| passt.path);
        let check = match (&reason, &path) {
            (None, Some(path)) => {
                let families = [(host.ipv4, "IPv4"), (host.ipv6, "IPv6")];
                let families: Vec<&str> = families.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
                let detail = format!("passt at {}; guests reach {}", path.display(), families.join(" and "));
                Check::pass("network", detail)
            }
            (reason, _) => {
                let detail = format!("{}; guests have no network", reason.as_deref().unwrap_or_default());
                Check::warn("network", detail, fix.clone().unwrap_or_default())
            }
        };
        let report = json!({
            "available": reason.is_none(), "path": "passt", "passt": path, "version": version,
            "ipv4": host.ipv4, "ipv6": host.ipv6, "dns_servers": dns_servers, "reason": reason, "fix": fix,
        });
        (report, check)
    }

    /// Lets passt come up.
    async fn deep_network_check(&self) -> Check {
        let tried = async {
            let Some(network) = UplinkPlan::for_policy(&self.config, NetworkPolicy::Egress, MAC_ADDRESS)? else {
                return Ok(());
            };
            let mut uplink = network.open()?;
            let up = uplink.ready().await;
            uplink.close().await;
            Ok::<(), Error>(up?)
        };
        match tried.await {
            Ok(()) => Check::pass("passt", "passt started and answered".into()),
            Err(error) => Check::warn("passt", error.failure().error, error.hint().unwrap_or_default()),
        }
    }

    fn environments_check(&self) -> Check {
        let mut seen = BTreeMap::new();
        for entry in CATALOG {
            match self.store.installed(entry.name) {
                Ok(_) => drop(seen.insert(entry.name, "installed".to_owned())),
                Err(pyro_environment::EnvironmentError::Damaged { problem, .. }) => {
                    drop(seen.insert(entry.name, problem))
                }
                Err(_) => {}
            }
        }
        let detail = seen.iter().map(|(name, state)| format!("{name}: {state}")).collect::<Vec<_>>().join("; ");
        if seen.is_empty() {
            Check::warn("environments", "no environment is installed yet".into(), "pyro env pull debian:12".into())
        } else if let Some((name, _)) = seen.iter().find(|(_, state)| *state != "installed") {
            Check::warn("environments", detail.clone(), format!("pyro env pull {name}"))
        } else {
            Check::pass("environments", detail)
        }
    }

    /// Runs a guest, with KVM tried anew where the device opens.
    async fn deep_check(&self) -> Check {
        let Some(installed) = CATALOG.iter().find_map(|entry| self.store.installed(entry.name).ok()) else {
            let fix = "pyro env pull debian:12".to_owned();
            return Check::warn("guest", "no environment is installed, so no guest could be booted".into(), fix);
        };
        self.forget_kvm_verdict();
        let name = installed.entry.name;
        match self.boot_once(&installed).await {
            Ok(accelerator) => Check::pass("guest", format!("a guest of {name} started under {accelerator}")),
            Err(error) => Check::fail("guest", error.failure().error, error.hint().unwrap_or_default()),
        }
    }

    async fn boot_once(&self, installed: &pyro_environment::Installed) -> Result<Accelerator, Error> {
        let accelerator = self.accelerator(installed).await?;
        let key = self.template_key(installed, accelerator, crate::MachineSize::default()).await?;
        self.drop_template(installed, &key).await?;
        self.make_template(installed, &key).await?;
        Ok(accelerator)
    }

    fn runtime(&self) -> Value {
        json!({
            "qemu": self.find(&self.config.qemu.to_string_lossy()),
            "data_dir": self.config.data,
            "cache_dir": self.config.cache,
            "agent_bytes": crate::agent::agent_size(),
        })
    }

    fn find(&self, program: &str) -> Option<String> {
        let found = Program::find(Path::new(program), &self.config.search_path).ok()?;
        Some(found.path.display().to_string())
    }
}
