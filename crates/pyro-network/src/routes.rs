//! Where the host's kernel would send a packet, asked by rtnetlink(7).
//!
//! ```text
//! address ─▶ answer kept? ─▶ RTM_GETROUTE ─▶ unicast: it leaves this host
//!               ▲                          └▶ local, broadcast, anycast, an error, no answer: it does not
//! kernel's news (links, addresses, routes, rules) ─▶ every kept answer is forgotten
//! ```
//!
//! The kernel's answer names the kind of the route that it would take, so that secondary addresses,
//! `local` routes and anycast addresses are also found, which no address list contains. Only `unicast`
//! opens an address. An address without an answer from the kernel is closed.
//!
//! Both sockets are opened before the guest runs, so that a process short of descriptors cannot
//! lose them. They belong to the network namespace in which they were opened, as passt does.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, recvfrom, send, socket_with,
};

/// How long an answer is kept at most. The kernel tells of changes; this is for one it does not tell of.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// Answers kept at most. All are forgotten when another one comes.
const KEPT: usize = 1024;

/// Kinds of messages (`linux/netlink.h`, `linux/rtnetlink.h`).
const ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
/// A flag of messages.
const REQUEST: u16 = 1;
/// Bytes of a message's header (`struct nlmsghdr`) and of a route's (`struct rtmsg`).
const HEADER: usize = 16;
const ROUTE_HEADER: usize = 12;
/// The attribute with the destination (`RTA_DST`).
const DESTINATION: u16 = 1;
/// Where a route's header has its kind, and the kind whose packets leave the host (`RTN_UNICAST`).
const KIND_AT: usize = HEADER + 7;
const UNICAST: u8 = 1;
/// Families of addresses (`AF_INET`, `AF_INET6`).
const INET: u8 = 2;
const INET6: u8 = 10;
/// Answers to earlier questions that are passed over for that to the last one.
const LATE_ANSWERS: usize = 4;
/// Bytes of an answer or of news that are read. What a route's header says stands at the front.
const READ: usize = 1024;

/// News read before a batch at most. One is enough to forget every answer; the others wait for the
/// next batch.
const NEWS_AT_ONCE: usize = 64;

/// The groups of news (`enum rtnetlink_groups`): links, addresses, routes, rules and settings of
/// both families, and next hops.
const NEWS: u32 =
    group(1) | group(5) | group(7) | group(8) | group(9) | group(11) | group(19) | group(24) | group(25) | group(32);

const fn group(number: u32) -> u32 {
    1 << (number - 1)
}

/// The kernel's answers about addresses.
#[derive(Debug)]
pub struct Routes {
    questions: OwnedFd,
    news: OwnedFd,
    number: u32,
    /// Which addresses lead away from this host, and when the kernel said so.
    kept: HashMap<IpAddr, (bool, Instant)>,
}

impl Routes {
    /// Opens it for the calling thread's network namespace.
    ///
    /// # Errors
    /// The kernel's, when it gives no socket.
    pub fn open() -> io::Result<Self> {
        let socket = |groups| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            // No protocol number: 0 is NETLINK_ROUTE.
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, groups))?;
            io::Result::Ok(socket)
        };
        Ok(Self { questions: socket(0)?, news: socket(NEWS)?, number: 0, kept: HashMap::new() })
    }

    /// Forgets every answer when something has changed since. Before each batch of questions.
    pub fn hear_news(&mut self) {
        for _ in 0..NEWS_AT_ONCE {
            // Lost notifications (ENOBUFS) and other errors also count as a change.
            match recv(&self.news, &mut [0; READ], RecvFlags::empty()) {
                Err(Errno::AGAIN) => return,
                _ => self.kept.clear(),
            }
        }
    }

    /// Whether a packet to the address leaves this host. `false` without a clear answer from the kernel.
    pub fn lead_away(&mut self, address: IpAddr) -> bool {
        let now = Instant::now();
        if let Some((away, since)) = self.kept.get(&address)
            && now.duration_since(*since) < KEPT_FOR
        {
            return *away;
        }
        // An error may be temporary, so it is not cached.
        let Ok(kind) = self.ask(address) else { return false };
        let away = kind == Some(UNICAST);
        if self.kept.len() >= KEPT {
            self.kept.clear();
        }
        self.kept.insert(address, (away, now));
        away
    }

    /// The kind of the route to the address; `None` when the kernel has none for it.
    fn ask(&mut self, address: IpAddr) -> rustix::io::Result<Option<u8>> {
        self.number = self.number.wrapping_add(1);
        send(&self.questions, &question(address, self.number), SendFlags::empty())?;
        // The kernel has answered when the question is sent.
        for _ in 0..LATE_ANSWERS {
            let mut answer = [0; READ];
            let (read, _, sender) = recvfrom(&self.questions, &mut answer, RecvFlags::TRUNC)?;
            let from_the_kernel = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
            if from_the_kernel.is_some_and(|sender| sender.pid() == 0)
                && let Some(kind) = read_answer(&answer[..read.min(READ)], self.number)
            {
                return Ok(kind);
            }
        }
        Err(Errno::PROTO)
    }
}

/// RTM_GETROUTE for one destination.
fn question(address: IpAddr, number: u32) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(address) => (INET, address.octets().to_vec()),
        IpAddr::V6(address) => (INET6, address.octets().to_vec()),
    };
    let mut body = vec![family, (octets.len() * 8) as u8];
    body.resize(ROUTE_HEADER, 0);
    body.extend((4 + octets.len() as u16).to_ne_bytes());
    body.extend(DESTINATION.to_ne_bytes());
    body.extend(octets);
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
    message.extend(GET_ROUTE.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend(number.to_ne_bytes());
    message.extend([0; 4]); // the port: the kernel fills it in
    message.extend(body);
    message
}

/// Reads an answer: `None` when it is one to another question; else the kind of the route, or
/// nothing when the kernel refused.
fn read_answer(answer: &[u8], number: u32) -> Option<Option<u8>> {
    let header = answer.first_chunk::<HEADER>()?;
    if header[8..12] != number.to_ne_bytes() {
        return None;
    }
    let is_route = header[4..6] == ROUTE.to_ne_bytes();
    Some(if is_route { answer.get(KIND_AT).copied() } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_kernel_keeps_for_itself_does_not_lead_away() {
        let mut routes = Routes::open().unwrap();
        routes.hear_news();
        for own in ["127.0.0.1", "127.255.255.255", "::1"] {
            assert!(!routes.lead_away(own.parse().unwrap()), "{own}");
        }
    }

    #[test]
    fn answers_kept_are_few() {
        let mut routes = Routes::open().unwrap();
        for n in 0..3 * KEPT as u32 {
            routes.lead_away(IpAddr::V4((0xc633_0000 + n).into()));
            assert!(routes.kept.len() <= KEPT);
        }
    }

    #[test]
    fn a_kernel_that_does_not_answer_opens_nothing() {
        let mut routes = Routes::open().unwrap();
        // Nobody writes to one end of a socket pair whose other end is held.
        let (silent, _held) = std::os::unix::net::UnixStream::pair().unwrap();
        silent.set_nonblocking(true).unwrap();
        routes.questions = silent.into();
        assert!(!routes.lead_away("192.0.2.1".parse().unwrap()));
        assert!(routes.kept.is_empty(), "an error is asked again");
    }

    #[test]
    fn a_question_has_the_address_as_its_attribute() {
        let asked = question("192.0.2.1".parse().unwrap(), 7);
        assert_eq!(asked.len(), HEADER + ROUTE_HEADER + 8);
        assert_eq!((&asked[16..18], &asked[32..]), (&[INET, 32][..], &[192, 0, 2, 1][..]));
        assert_eq!(question("2001:db8::1".parse().unwrap(), 7).len(), HEADER + ROUTE_HEADER + 20);
    }

    proptest! {
        /// An answer opens an address only if it is a complete route of the right kind and sequence number.
        #[test]
        fn only_a_unicast_route_opens(answer in prop::collection::vec(any::<u8>(), 0..64), number: u32) {
            if read_answer(&answer, number) == Some(Some(UNICAST)) {
                prop_assert!(answer[4..6] == ROUTE.to_ne_bytes() && answer[8..12] == number.to_ne_bytes());
                prop_assert_eq!(answer[KIND_AT], UNICAST);
            }
        }
    }
}
