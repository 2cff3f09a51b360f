//! The host's network, read from files of the kernel and the resolver.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

/// Where the facts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFiles {
    /// IPv4 routes, as `/proc/net/route` (proc_net(5)).
    pub ipv4_routes: PathBuf,
    /// IPv6 routes, as `/proc/net/ipv6_route`.
    pub ipv6_routes: PathBuf,
    /// The resolver's configuration, as `/etc/resolv.conf` (resolv.conf(5)).
    pub resolver: PathBuf,
}

impl Default for HostFiles {
    fn default() -> Self {
        Self {
            ipv4_routes: "/proc/net/route".into(),
            ipv6_routes: "/proc/net/ipv6_route".into(),
            resolver: "/etc/resolv.conf".into(),
        }
    }
}

/// What the host has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNetwork {
    /// It has a default route for IPv4.
    pub ipv4: bool,
    /// It has a default route for IPv6.
    pub ipv6: bool,
    /// Its resolvers, in order.
    pub resolvers: Vec<IpAddr>,
    /// The other lines of its resolver's configuration that hold for a guest too (`search`,
    /// `domain`, `options`), in order.
    pub resolver_words: Vec<String>,
}

/// Bits of a route's flags in both files.
const UP: u32 = 0x1;
const REJECT: u32 = 0x200;

impl HostNetwork {
    /// Reads the files. An unreadable file counts as empty.
    #[must_use]
    pub fn look(files: &HostFiles) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let (resolvers, resolver_words) = resolver(&read(&files.resolver));
        Self {
            ipv4: read(&files.ipv4_routes).lines().any(is_ipv4_default),
            ipv6: read(&files.ipv6_routes).lines().any(is_ipv6_default),
            resolvers,
            resolver_words,
        }
    }
}

/// Columns: interface, destination, gateway, flags, count, uses, metric, mask, ... (hexadecimal).
fn is_ipv4_default(line: &str) -> bool {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let flags = columns.get(3).and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(0);
    let all = |column: usize| columns.get(column) == Some(&"00000000");
    all(1) && all(7) && flags & (UP | REJECT) == UP
}

/// Columns: destination, its prefix, source, its prefix, next hop, metric, count, uses, flags,
/// interface (hexadecimal).
fn is_ipv6_default(line: &str) -> bool {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let [destination, "00", _, _, _, _, _, _, flags, interface] = columns[..] else { return false };
    let flags = u32::from_str_radix(flags, 16).unwrap_or(0);
    destination.bytes().all(|digit| digit == b'0') && interface != "lo" && flags & (UP | REJECT) == UP
}

fn resolver(text: &str) -> (Vec<IpAddr>, Vec<String>) {
    let (mut resolvers, mut others) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match word {
            // A zone (`%eth0`) names a link of the host's; a guest has another one.
            "nameserver" => resolvers.extend(rest.trim().parse::<IpAddr>()),
            "search" | "domain" | "options" => others.push(line.to_owned()),
            _ => {}
        }
    }
    if resolvers.is_empty() {
        // The resolver's own default.
        resolvers.push(IpAddr::from([127, 0, 0, 1]));
    }
    (resolvers, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
    const IPV6: &str = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
        fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n";
    const NO_IPV6: &str = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
        00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";

    fn host(ipv4: &str, ipv6: &str, resolver: &str) -> HostNetwork {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            fs::write(directory.path().join(name), text).unwrap();
            directory.path().join(name)
        };
        HostNetwork::look(&HostFiles {
            ipv4_routes: file("route", ipv4),
            ipv6_routes: file("ipv6_route", ipv6),
            resolver: file("resolv.conf", resolver),
        })
    }

    #[test]
    fn a_default_route_is_one_that_leads_somewhere() {
        let both = host(IPV4, IPV6, "");
        assert!(both.ipv4 && both.ipv6);
        let neither = host(&IPV4.replace("\t0003\t", "\t0200\t"), NO_IPV6, "");
        assert!(!neither.ipv4 && !neither.ipv6);
        let no_mask = IPV4.replace("\t00000000\t0\t0\t0\n", "\t00FFFFFF\t0\t0\t0\n");
        assert!(!host(&no_mask, "", "").ipv4, "10.0.0.0/8 and the like");
        assert_eq!(
            HostNetwork::look(&HostFiles { resolver: "/nonexistent".into(), ..HostFiles::default() }).resolvers.len(),
            1
        );
    }

    #[test]
    fn the_resolvers_configuration_is_read_as_the_resolver_does() {
        let text = "# by hand\nnameserver 10.1.2.3\nnameserver fe80::1%eth0\n nameserver 2001:db8::53\n\
            search a.example b.example\noptions ndots:2\nsortlist 1.2.3.4\n";
        let seen = host("", "", text);
        assert_eq!(seen.resolvers, ["10.1.2.3".parse::<IpAddr>().unwrap(), "2001:db8::53".parse().unwrap()]);
        assert_eq!(seen.resolver_words, ["search a.example b.example", "options ndots:2"]);
        assert_eq!(host("", "", "").resolvers, [IpAddr::from([127, 0, 0, 1])]);
    }
}
