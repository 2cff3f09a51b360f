//! Options that several commands have.

use clap::Args;
use pyro_manager::{Error, HostCompat, MachineSize, NetworkPolicy, VmOptions};

#[derive(Debug, Args)]
pub struct JsonOnly {
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// What a machine is made of, for every command that makes one.
#[derive(Debug, Args)]
pub struct MachineArguments {
    /// Virtual processors, 1 to 8
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    pub vcpu_count: i64,
    /// Memory in MiB, 256 to 32768
    #[arg(long, value_name = "MIB", default_value_t = 1024, allow_negative_numbers = true)]
    pub mem_mib: i64,
    /// How long the machine may live, 60 to 604800 seconds [default: 600; a run's is long enough for its
    /// --timeout-seconds]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub ttl_seconds: Option<i64>,
    /// Give the guest outgoing connections
    #[arg(long)]
    pub network: bool,
    /// Let commands run on this host where no guest can be had
    #[arg(long)]
    pub allow_host_compat: bool,
}

impl MachineArguments {
    /// The machine they ask for.
    ///
    /// # Errors
    /// When a value is out of bounds.
    pub fn options(&self) -> Result<VmOptions, Error> {
        Ok(VmOptions {
            size: MachineSize::new(self.vcpu_count, self.mem_mib)?,
            ttl: self.ttl_seconds.map_or(Ok(VmOptions::default().ttl), pyro_manager::ttl)?,
            network: if self.network { NetworkPolicy::Egress } else { NetworkPolicy::Off },
            host_compat: if self.allow_host_compat { HostCompat::Allowed } else { HostCompat::Refused },
        })
    }
}
