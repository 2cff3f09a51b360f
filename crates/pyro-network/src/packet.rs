//! Parsing Ethernet frames: only the fields that the packet filter needs, and never beyond the frame's end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes before the packet.
pub const ETHERNET: usize = 14;
pub const IPV4: [u8; 2] = [0x08, 0x00];
pub const IPV6: [u8; 2] = [0x86, 0xdd];
pub const ARP: [u8; 2] = [0x08, 0x06];
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;
/// An IPv6 header is as long.
pub const IPV6_HEADER: usize = 40;
/// The shortest IPv4 header.
pub const IPV4_HEADER: usize = 20;
/// An ARP packet between Ethernet and IPv4.
const ARP_PACKET: usize = 28;

/// What a frame carries.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    Arp,
    Ip(Ip<'a>),
    /// Another protocol, or no whole header.
    Other,
}

/// An IP packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Ip<'a> {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// The protocol right after the header.
    pub protocol: u8,
    /// A fragment. It may have no ports, and passt does not reassemble fragments.
    pub fragment: bool,
    /// Header and payload.
    pub whole: &'a [u8],
    pub payload: &'a [u8],
}

impl Ip<'_> {
    /// The ports it comes from and goes to, where the protocol has ports.
    pub fn ports(&self) -> Option<(u16, u16)> {
        if self.fragment || !matches!(self.protocol, TCP | UDP) {
            return None;
        }
        let [a, b, c, d] = *self.payload.first_chunk()?;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// The flags of a TCP segment (RFC 9293, 3.1).
    pub fn tcp_flags(&self) -> Option<u8> {
        if self.fragment || self.protocol != TCP { None } else { self.payload.get(13).copied() }
    }

    /// The identifier of an ICMP echo request or reply of its own version of IP (RFC 792, RFC 4443).
    pub fn echo(&self) -> Option<u16> {
        let is_echo = matches!(self.icmp_type()?, 8 | 0 | 128 | 129);
        let id = self.payload.get(4..6)?;
        is_echo.then(|| u16::from_be_bytes([id[0], id[1]]))
    }

    /// The type of an ICMP message for its own version of IP.
    pub fn icmp_type(&self) -> Option<u8> {
        let own = if self.destination.is_ipv4() { ICMP } else { ICMPV6 };
        if self.fragment || self.protocol != own { None } else { self.payload.first().copied() }
    }
}

/// Reads a frame.
pub fn read(frame: &[u8]) -> Packet<'_> {
    let Some((header, packet)) = frame.split_at_checked(ETHERNET) else { return Packet::Other };
    match [header[12], header[13]] {
        ARP if packet.len() >= ARP_PACKET => Packet::Arp,
        IPV4 => ipv4(packet).map_or(Packet::Other, Packet::Ip),
        IPV6 => ipv6(packet).map_or(Packet::Other, Packet::Ip),
        _ => Packet::Other,
    }
}

fn ipv4(whole: &[u8]) -> Option<Ip<'_>> {
    let header = whole.first_chunk::<IPV4_HEADER>()?;
    let length = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || length < IPV4_HEADER {
        return None;
    }
    let address = |at: usize| IpAddr::V4(Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]));
    Some(Ip {
        source: address(12),
        destination: address(16),
        protocol: header[9],
        // More to follow, or an offset.
        fragment: u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0,
        whole,
        payload: whole.get(length..)?,
    })
}

fn ipv6(whole: &[u8]) -> Option<Ip<'_>> {
    let header = whole.first_chunk::<IPV6_HEADER>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&header[at..at + 16]);
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    Some(Ip {
        source: address(8),
        destination: address(24),
        protocol: header[6],
        fragment: false,
        whole,
        payload: &whole[IPV6_HEADER..],
    })
}

/// The checksum of the Internet protocols (RFC 1071) over the parts; each but the last must have an
/// even length.
pub fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame with an IPv4 packet.
    pub fn ipv4_frame(destination: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1, 8, 0];
        frame.extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 172, 29, 100, 2]);
        frame.extend(destination);
        frame.extend(payload);
        frame
    }

    /// A frame with an IPv6 packet.
    pub fn ipv6_frame(destination: Ipv6Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1, 0x86, 0xdd];
        frame.extend([0x60, 0, 0, 0, 0, payload.len() as u8, protocol, 64]);
        frame.extend("fd70:7972:6f00::2".parse::<Ipv6Addr>().unwrap().octets());
        frame.extend(destination.octets());
        frame.extend(payload);
        frame
    }

    #[test]
    fn ports_are_there_only_where_the_protocol_has_them() {
        let port = |frame: &[u8]| match read(frame) {
            Packet::Ip(ip) => ip.ports().map(|(_, to)| to),
            _ => panic!("no packet"),
        };
        let ports = [0x30, 0x39, 0, 53, 0, 8, 0, 0];
        assert_eq!(port(&ipv4_frame([1, 1, 1, 1], UDP, &ports)), Some(53));
        assert_eq!(port(&ipv4_frame([1, 1, 1, 1], ICMP, &ports)), None);
        assert_eq!(port(&ipv4_frame([1, 1, 1, 1], TCP, &ports[..3])), None);
        let mut fragment = ipv4_frame([1, 1, 1, 1], UDP, &ports);
        fragment[ETHERNET + 7] = 8;
        assert_eq!(port(&fragment), None);
        assert_eq!(port(&ipv6_frame("2001:db8::1".parse().unwrap(), UDP, &ports)), Some(53));
    }

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), (!0xddf2u16).to_be_bytes());
        assert_eq!(checksum(&[&[1, 2], &[3]]), checksum(&[&[1, 2, 3, 0]]));
    }

    proptest! {
        #[test]
        fn no_frame_is_read_beyond_its_end(frame in prop::collection::vec(any::<u8>(), 0..100), kind in 0..3usize) {
            let mut frame = frame;
            if frame.len() >= ETHERNET {
                frame[12..14].copy_from_slice(&[IPV4, IPV6, ARP][kind]);
            }
            if let Packet::Ip(ip) = read(&frame) {
                let _ = (ip.ports(), ip.icmp_type(), ip.tcp_flags(), ip.echo());
                prop_assert!(ip.whole.len() == frame.len() - ETHERNET && ip.payload.len() < ip.whole.len());
            }
        }
    }
}
