//! The answer to a packet that may not go where it wants to: an ICMP error, as a firewall sends it.
//! A program in the guest then hears at once what it would otherwise wait minutes for.

use std::net::IpAddr;

use crate::packet::{self, ETHERNET, ICMP, ICMPV6, IPV4, IPV4_HEADER, IPV6, IPV6_HEADER, Ip, Packet, checksum};
use crate::packet_filter::wants_an_answer;

/// Destination unreachable, administratively prohibited: RFC 1812 (5.2.7.1) and RFC 4443 (3.1).
const PROHIBITED_V4: [u8; 2] = [3, 13];
const PROHIBITED_V6: [u8; 2] = [1, 1];
/// Bytes of an ICMP header.
const ICMP_HEADER: usize = 8;
/// How much of the packet goes back: its header with all options, and the first of its payload.
const QUOTED: usize = 128;

/// The ICMP error for a frame; `None` if the frame must get no answer. It comes from the
/// gateway of the packet's family.
pub fn of(frame: &[u8], gateways: &[IpAddr]) -> Option<Vec<u8>> {
    let Packet::Ip(ip) = packet::read(frame) else { return None };
    if !wants_an_answer(&ip) {
        return None;
    }
    let gateway = gateways.iter().find(|gateway| gateway.is_ipv4() == ip.source.is_ipv4())?;
    let (ethertype, packet) = match (gateway, ip.source) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (IPV4, ipv4(&ip, from.octets(), to.octets())),
        (IpAddr::V6(from), IpAddr::V6(to)) => (IPV6, ipv6(&ip, from.octets(), to.octets())),
        _ => return None,
    };
    let mut answer = Vec::with_capacity(ETHERNET + packet.len());
    answer.extend(&frame[6..12]);
    answer.extend(&frame[0..6]);
    answer.extend(ethertype);
    answer.extend(packet);
    Some(answer)
}

fn quoted<'a>(ip: &Ip<'a>) -> &'a [u8] {
    &ip.whole[..ip.whole.len().min(QUOTED)]
}

/// An ICMP message without its checksum, then with it; `before` is what the checksum covers too.
fn message(kind: [u8; 2], quoted: &[u8], before: &[u8]) -> Vec<u8> {
    let mut message = vec![0; ICMP_HEADER];
    message[..2].copy_from_slice(&kind);
    message.extend(quoted);
    let sum = checksum(&[before, &message]);
    message[2..4].copy_from_slice(&sum);
    message
}

fn ipv4(ip: &Ip<'_>, from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
    let message = message(PROHIBITED_V4, quoted(ip), &[]);
    let length = (IPV4_HEADER + message.len()) as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, ICMP, 0, 0];
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet.extend(from);
    packet.extend(to);
    let sum = checksum(&[&packet]);
    packet[10..12].copy_from_slice(&sum);
    packet.extend(message);
    packet
}

fn ipv6(ip: &Ip<'_>, from: [u8; 16], to: [u8; 16]) -> Vec<u8> {
    let quoted = quoted(ip);
    let length = ((ICMP_HEADER + quoted.len()) as u16).to_be_bytes();
    let mut pseudo = Vec::with_capacity(IPV6_HEADER);
    pseudo.extend(from);
    pseudo.extend(to);
    pseudo.extend([0, 0, length[0], length[1], 0, 0, 0, ICMPV6]);
    let message = message(PROHIBITED_V6, quoted, &pseudo);
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], ICMPV6, 64];
    packet.extend(from);
    packet.extend(to);
    packet.extend(message);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::tests::{ipv4_frame, ipv6_frame};
    use crate::packet::{TCP, UDP};

    fn gateways() -> [IpAddr; 2] {
        [IpAddr::from([172, 29, 100, 1]), "fd70::1".parse().unwrap()]
    }

    #[test]
    fn an_answer_quotes_what_it_is_about_and_adds_up() {
        let frame = ipv4_frame([127, 0, 0, 1], TCP, &[0x30, 0x39, 0, 80, 1, 2, 3, 4, 5]);
        let answer = of(&frame, &gateways()).unwrap();
        assert_eq!((&answer[0..6], &answer[6..12]), (&frame[6..12], &frame[0..6]));
        let Packet::Ip(ip) = packet::read(&answer) else { panic!("no packet") };
        assert_eq!((ip.source, ip.destination), (gateways()[0], IpAddr::from([172, 29, 100, 2])));
        assert_eq!(ip.icmp_type(), Some(3));
        assert_eq!(&ip.payload[ICMP_HEADER..], &frame[ETHERNET..]);
        assert_eq!(checksum(&[&ip.whole[..IPV4_HEADER]]), [0, 0]);
        assert_eq!(checksum(&[ip.payload]), [0, 0]);
    }

    #[test]
    fn so_it_is_for_ipv6() {
        let frame = ipv6_frame("::1".parse().unwrap(), UDP, &[7; 200]);
        let answer = of(&frame, &gateways()).unwrap();
        let Packet::Ip(ip) = packet::read(&answer) else { panic!("no packet") };
        assert_eq!((ip.source, ip.icmp_type()), (gateways()[1], Some(1)));
        assert_eq!(ip.payload.len(), ICMP_HEADER + QUOTED);
        let length = ip.payload.len() as u8;
        assert_eq!(checksum(&[&ip.whole[8..40], &[0, 0, 0, length, 0, 0, 0, ICMPV6], ip.payload]), [0, 0]);
    }

    #[test]
    fn nobody_is_told_of_errors_and_of_what_has_no_gateway() {
        assert_eq!(of(&ipv4_frame([127, 0, 0, 1], ICMP, &[3, 1, 0, 0]), &gateways()), None);
        assert_eq!(of(&ipv4_frame([127, 0, 0, 1], TCP, &[0; 20]), &gateways()[1..]), None);
        assert_eq!(of(&[0; 10], &gateways()), None);
    }
}
