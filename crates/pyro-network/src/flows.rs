//! Bounds on one guest's use of the host's network: a table of its flows.
//!
//! ```text
//! packet of the guest ─▶ flow known? ─▶ it goes on
//!                         └ new ─▶ too many of its kind ─▶ refused │ too many at once ─▶ dropped
//! packet from passt ─▶ the flow it belongs to was used just now, or has ended
//! ```
//!
//! passt opens a socket for each flow: a port of the host, a descriptor, memory. A flow is counted
//! as long as passt may hold its socket (its own limits of idleness, with a margin). A guest that
//! pretends to have closed a connection meets the limit of passt's descriptors.
//!
//! The caller passes the time; this module has no clock.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::packet::{Ip, TCP, UDP};
use crate::packet_filter::Verdict;

/// Flows of a guest at most.
pub const TCP_FLOWS: usize = 1024;
pub const UDP_FLOWS: usize = 2048;
pub const ECHO_FLOWS: usize = 64;
/// Connections that have not been answered, at most.
pub const HALF_OPEN: usize = 256;
/// New flows in a second, in the long run, and how many may come at once.
pub const PER_SECOND: u32 = 100;
pub const AT_ONCE: u32 = 512;

/// How long a flow is counted after its last packet. passt gives up a connection after 7,200 s
/// without data and after 10 s without an answer, a UDP port after 180 s, an echo after 60 s.
const TCP_IDLE: Duration = Duration::from_secs(7_300);
const UNANSWERED: Duration = Duration::from_secs(15);
const UDP_IDLE: Duration = Duration::from_secs(190);
const ECHO_IDLE: Duration = Duration::from_secs(70);
/// Flags of TCP.
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;

/// The endpoints of a flow. The guest has one address of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    protocol: u8,
    /// The guest's port, or the identifier of an echo.
    own: u16,
    peer: IpAddr,
    port: u16,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    last: Instant,
    answered: bool,
    /// Who has sent a FIN.
    closed_here: bool,
    closed_there: bool,
}

/// The flows of one guest.
#[derive(Debug)]
pub struct Flows {
    tcp: HashMap<Key, Flow>,
    udp: HashMap<Key, Flow>,
    echo: HashMap<Key, Flow>,
    /// When the next flow would be due if all came evenly.
    due: Instant,
}

impl Flows {
    pub fn new(now: Instant) -> Self {
        Self { tcp: HashMap::new(), udp: HashMap::new(), echo: HashMap::new(), due: now }
    }

    /// Decides about a packet of the guest to an open address.
    pub fn admit(&mut self, ip: &Ip<'_>, now: Instant) -> Verdict {
        let (Some(key), flags) = (outward(ip), ip.tcp_flags()) else { return Verdict::Drop };
        let (table, max) = self.table(key.protocol);
        if let Some(flow) = table.get_mut(&key)
            && !is_over(&key, flow, now)
        {
            flow.last = now;
            flow.closed_here |= flags.is_some_and(|flags| flags & FIN != 0);
            let ended = flags.is_some_and(|flags| flags & RST != 0) || flow.closed_here && flow.closed_there;
            if ended {
                table.remove(&key);
            }
            return Verdict::Pass;
        }
        if flags.is_some_and(|flags| flags & SYN == 0) {
            return Verdict::Pass; // passt opens nothing for it
        }
        if table.len() >= max {
            table.retain(|key, flow| !is_over(key, flow, now));
        }
        if table.len() >= max {
            return Verdict::Refuse;
        }
        if key.protocol == TCP && half_open(table, now) >= HALF_OPEN {
            return Verdict::Drop;
        }
        if !self.is_due(now) {
            return Verdict::Drop;
        }
        let flow = Flow { last: now, answered: false, closed_here: false, closed_there: false };
        self.table(key.protocol).0.insert(key, flow);
        Verdict::Pass
    }

    /// Notes a packet from passt.
    pub fn heard(&mut self, ip: &Ip<'_>, now: Instant) {
        let Some(key) = inward(ip) else { return };
        let (table, _) = self.table(key.protocol);
        let Some(flow) = table.get_mut(&key) else { return };
        let flags = ip.tcp_flags().unwrap_or(0);
        (flow.last, flow.answered) = (now, true);
        flow.closed_there |= flags & FIN != 0;
        if flags & RST != 0 || flow.closed_here && flow.closed_there {
            table.remove(&key);
        }
    }

    fn table(&mut self, protocol: u8) -> (&mut HashMap<Key, Flow>, usize) {
        match protocol {
            TCP => (&mut self.tcp, TCP_FLOWS),
            UDP => (&mut self.udp, UDP_FLOWS),
            _ => (&mut self.echo, ECHO_FLOWS),
        }
    }

    /// Whether another flow may begin now; counts it (the generic cell rate algorithm).
    fn is_due(&mut self, now: Instant) -> bool {
        let apart = Duration::from_secs(1) / PER_SECOND;
        let due = self.due.max(now);
        let is_due = due.duration_since(now) < apart * AT_ONCE;
        if is_due {
            self.due = due + apart;
        }
        is_due
    }
}

fn outward(ip: &Ip<'_>) -> Option<Key> {
    let (own, port) = ip.ports().or_else(|| Some((ip.echo()?, 0)))?;
    Some(Key { protocol: ip.protocol, own, peer: ip.destination, port })
}

fn inward(ip: &Ip<'_>) -> Option<Key> {
    let (port, own) = ip.ports().or_else(|| Some((0, ip.echo()?)))?;
    Some(Key { protocol: ip.protocol, own, peer: ip.source, port })
}

fn is_over(key: &Key, flow: &Flow, now: Instant) -> bool {
    let idle = match key.protocol {
        TCP if flow.answered => TCP_IDLE,
        TCP => UNANSWERED,
        UDP => UDP_IDLE,
        _ => ECHO_IDLE,
    };
    now.saturating_duration_since(flow.last) >= idle
}

fn half_open(table: &HashMap<Key, Flow>, now: Instant) -> usize {
    table.iter().filter(|(key, flow)| !flow.answered && !is_over(key, flow, now)).count()
}

#[cfg(test)]
mod tests;
