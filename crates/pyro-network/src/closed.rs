//! Addresses that are always closed to guests, whatever the host's own addresses are: those that only have a
//! meaning on one machine or one link (loopback, link-local, multicast, broadcast), which includes
//! the metadata services of clouds, and those of them that have other addresses. The host's own
//! addresses are the kernel's to tell ([`crate::routes`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metadata services that are not link-local: Alibaba Cloud, Azure, AWS, Google Cloud.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether an address is closed whatever the host's own addresses are.
pub fn by_rule(address: IpAddr) -> bool {
    if METADATA.contains(&address) {
        return true;
    }
    match address {
        IpAddr::V4(address) => match address.octets() {
            [0 | 127 | 224..=255, ..] => true,
            octets => octets[..2] == [169, 254],
        },
        IpAddr::V6(address) => {
            let segments = address.segments();
            let first = segments[0];
            let embedded = || {
                let [.., high, low] = segments;
                by_rule(IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))))
            };
            match segments {
                // Unspecified, loopback, and IPv4 addresses in IPv6 clothes.
                [0, 0, 0, 0, 0, 0 | 0xffff, ..] => true,
                // NAT64 leads to an IPv4 address (RFC 6052).
                [0x64, 0xff9b, 0, 0, 0, 0, ..] => embedded(),
                _ => first & 0xffc0 == 0xfe80 || first & 0xff00 == 0xff00,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_one_machine_or_one_link_is_closed() {
        for closed in [
            "0.0.0.0",
            "127.0.0.1",
            "127.8.9.10",
            "169.254.169.254",
            "169.254.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
        ] {
            assert!(by_rule(closed.parse().unwrap()), "{closed}");
        }
        for open in [
            "1.1.1.1",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.0.1",
            "223.255.255.255",
            "2001:db8::1",
            "fd00::1",
            "fec0::1",
            "64:ff9b::808:808",
        ] {
            assert!(!by_rule(open.parse().unwrap()), "{open}");
        }
    }
}
