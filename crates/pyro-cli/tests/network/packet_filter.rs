//! Addresses that are the host's without being the primary address of one of its links.

use std::time::{Duration, Instant};

use super::{OUTSIDE, Place};
use pyro_testkit::Routes;

/// A port at which the host listens whatever the address.
const ANYWHERE: u16 = 7002;

impl Place {
    /// A command on the host, as its root.
    fn on_the_host(&self, line: &str) -> String {
        let output = self.lab.command("bash").args(["-euc", line]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a guest's connections to these addresses came to.
    fn connections(&self, task: &str, addresses: &[&str]) -> Vec<String> {
        let probes: Vec<String> = addresses.iter().map(|address| format!("tcp {address} {ANYWHERE}")).collect();
        self.exec(task, &probes.join("; ")).lines().map(str::to_owned).collect()
    }
}

/// What the host has besides its primary addresses: a secondary one, local routes, and, because it
/// forwards, the anycast address of its subnet.
const MORE_ADDRESSES: &str = "ip address add 10.9.0.77/24 dev host0
    ip route add local 10.77.0.0/16 dev lo
    ip -6 route add local 2001:db8:77::/64 dev lo
    echo 1 >/proc/sys/net/ipv6/conf/all/forwarding";
const THEIRS: [&str; 4] = ["10.9.0.77", "10.77.1.2", "2001:db8:77::5", "2001:db8:9::"];

#[test]
fn every_address_that_the_kernel_keeps_for_itself_is_closed() {
    let Some(place) = Place::new("every_address_that_the_kernel_keeps", Routes::Both, OUTSIDE) else { return };
    place.on_the_host(MORE_ADDRESSES);
    let task = place.task();
    let seen = place.connections(&task, &THEIRS);
    assert_eq!(seen, THEIRS.map(|address| format!("{address} tcp: refused")));
    // Datagrams are heard at once, or not at all.
    let datagrams: Vec<String> = THEIRS.iter().map(|address| format!("udp {address} {ANYWHERE}")).collect();
    place.exec(&task, &datagrams.join("; "));
    assert_eq!(place.heard_on_the_host(), [] as [&str; 0]);
    // A datagram reaches each of them from the host itself, and the way out is open.
    for address in THEIRS {
        place.on_the_host(&format!("echo hello >/dev/udp/{address}/{ANYWHERE}"));
    }
    let began = Instant::now();
    while place.heard_on_the_host().len() < THEIRS.len() && began.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(place.heard_on_the_host().len(), THEIRS.len());
    assert_eq!(place.exec(&task, "tcp 198.51.100.80 80"), "198.51.100.80 tcp: hello from outside\n");
    place.pyro(&["task", "delete", &task]);
}

#[test]
fn an_address_is_closed_from_the_moment_in_which_the_host_has_it() {
    let Some(place) = Place::new("an_address_is_closed_from_the_moment", Routes::Both, OUTSIDE) else { return };
    let task = place.task();
    let addresses = ["198.51.100.80", "2001:db8:80::80"];
    let connect = || place.exec(&task, "tcp 198.51.100.80 80; tcp 2001:db8:80::80 80");
    let open = addresses.map(|address| format!("{address} tcp: hello from outside\n")).concat();
    let closed = addresses.map(|address| format!("{address} tcp: refused\n")).concat();
    assert_eq!(connect(), open);
    place.on_the_host("ip address add 198.51.100.80/32 dev lo; ip address add 2001:db8:80::80/128 dev lo nodad");
    assert_eq!(connect(), closed);
    place.on_the_host("ip address del 198.51.100.80/32 dev lo; ip address del 2001:db8:80::80/128 dev lo");
    assert_eq!(connect(), open);
    place.on_the_host("ip route add unreachable 198.51.100.80; ip -6 route add unreachable 2001:db8:80::80");
    assert_eq!(connect(), closed, "without a route it is refused, too");
    place.pyro(&["task", "delete", &task]);
}

/// One datagram from each source port was enough to take every ephemeral port of the host; a filter that
/// asked by connecting a socket was open then.
const EVERY_PORT: &str = r#"perl -MSocket -e '
    my $to = sockaddr_in(7001, inet_aton("198.51.100.80"));
    for my $port (10000 .. 29999) {
        socket(my $socket, PF_INET, SOCK_DGRAM, 0) or die;
        bind($socket, sockaddr_in($port, INADDR_ANY)) or next;
        send($socket, "x", 0, $to);
        close $socket;
    }'; echo sent"#;
/// The documented bound of a guest's UDP flows, and what passt and the host have besides.
const MAX_SOCKETS: usize = 2_048 + 64;

#[test]
fn a_guest_that_sends_from_every_port_takes_few_of_the_hosts_and_opens_nothing() {
    let Some(place) = Place::new("a_guest_that_sends_from_every_port", Routes::Both, OUTSIDE) else { return };
    place.on_the_host(MORE_ADDRESSES);
    let task = place.task();
    assert_eq!(place.exec(&task, EVERY_PORT), "sent\n");
    let taken: usize = place.on_the_host("cat /proc/net/udp /proc/net/udp6 | wc -l").trim().parse().unwrap();
    assert!((512..MAX_SOCKETS).contains(&taken), "{taken} sockets of the host");
    assert_eq!(place.connections(&task, &THEIRS), THEIRS.map(|address| format!("{address} tcp: refused")));
    assert_eq!(place.exec(&task, "tcp 198.51.100.80 80"), "198.51.100.80 tcp: hello from outside\n");
    place.pyro(&["task", "delete", &task]);
}
