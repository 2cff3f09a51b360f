use super::*;
use crate::packet::tests::ipv4_frame;
use crate::packet::{self, ICMP, Packet};
use proptest::prelude::*;

const PEER: [u8; 4] = [192, 0, 2, 1];
const GUEST: [u8; 4] = [172, 29, 100, 2];

fn segment(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let mut payload = vec![0; 20];
    payload[..2].copy_from_slice(&from.to_be_bytes());
    payload[2..4].copy_from_slice(&to.to_be_bytes());
    payload[13] = flags;
    payload
}

fn sent(flows: &mut Flows, protocol: u8, payload: &[u8], now: Instant) -> Verdict {
    let frame = ipv4_frame(PEER, protocol, payload);
    let Packet::Ip(ip) = packet::read(&frame) else { panic!("no packet") };
    flows.admit(&ip, now)
}

fn heard(flows: &mut Flows, protocol: u8, payload: &[u8], now: Instant) {
    let mut frame = ipv4_frame(GUEST, protocol, payload);
    frame[26..30].copy_from_slice(&PEER);
    let Packet::Ip(ip) = packet::read(&frame) else { panic!("no packet") };
    flows.heard(&ip, now);
}

/// A time for each new flow, so that only the number of flows counts.
fn evenly(start: Instant, n: usize) -> Instant {
    start + Duration::from_secs(1) / PER_SECOND * n as u32
}

#[test]
fn ports_of_datagrams_are_bounded_and_come_back_when_they_are_idle() {
    let start = Instant::now();
    let mut flows = Flows::new(start);
    let datagram = |port: usize| segment(port as u16, 53, 0);
    for n in 0..UDP_FLOWS {
        assert_eq!(sent(&mut flows, UDP, &datagram(n), evenly(start, n)), Verdict::Pass);
    }
    let full = evenly(start, UDP_FLOWS);
    assert_eq!(sent(&mut flows, UDP, &datagram(UDP_FLOWS), full), Verdict::Refuse);
    assert_eq!(sent(&mut flows, UDP, &datagram(0), full), Verdict::Pass, "a known one goes on");
    heard(&mut flows, UDP, &segment(53, 1, 0), full + UDP_IDLE / 2);
    let later = full + UDP_IDLE;
    assert_eq!(sent(&mut flows, UDP, &datagram(UDP_FLOWS), later), Verdict::Pass);
    assert_eq!(flows.udp.len(), 2, "what was heard of lately is counted still");
}

#[test]
fn unanswered_connections_are_bounded_and_time_out() {
    let start = Instant::now();
    let mut flows = Flows::new(start);
    for n in 0..HALF_OPEN {
        assert_eq!(sent(&mut flows, TCP, &segment(n as u16, 80, SYN), start), Verdict::Pass);
    }
    assert_eq!(sent(&mut flows, TCP, &segment(9999, 80, SYN), start), Verdict::Drop);
    heard(&mut flows, TCP, &segment(80, 0, SYN | 16), start);
    assert_eq!(sent(&mut flows, TCP, &segment(9999, 80, SYN), start), Verdict::Pass);
    assert_eq!(sent(&mut flows, TCP, &segment(9998, 80, SYN), start), Verdict::Drop);
    assert_eq!(sent(&mut flows, TCP, &segment(9998, 80, SYN), start + UNANSWERED), Verdict::Pass);
}

#[test]
fn a_connection_is_counted_until_both_have_closed_it_or_one_reset_it() {
    let start = Instant::now();
    let mut flows = Flows::new(start);
    for (out, back, left) in [(FIN, 0, 1), (FIN, FIN, 0), (0, FIN, 1), (0, RST, 0), (RST, 0, 0)] {
        sent(&mut flows, TCP, &segment(1000, 80, SYN), start);
        heard(&mut flows, TCP, &segment(80, 1000, SYN | 16), start);
        sent(&mut flows, TCP, &segment(1000, 80, out | 16), start);
        heard(&mut flows, TCP, &segment(80, 1000, back | 16), start);
        assert_eq!(flows.tcp.len(), left, "{out} {back}");
        flows.tcp.clear();
    }
}

#[test]
fn new_flows_come_at_a_bounded_rate() {
    let start = Instant::now();
    let mut flows = Flows::new(start);
    let admitted = |flows: &mut Flows, from: u16, now| {
        (from..from + 600).filter(|port| sent(flows, UDP, &segment(*port, 9, 0), now) == Verdict::Pass).count()
    };
    assert_eq!(admitted(&mut flows, 0, start), AT_ONCE as usize);
    assert_eq!(admitted(&mut flows, 1000, start + Duration::from_secs(1)), PER_SECOND as usize);
}

proptest! {
    /// Whatever a guest sends and hears, no table grows over its bound.
    #[test]
    fn no_bound_is_passed(packets in prop::collection::vec((0..3usize, any::<u16>(), any::<u8>(), any::<bool>(), 0..900u64), 0..4000)) {
        let start = Instant::now();
        let (mut flows, mut now) = (Flows::new(start), start);
        for (kind, port, flags, from_guest, passed) in packets {
            now += Duration::from_millis(passed / 100);
            let protocol = [TCP, UDP, ICMP][kind];
            let mut payload = segment(port, 80, flags);
            if protocol == ICMP {
                payload = [&[8, 0, 0, 0][..], &port.to_be_bytes(), &[0; 2]].concat();
            }
            if from_guest { sent(&mut flows, protocol, &payload, now); } else { heard(&mut flows, protocol, &payload, now); }
            prop_assert!(flows.tcp.len() <= TCP_FLOWS && flows.udp.len() <= UDP_FLOWS && flows.echo.len() <= ECHO_FLOWS);
            prop_assert!(half_open(&flows.tcp, now) <= HALF_OPEN);
        }
    }
}
