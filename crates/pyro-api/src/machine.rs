//! The options of a machine. A new option is declared here once, and implemented in the manager.

use pyro_manager::{Error, MachineSize, Settings, VmOptions};
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
pub struct MachineOptions {
    /// Virtual processors, 1 to 8
    #[serde(default = "one")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true))]
    #[schemars(range(min = 1, max = 8))]
    pub vcpu_count: i64,
    /// Memory in MiB, 256 to 32768
    #[serde(default = "one_gibibyte")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "MIB", default_value_t = 1024, allow_negative_numbers = true))]
    #[schemars(range(min = 256, max = 32768))]
    pub mem_mib: i64,
    /// Allow outgoing connections from the guest
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub network: bool,
    /// Allow commands to run on this host when no guest can run
    #[serde(default)]
    #[cfg_attr(feature = "cli", arg(long))]
    pub allow_host_compat: bool,
}

fn one() -> i64 {
    1
}

fn one_gibibyte() -> i64 {
    1024
}

/// What a request without any of them gets.
impl Default for MachineOptions {
    fn default() -> Self {
        serde_json::from_str("{}").expect("every field has a default")
    }
}

impl MachineOptions {
    /// The requested machine, when no one else has to allow the options.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn options(&self) -> Result<VmOptions, Error> {
        let settings = Settings { network: self.network, allow_host_compat: self.allow_host_compat };
        Ok(VmOptions { size: MachineSize::new(self.vcpu_count, self.mem_mib)?, settings, ..VmOptions::default() })
    }

    /// The machine they ask for, as far as `context` allows it.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; [`Error::HostCompatRefused`].
    pub(crate) fn allowed(&self, context: &Context<'_>) -> Result<VmOptions, Error> {
        context.host_compat(self.allow_host_compat)?;
        self.options()
    }
}
