//! A machine's network, as far as its owner decides: whether it gets one, and who is told what.
//!
//! ```text
//! policy ─▶ UplinkPlan (planned from what the host has now) ─▶ Uplink opened ─▶ machine connected to it
//!                         └─▶ the guest's Identity    └─▶ the record's Addresses, the payloads
//! ```

use std::net::IpAddr;

use pyro_engine::MAC_ADDRESS;
use pyro_guest::Network;
use pyro_network::{HostFiles, HostNetwork, Passt, Plan, Uplink};
use pyro_store::record::Addresses;

use crate::config::Config;
use crate::error::Error;
use crate::limits::NetworkPolicy;

/// What a machine with a network is started with.
pub(crate) struct UplinkPlan {
    passt: Passt,
    plan: Plan,
}

impl UplinkPlan {
    /// What a machine with this MAC address needs for this policy; `None` where it is to reach nothing.
    ///
    /// # Errors
    /// [`Error::Network`], when the host has not what it takes.
    pub fn for_policy(config: &Config, policy: NetworkPolicy, mac_address: [u8; 6]) -> Result<Option<Self>, Error> {
        match policy {
            NetworkPolicy::Off => Ok(None),
            NetworkPolicy::Egress => {
                let passt = Passt::find(&config.passt, &config.search_path)?;
                let plan = Plan::new(&HostNetwork::look(&HostFiles::default()), mac_address)?;
                Ok(Some(Self { passt, plan }))
            }
        }
    }

    /// Starts passt.
    pub fn open(&self) -> Result<Uplink, Error> {
        Ok(Uplink::open(&self.passt, &self.plan)?)
    }

    /// What the guest is told.
    pub fn for_the_guest(&self) -> Network {
        network(&self.plan, true)
    }

    /// What everybody else is told.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            guest_ip: self.plan.guest_ip(),
            gateway_ip: self.plan.gateways[0],
            subnet_cidr: self.plan.subnet(),
            mac_address: self.plan.guest_mac.map(|byte| format!("{byte:02x}")).join(":"),
            dns_servers: self.plan.dns_servers.clone(),
        }
    }
}

/// What a template is told, so that little is left to do for a guest of this host. Where the host has
/// another network later, its guests are told so, and do what is left.
pub(crate) fn usual() -> Option<Network> {
    let HostNetwork { ipv4, ipv6, .. } = HostNetwork::look(&HostFiles::default());
    let host = HostNetwork { ipv4: ipv4 || !ipv6, ipv6, ..HostNetwork::default() };
    Plan::new(&host, MAC_ADDRESS).ok().map(|plan| network(&plan, false))
}

fn network(plan: &Plan, link: bool) -> Network {
    Network {
        addresses: plan.addresses.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect(),
        gateways: plan.gateways.iter().map(IpAddr::to_string).collect(),
        mtu: plan.mtu,
        window: plan.window,
        resolver_file: plan.resolver_file.clone(),
        link,
    }
}

/// Resolves when the way has ended by itself, with a sentence that says so.
pub(crate) async fn lost(uplink: &mut Option<Uplink>) -> String {
    match uplink {
        Some(uplink) => {
            format!("the guest lost its network; the machine keeps running without it: passt: {}", uplink.ended().await)
        }
        None => std::future::pending().await,
    }
}
