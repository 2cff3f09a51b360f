//! The address plan of a guest and passt: a pure function of the host's network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::closed;
use crate::error::host as failed;
use crate::routes::Routes;
use crate::{HostNetwork, NetworkError};

/// Every guest has its own network, so all guests have the same addresses.
const GUEST_V4: Ipv4Addr = Ipv4Addr::new(172, 29, 100, 2);
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(172, 29, 100, 1);
const PREFIX_V4: u8 = 30;
/// A unique local prefix (RFC 4193); programs prefer IPv4 to it where both lead to a server.
const GUEST_V6: Ipv6Addr = Ipv6Addr::new(0xfd70, 0x7972, 0x6f00, 0, 0, 0, 0, 2);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd70, 0x7972, 0x6f00, 0, 0, 0, 0, 1);
const PREFIX_V6: u8 = 64;
/// passt's MAC address. Locally administered, because the host's own would reveal its card's maker.
pub const GATEWAY_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x70, 0x79, 0x67];
/// Large frames are fewer; a window must hold some of them, or each waits for a delayed answer.
const MTU: u32 = 16_384;
/// What a guest lets passt send ahead on a connection. passt throws away what its socket has no
/// room for, some 200 KiB for all connections together, and sends it many times over again; the way
/// from passt is short, and on the long way behind it the host's own windows count.
const WINDOW: u32 = 65_535;
/// The resolver uses at most this many (`MAXNS` in resolv.conf(5)).
const MOST_RESOLVERS: usize = 3;

/// Addresses of a guest and its gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The guest's MAC address.
    pub guest_mac: [u8; 6],
    /// The guest's addresses with the length of their prefix.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The gateways, in the order of `addresses`.
    pub gateways: Vec<IpAddr>,
    /// Bytes of a packet at most.
    pub mtu: u32,
    /// Bytes that a peer may send ahead on a connection of the guest's.
    pub window: u32,
    /// The guest's resolvers: those of the host, or a gateway in their place.
    pub dns_servers: Vec<IpAddr>,
    /// The gateway where passt takes questions for the host's first resolver; none where the guest
    /// can ask all of them itself. (passt gives answers of the resolver that it stands for its own
    /// address, so it is one or the other.)
    pub dns_forward: Option<IpAddr>,
    /// The guest's `/etc/resolv.conf`.
    pub resolver_file: String,
}

impl Plan {
    /// For a guest on this host.
    ///
    /// # Errors
    /// [`NetworkError::NoRoute`], [`NetworkError::Host`].
    pub fn new(host: &HostNetwork, guest_mac: [u8; 6]) -> Result<Self, NetworkError> {
        let mut routes = Routes::open().map_err(failed("ask the kernel for routes"))?;
        Self::decide(host, guest_mac, |address| closed::by_rule(address) || !routes.lead_away(address))
    }

    pub(crate) fn decide(
        host: &HostNetwork,
        guest_mac: [u8; 6],
        mut is_closed: impl FnMut(IpAddr) -> bool,
    ) -> Result<Self, NetworkError> {
        let (mut addresses, mut gateways): (Vec<(IpAddr, u8)>, Vec<IpAddr>) = (Vec::new(), Vec::new());
        if host.ipv4 {
            addresses.push((GUEST_V4.into(), PREFIX_V4));
            gateways.push(GATEWAY_V4.into());
        }
        if host.ipv6 {
            addresses.push((GUEST_V6.into(), PREFIX_V6));
            gateways.push(GATEWAY_V6.into());
        }
        let gateway = *gateways.first().ok_or(NetworkError::NoRoute)?;
        let has = |address: &IpAddr| if address.is_ipv4() { host.ipv4 } else { host.ipv6 };
        let asks_itself = host.resolvers.iter().all(|resolver| has(resolver) && !is_closed(*resolver));
        let (dns_servers, dns_forward) = if asks_itself {
            (host.resolvers.iter().copied().take(MOST_RESOLVERS).collect(), None)
        } else {
            // passt asks the first resolver of the gateway's own family.
            let family = host.resolvers.iter().find(|resolver| has(resolver)).unwrap_or(&gateway);
            let forward = gateways.iter().copied().find(|it| it.is_ipv4() == family.is_ipv4()).unwrap_or(gateway);
            (vec![forward], Some(forward))
        };
        let servers = dns_servers.iter().map(|server| format!("nameserver {server}\n"));
        let others = host.resolver_words.iter().map(|line| format!("{line}\n"));
        // passt carries datagrams only: larger ones (RFC 6891) leave fewer answers cut off.
        let larger = dns_forward.map(|_| "options edns0\n".to_owned());
        let resolver_file = servers.chain(others).chain(larger).collect();
        Ok(Self { guest_mac, addresses, gateways, mtu: MTU, window: WINDOW, dns_servers, dns_forward, resolver_file })
    }

    /// The guest's first address.
    #[must_use]
    pub fn guest_ip(&self) -> IpAddr {
        self.addresses[0].0
    }

    /// The subnet of the guest's first address, as `172.29.100.0/30`.
    #[must_use]
    pub fn subnet(&self) -> String {
        match self.addresses[0] {
            (IpAddr::V4(address), prefix) => {
                let mask = u32::MAX << (32 - u32::from(prefix));
                format!("{}/{prefix}", Ipv4Addr::from(u32::from(address) & mask))
            }
            (IpAddr::V6(address), prefix) => {
                let mask = u128::MAX << (128 - u32::from(prefix));
                format!("{}/{prefix}", Ipv6Addr::from(u128::from(address) & mask))
            }
        }
    }

    /// passt's command line (passt(1)), its socket being the descriptor `socket`.
    pub(crate) fn words(&self, socket: i32) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut add = |flag: &str, value: &str| {
            words.push(flag.into());
            if !value.is_empty() {
                words.push(value.into());
            }
        };
        add("--foreground", "");
        add("--fd", &socket.to_string());
        // By default the gateway's address is another name for the host's loopback.
        add("--no-map-gw", "");
        // The agent configures the guest; nothing comes in that the guest did not ask for.
        for flag in ["--no-dhcp", "--no-dhcpv6", "--no-ra"] {
            add(flag, "");
        }
        add("--tcp-ports", "none");
        add("--udp-ports", "none");
        add("--mac-addr", &GATEWAY_MAC.map(|byte| format!("{byte:02x}")).join(":"));
        add("--mtu", &self.mtu.to_string());
        match self.addresses[..] {
            [(IpAddr::V4(_), _)] => add("--ipv4-only", ""),
            [(IpAddr::V6(_), _)] => add("--ipv6-only", ""),
            _ => {}
        }
        for ((address, prefix), gateway) in self.addresses.iter().zip(&self.gateways) {
            add("--address", &address.to_string());
            if address.is_ipv4() {
                add("--netmask", &prefix.to_string());
            }
            add("--gateway", &gateway.to_string());
        }
        if let Some(forward) = self.dns_forward {
            add("--dns-forward", &forward.to_string());
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(ipv4: bool, ipv6: bool, resolvers: &[&str]) -> Result<Plan, NetworkError> {
        let resolvers = resolvers.iter().map(|text| text.parse().unwrap()).collect();
        let host = HostNetwork { ipv4, ipv6, resolvers, resolver_words: vec!["search example".into()] };
        Plan::decide(&host, [2, 0, 0, 0, 0, 1], closed::by_rule)
    }

    #[test]
    fn a_guest_has_the_families_its_host_has() {
        let both = plan(true, true, &["1.1.1.1"]).unwrap();
        assert_eq!((both.guest_ip().to_string(), both.subnet()), ("172.29.100.2".into(), "172.29.100.0/30".into()));
        assert_eq!(both.addresses.len(), 2);
        assert!(!both.words(3).iter().any(|word| word.ends_with("-only")));
        let v6 = plan(false, true, &["1.1.1.1"]).unwrap();
        assert_eq!((v6.guest_ip(), v6.subnet()), (GUEST_V6.into(), "fd70:7972:6f00::/64".into()));
        assert_eq!(v6.dns_servers, [IpAddr::from(GATEWAY_V6)], "it cannot ask an IPv4 resolver");
        assert!(v6.words(3).contains(&"--ipv6-only".into()));
        assert!(matches!(plan(false, false, &["1.1.1.1"]), Err(NetworkError::NoRoute)));
    }

    #[test]
    fn resolvers_that_a_guest_may_ask_are_its_own_and_passt_stands_for_the_others() {
        let own = plan(true, false, &["10.0.0.53", "1.1.1.1"]).unwrap();
        assert_eq!(own.resolver_file, "nameserver 10.0.0.53\nnameserver 1.1.1.1\nsearch example\n");
        assert!(!own.words(3).contains(&"--dns-forward".into()));
        let forwarded = plan(true, true, &["127.0.0.53", "10.0.0.53"]).unwrap();
        assert_eq!(forwarded.dns_servers, [IpAddr::from(GATEWAY_V4)]);
        assert_eq!(forwarded.resolver_file, "nameserver 172.29.100.1\nsearch example\noptions edns0\n");
        assert!(forwarded.words(3).ends_with(&["--dns-forward".into(), "172.29.100.1".into()]));
        assert_eq!(plan(true, true, &["::1"]).unwrap().dns_servers, [IpAddr::from(GATEWAY_V6)]);
        assert_eq!(plan(true, false, &["10.0.0.53", "2001:db8::53"]).unwrap().dns_servers, [IpAddr::from(GATEWAY_V4)]);
    }

    #[test]
    fn passt_is_told_everything_and_opens_nothing_inward() {
        let words = plan(true, true, &["1.1.1.1"]).unwrap().words(3).join(" ");
        assert_eq!(
            words,
            "--foreground --fd 3 --no-map-gw --no-dhcp --no-dhcpv6 --no-ra --tcp-ports none --udp-ports none \
             --mac-addr 52:54:00:70:79:67 --mtu 16384 \
             --address 172.29.100.2 --netmask 30 --gateway 172.29.100.1 \
             --address fd70:7972:6f00::2 --gateway fd70:7972:6f00::1"
        );
    }
}
