//! Ways in for the fuzz targets; not part of what is built otherwise.

use std::net::IpAddr;

use crate::packet::{self, Packet};
use crate::packet_filter::{Verdict, judge};
use crate::{HostNetwork, Plan, closed, frames, refusal};

/// A stream of frames as a guest sends it: what passes is for an address that is open, and who is refused
/// is answered, by one that fits.
pub fn stream(bytes: &[u8]) {
    let host = HostNetwork {
        ipv4: true,
        ipv6: true,
        resolvers: vec![IpAddr::from([127, 0, 0, 53])],
        resolver_words: Vec::new(),
    };
    let plan = Plan::decide(&host, [2, 0, 0, 0, 0, 1], closed::by_rule).expect("a host with both families");
    let Ok(ranges) = frames::split(bytes) else { return };
    assert!(ranges.last().is_none_or(|range| range.end <= bytes.len()));
    let mine: IpAddr = [10, 9, 8, 7].into();
    for range in ranges {
        let frame = frames::frame(bytes, &range);
        let verdict = judge(frame, &plan, &mut |address| address != mine);
        if let (Packet::Ip(ip), Verdict::Pass) = (packet::read(frame), verdict) {
            let question = plan.dns_forward == Some(ip.destination);
            let discovery = ip.icmp_type().is_some();
            assert!(question || discovery || !closed::by_rule(ip.destination) && ip.destination != mine);
        }
        if verdict == Verdict::Refuse
            && let Some(answer) = refusal::of(frame, &plan.gateways)
        {
            assert_eq!((&answer[..6], &answer[6..12]), (&frame[6..12], &frame[..6]));
            assert!(matches!(packet::read(&answer), Packet::Ip(_)) && answer.len() < 256);
        }
    }
}
