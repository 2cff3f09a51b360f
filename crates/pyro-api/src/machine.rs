//! The options of a machine. A new option is declared here once, and implemented in the manager.

use pyro_manager::{Error, HostCompat, MachineSize, NetworkPolicy, VmOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::Context;

/// Default time to live of a VM or task, in seconds.
pub(crate) const DEFAULT_TTL_SECONDS: i64 = 600;

/// The same, for defaults of fields.
pub(crate) fn default_ttl_seconds() -> i64 {
    DEFAULT_TTL_SECONDS
}

/// What a machine is made of. The same for runs, VMs and tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default)]
pub struct MachineOptions {
    /// Virtual processors, 1 to 8
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true))]
    #[schemars(range(min = 1, max = 8))]
    pub vcpu_count: i64,
    /// Memory in MiB, 256 to 32768
    #[cfg_attr(feature = "cli", arg(long, value_name = "MIB", default_value_t = 1024, allow_negative_numbers = true))]
    #[schemars(range(min = 256, max = 32768))]
    pub mem_mib: i64,
    /// Allow outgoing connections from the guest
    #[cfg_attr(feature = "cli", arg(long))]
    pub network: bool,
    /// Allow commands to run on this host when no guest can run
    #[cfg_attr(feature = "cli", arg(long))]
    pub allow_host_compat: bool,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self { vcpu_count: 1, mem_mib: 1024, network: false, allow_host_compat: false }
    }
}

impl MachineOptions {
    /// The requested machine, when no one else has to allow the options.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn options(&self) -> Result<VmOptions, Error> {
        Ok(VmOptions {
            size: MachineSize::new(self.vcpu_count, self.mem_mib)?,
            network: if self.network { NetworkPolicy::Egress } else { NetworkPolicy::Off },
            host_compat: if self.allow_host_compat { HostCompat::Allowed } else { HostCompat::Refused },
            ..VmOptions::default()
        })
    }

    /// The machine they ask for, as far as `context` allows it.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; [`Error::HostCompatRefused`].
    pub(crate) fn allowed(&self, context: &Context<'_>) -> Result<VmOptions, Error> {
        Ok(VmOptions { host_compat: context.host_compat(self.allow_host_compat)?, ..self.options()? })
    }
}
