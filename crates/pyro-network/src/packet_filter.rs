//! The packet filter: decides about each frame that a guest sends. It has no side effects.

use std::net::IpAddr;

use crate::Plan;
use crate::closed;
use crate::packet::{self, Ip, Packet, TCP, UDP};

/// The port of the name service.
const DNS: u16 = 53;
/// Neighbour discovery (RFC 4861): passt answers it itself.
const NEIGHBOUR_DISCOVERY: std::ops::RangeInclusive<u8> = 133..=136;

/// The decision about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Forward it to passt.
    Pass,
    /// Drop it.
    Drop,
    /// Drop it, and send the guest an ICMP error.
    Refuse,
}

/// Judges a frame. `leads_away` says whether a packet to an address leaves the host; the plan's
/// gateways are passt's.
pub fn judge(frame: &[u8], plan: &Plan, leads_away: &mut dyn FnMut(IpAddr) -> bool) -> Verdict {
    match packet::read(frame) {
        Packet::Arp => Verdict::Pass,
        Packet::Other => Verdict::Drop,
        Packet::Ip(ip) if is_discovery(&ip) => Verdict::Pass,
        Packet::Ip(ip) if is_for_everybody(ip.destination) || !is_of_the_guest(&ip, plan) => Verdict::Drop,
        // passt does not carry these. It might parse them differently from this filter.
        Packet::Ip(ip) if !is_carried(&ip) => Verdict::Refuse,
        Packet::Ip(ip) if is_question(&ip, plan) => Verdict::Pass,
        Packet::Ip(ip) => {
            // Outside, a gateway's address belongs to no host or to another one.
            let closed = plan.gateways.contains(&ip.destination) || closed::by_rule(ip.destination);
            if !closed && leads_away(ip.destination) { Verdict::Pass } else { Verdict::Refuse }
        }
    }
}

/// passt answers these itself.
pub fn is_discovery(ip: &Ip<'_>) -> bool {
    ip.destination.is_ipv6() && ip.icmp_type().is_some_and(|kind| NEIGHBOUR_DISCOVERY.contains(&kind))
}

/// A guest may send only from the addresses that it was given.
fn is_of_the_guest(ip: &Ip<'_>, plan: &Plan) -> bool {
    plan.addresses.iter().any(|(address, _)| *address == ip.source)
}

/// TCP and UDP with their ports, and echo requests. Extension headers and pieces of packets hide
/// what follows, and the bounds count what is seen.
fn is_carried(ip: &Ip<'_>) -> bool {
    ip.ports().is_some() || ip.echo().is_some()
}

/// A question for the host's resolver. By UDP only: older releases of passt would connect to that
/// address for TCP.
fn is_question(ip: &Ip<'_>, plan: &Plan) -> bool {
    let to_forward = plan.dns_forward == Some(ip.destination);
    to_forward && ip.protocol == UDP && ip.ports().is_some_and(|(_, to)| to == DNS)
}

/// Multicast and broadcast get no answer: kernels send them on their own.
fn is_for_everybody(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// Whether the packet may be answered with an ICMP error (RFC 1122, 3.2.2: no error is
/// sent about an error).
pub fn wants_an_answer(ip: &Ip<'_>) -> bool {
    const ECHO: u8 = 8;
    const ECHO_V6: u8 = 128;
    !ip.fragment && (matches!(ip.protocol, TCP | UDP) || matches!(ip.icmp_type(), Some(ECHO | ECHO_V6)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostNetwork;
    use crate::packet::tests::{ipv4_frame, ipv6_frame};
    use crate::packet::{ICMP, ICMPV6};
    use proptest::prelude::*;

    const GATEWAY: [u8; 4] = [172, 29, 100, 1];
    const OF_THE_HOST: [u8; 4] = [192, 168, 7, 7];

    fn judged(frame: &[u8]) -> Verdict {
        judge(frame, &plan("127.0.0.53"), &mut |address| address != IpAddr::from(OF_THE_HOST))
    }

    fn plan(resolver: &str) -> Plan {
        let resolvers = vec![resolver.parse().unwrap()];
        let host = HostNetwork { ipv4: true, ipv6: true, resolvers, ..HostNetwork::default() };
        Plan::new(&host, [2, 0, 0, 0, 0, 1]).unwrap()
    }

    fn to_port(port: u16) -> [u8; 8] {
        let [high, low] = port.to_be_bytes();
        [0x30, 0x39, high, low, 0, 8, 0, 0]
    }

    #[test]
    fn the_world_is_open_and_the_host_is_closed() {
        let v4 = |destination| judged(&ipv4_frame(destination, TCP, &to_port(80)));
        assert_eq!(v4([93, 184, 216, 34]), Verdict::Pass);
        assert_eq!(v4([10, 0, 0, 1]), Verdict::Pass);
        for closed in [[127, 0, 0, 1], [169, 254, 169, 254], OF_THE_HOST, [0, 0, 0, 0]] {
            assert_eq!(v4(closed), Verdict::Refuse, "{closed:?}");
        }
        assert_eq!(v4([255; 4]), Verdict::Drop);
        assert_eq!(v4([224, 0, 0, 251]), Verdict::Drop);
        let v6 = |destination: &str| judged(&ipv6_frame(destination.parse().unwrap(), TCP, &to_port(80)));
        assert_eq!(v6("2001:db8::1"), Verdict::Pass);
        assert_eq!(v6("::1"), Verdict::Refuse);
        assert_eq!(v6("::ffff:127.0.0.1"), Verdict::Refuse);
        assert_eq!(v6("fe80::1"), Verdict::Refuse);
        assert_eq!(v6("ff02::fb"), Verdict::Drop);
    }

    #[test]
    fn passt_gets_the_questions_it_answers() {
        assert_eq!(judged(&ipv4_frame(GATEWAY, UDP, &to_port(53))), Verdict::Pass);
        let mut arp = ipv4_frame(GATEWAY, UDP, &to_port(53));
        arp[12..14].copy_from_slice(&packet::ARP);
        assert_eq!(judged(&arp), Verdict::Pass);
        let solicitation = ipv6_frame("ff02::1:ff00:1".parse().unwrap(), ICMPV6, &[135, 0, 0, 0]);
        assert_eq!(judged(&solicitation), Verdict::Pass);
        let ping = ipv6_frame("ff02::1".parse().unwrap(), ICMPV6, &[128, 0, 0, 0]);
        assert_eq!(judged(&ping), Verdict::Drop);
        assert_eq!(judged(&ipv4_frame(GATEWAY, TCP, &to_port(53))), Verdict::Refuse);
        assert_eq!(judged(&ipv4_frame(GATEWAY, UDP, &to_port(54))), Verdict::Refuse);
        // Where the guest asks the resolver itself, passt would carry a question to that address on.
        let question = ipv4_frame(GATEWAY, UDP, &to_port(53));
        assert_eq!(judge(&question, &plan("192.0.2.53"), &mut |_| true), Verdict::Refuse);
    }

    #[test]
    fn what_is_no_whole_packet_is_dropped() {
        assert_eq!(judged(&[]), Verdict::Drop);
        assert_eq!(judged(&ipv4_frame([1, 1, 1, 1], TCP, &[])[..33]), Verdict::Drop);
        let mut tagged = ipv4_frame([1, 1, 1, 1], TCP, &to_port(80));
        tagged[12..14].copy_from_slice(&[0x81, 0x00]);
        assert_eq!(judged(&tagged), Verdict::Drop, "a VLAN");
        let mut short = ipv4_frame([1, 1, 1, 1], TCP, &to_port(80));
        short[packet::ETHERNET] = 0x44;
        assert_eq!(judged(&short), Verdict::Drop, "a header that is too short");
    }

    #[test]
    fn errors_are_not_answered() {
        let asks = |frame: &[u8]| match packet::read(frame) {
            Packet::Ip(ip) => wants_an_answer(&ip),
            _ => panic!("no packet"),
        };
        assert!(asks(&ipv4_frame([1, 1, 1, 1], ICMP, &[8, 0, 0, 0])));
        assert!(!asks(&ipv4_frame([1, 1, 1, 1], ICMP, &[3, 3, 0, 0])));
        assert!(!asks(&ipv4_frame([1, 1, 1, 1], ICMPV6, &[8, 0, 0, 0])));
    }

    proptest! {
        /// No content of a frame reaches a closed address.
        #[test]
        fn nothing_passes_to_the_hosts_loopback(noise in prop::collection::vec(any::<u8>(), 54..120), last in any::<[u8; 3]>()) {
            let mut frame = noise;
            frame[12..14].copy_from_slice(&packet::IPV4);
            frame[30] = 127;
            frame[31..34].copy_from_slice(&last);
            prop_assert_ne!(judged(&frame), Verdict::Pass);
            frame[12..14].copy_from_slice(&packet::IPV6);
            frame[38..54].copy_from_slice(&std::net::Ipv6Addr::LOCALHOST.octets());
            frame[20] = TCP;
            prop_assert_ne!(judged(&frame), Verdict::Pass);
        }
    }
}
