//! Guests and the network, in a lab: a host and a world outside, each in a namespace of its own.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "network/packet_filter.rs"]
mod packet_filter;
mod world;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use pyro_testkit::{Lab, Routes};
use serde_json::Value;
use world::{Ended, World, kill};

/// The name server outside, and one that only the host itself reaches.
const OUTSIDE: &str = "198.51.100.53";
const ON_THE_HOST: &str = "127.0.0.53";

/// For guests: `tcp ADDRESS PORT`, `udp ADDRESS PORT` and `name NAME` say what they heard, or how it
/// went.
const PROBES: &str = r#"
tcp() {
    answer=$(timeout 5 bash -c "exec 3<>/dev/tcp/$1/$2 && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && tail -1 <&3" 2>&1)
    case $?:$answer in
        0:*) echo "$1 tcp: $answer" ;;
        124:*) echo "$1 tcp: no answer" ;;
        *) echo "$1 tcp: refused" ;;
    esac
}
udp() {
    answer=$(timeout 5 bash -c "exec 3<>/dev/udp/$1/$2 && echo hello >&3 && head -c1 <&3 >&2 && echo some" 2>/dev/null)
    echo "$1 udp: ${answer:-nothing}"
}
name() { echo "$1: $(getent ahosts "$1" | grep STREAM | awk '{print $1}' | sort | tr '\n' ' ')"; }
"#;

struct Place {
    world: World,
    lab: Lab,
    _directory: tempfile::TempDir,
}

impl Place {
    fn new(test: &str, routes: Routes, resolver: &str) -> Option<Self> {
        let world = World::with_guests(test)?;
        let directory = tempfile::tempdir().unwrap();
        match Lab::new(directory.path(), routes, resolver) {
            Ok(lab) => Some(Self { world, lab, _directory: directory }),
            Err(why) => {
                pyro_testkit::skip(test, &why);
                None
            }
        }
    }

    fn pyro(&self, words: &[&str]) -> Ended {
        self.world.run_in(&self.lab, words)
    }

    /// Runs probes in a guest of their own.
    fn probe(&self, flags: &[&str], probes: &str) -> String {
        let script = format!("{PROBES}{probes}");
        let mut words = vec!["run", "debian:12", "--timeout-seconds", "120"];
        words.extend(flags);
        words.extend(["--", "bash", "-c", &script]);
        let ended = self.pyro(&words);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.out()
    }

    fn task(&self) -> String {
        let created = self.pyro(&["task", "create", "debian:12", "--network", "--json"]);
        created.json()["task_id"].as_str().unwrap_or_else(|| panic!("{}", created.stderr)).to_owned()
    }

    fn exec(&self, task: &str, script: &str) -> String {
        let script = format!("{PROBES}{script}");
        let ended = self.pyro(&["task", "exec", task, "--timeout-seconds", "120", "--", "bash", "-c", &script]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.out()
    }

    fn status(&self, task: &str) -> Value {
        self.pyro(&["task", "status", task, "--json"]).json()
    }

    /// What the listeners of the host heard.
    fn heard_on_the_host(&self) -> Vec<String> {
        self.lab.heard().into_iter().filter(|line| line.starts_with("host ")).collect()
    }
}

#[test]
fn a_guest_with_the_network_reaches_the_world_and_not_its_host() {
    let Some(place) = Place::new("a_guest_with_the_network", Routes::Both, OUTSIDE) else { return };
    let seen = place.probe(
        &["--network"],
        "name www.outside.test; name www; name nobody.outside.test; tcp www.outside.test 80
         tcp 198.51.100.80 80; tcp 2001:db8:80::80 80; udp 198.51.100.80 7001; udp 2001:db8:80::80 7001
         tcp 127.0.0.1 7001; tcp ::1 7001; tcp 10.9.0.1 7001; tcp 2001:db8:9::1 7001; tcp 169.254.169.254 80
         udp 127.0.0.1 7001; udp 10.9.0.1 7001; udp 2001:db8:9::1 7001; udp 169.254.169.254 7001
         tcp 172.29.100.1 7001; tcp ::ffff:10.9.0.1 7001; hostname >/dev/null && echo named",
    );
    let expected = "\
        www.outside.test: 198.51.100.80 2001:db8:80::80 \n\
        www: 198.51.100.80 2001:db8:80::80 \n\
        nobody.outside.test: \n\
        www.outside.test tcp: hello from outside\n\
        198.51.100.80 tcp: hello from outside\n\
        2001:db8:80::80 tcp: hello from outside\n\
        198.51.100.80 udp: some\n\
        2001:db8:80::80 udp: some\n\
        127.0.0.1 tcp: refused\n::1 tcp: refused\n10.9.0.1 tcp: refused\n2001:db8:9::1 tcp: refused\n\
        169.254.169.254 tcp: refused\n\
        127.0.0.1 udp: nothing\n10.9.0.1 udp: nothing\n2001:db8:9::1 udp: nothing\n169.254.169.254 udp: nothing\n\
        172.29.100.1 tcp: refused\n::ffff:10.9.0.1 tcp: refused\nnamed\n";
    assert_eq!(seen, expected);
    assert_eq!(place.heard_on_the_host(), [] as [&str; 0]);
    assert!(!place.lab.heard().iter().any(|line| line.contains("169.254")));
    // Those who heard nothing do listen.
    let there = "exec 3<>/dev/tcp/127.0.0.1/7001; exec 3<>/dev/tcp/::1/7001; exec 3<>/dev/tcp/10.9.0.1/7001; cat <&3";
    assert!(place.lab.command("bash").args(["-c", there]).output().unwrap().status.success());
    assert_eq!(place.heard_on_the_host().len(), 3);
}

#[test]
fn a_guest_without_the_network_reaches_nothing() {
    let Some(place) = Place::new("a_guest_without_the_network", Routes::Both, OUTSIDE) else { return };
    let probes = "name www.outside.test; tcp 198.51.100.80 80; tcp 2001:db8:80::80 80; udp 198.51.100.80 7001
        tcp 127.0.0.1 7001; tcp ::1 7001; tcp 10.9.0.1 7001; cat /sys/class/net/eth0/operstate";
    let nothing = "www.outside.test: \n198.51.100.80 tcp: refused\n2001:db8:80::80 tcp: refused\n\
        198.51.100.80 udp: nothing\n127.0.0.1 tcp: refused\n::1 tcp: refused\n10.9.0.1 tcp: refused\ndown\n";
    assert_eq!(place.probe(&[], probes), nothing);
    // Its root can configure the device, and sends to nobody.
    let forged = forge(&every_target());
    place.probe(&[], &format!("perl -e '{SEND}' {forged} && echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet"));
    assert_eq!(place.lab.heard(), [] as [&str; 0]);
}

/// The root of a guest writes frames by hand, so that its own kernel has no say.
const SEND: &str = r#"
socket(S, 17, 3, 0x0300) or die $!;
open(F, "/sys/class/net/eth0/ifindex"); $to = pack("SnISCCa8", 17, 3, <F> + 0, 1, 0, 6, "");
for (@ARGV) { defined(send(S, pack("H*", $_), 0, $to)) or $! == 100 or die $!; }
"#;

fn every_target() -> Vec<IpAddr> {
    let targets = ["127.0.0.1", "::1", "10.9.0.1", "2001:db8:9::1", "169.254.169.254", "127.0.0.53"];
    targets.iter().map(|target| target.parse().unwrap()).collect()
}

#[test]
fn frames_written_by_hand_do_not_reach_the_host_either() {
    let Some(place) = Place::new("frames_written_by_hand", Routes::Both, OUTSIDE) else { return };
    let closed = forge(&every_target());
    // The same to where everybody may go, last: when it was heard, the others had their chance.
    let open = forge(&["198.51.100.80".parse().unwrap(), "2001:db8:80::80".parse().unwrap()]);
    let task = place.task();
    place.exec(&task, &format!("perl -e '{SEND}' {closed} {open}"));
    let expected = [
        "outside tcp 198.51.100.80 7001",
        "outside tcp 2001:db8:80::80 7001",
        "outside udp 198.51.100.80 7001",
        "outside udp 2001:db8:80::80 7001",
    ];
    let began = Instant::now();
    let mut heard = place.lab.heard();
    while heard.len() < expected.len() && began.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
        heard = place.lab.heard();
    }
    heard.sort();
    assert_eq!(heard, expected);
    place.pyro(&["task", "delete", &task]);
}

/// For each address a TCP SYN and a UDP datagram to port 7001, as hexadecimal frames.
fn forge(targets: &[IpAddr]) -> String {
    let mut frames = Vec::new();
    for target in targets {
        let mut syn = vec![0x9c, 0x40, 0x1b, 0x59, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
        frames.push(frame(*target, 6, &mut syn, 16));
        let mut datagram = vec![0x9c, 0x40, 0x1b, 0x59, 0, 12, 0, 0, b'h', b'i', b'!', b'!'];
        frames.push(frame(*target, 17, &mut datagram, 6));
    }
    let hex = |frame: &Vec<u8>| frame.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    frames.iter().map(hex).collect::<Vec<_>>().join(" ")
}

/// An Ethernet frame to the gateway; `at` is where the payload's checksum belongs.
fn frame(target: IpAddr, protocol: u8, payload: &mut [u8], at: usize) -> Vec<u8> {
    let guest = (Ipv4Addr::new(172, 29, 100, 2), "fd70:7972:6f00::2".parse::<Ipv6Addr>().unwrap());
    let length = payload.len() as u8;
    let mut frame = vec![0x52, 0x54, 0, 0x70, 0x79, 0x67, 0x52, 0x54, 0, 0x70, 0x79, 0x72];
    let addresses = match target {
        IpAddr::V4(target) => [guest.0.octets(), target.octets()].concat(),
        IpAddr::V6(target) => [guest.1.octets(), target.octets()].concat(),
    };
    let pseudo = [&addresses[..], &[0, protocol, 0, length]].concat();
    let sum = checksum(&[&pseudo[..], payload].concat());
    payload[at..at + 2].copy_from_slice(&sum);
    if target.is_ipv4() {
        let mut header = vec![0x45, 0, 0, 20 + length, 0, 1, 0x40, 0, 64, protocol, 0, 0];
        header.extend(&addresses);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum);
        frame.extend([8, 0]);
        frame.extend(header);
    } else {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, length, protocol, 64]);
        frame.extend(&addresses);
    }
    frame.extend(&*payload);
    frame
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

#[test]
fn guests_do_not_reach_one_another() {
    let Some(place) = Place::new("guests_do_not_reach_one_another", Routes::Both, OUTSIDE) else { return };
    let listen = "perl -MIO::Socket::IP -e '$l = IO::Socket::IP->new(Listen => 9, LocalPort => 9000, LocalHost => \"::\", \
        V6Only => 0) or die; while ($c = $l->accept) { while (<$c>) { last if /^.?$/ } print $c \"hello from a guest\\n\"; close $c }'";
    let server = place.task();
    place.pyro(&["task", "exec", &server, "--detach", "--timeout-seconds", "300", "--", "sh", "-c", listen]);
    let own = "until (: </dev/tcp/127.0.0.1/9000) 2>/dev/null; do sleep 0.05; done; tcp 172.29.100.2 9000";
    assert!(place.exec(&server, own).contains("172.29.100.2 tcp: hello from a guest\n"), "it does listen");
    let seen = place.probe(
        &["--network"],
        "tcp 172.29.100.2 9000; tcp fd70:7972:6f00::2 9000; tcp 172.29.100.1 9000; tcp fd70:7972:6f00::1 9000
         tcp 10.9.0.1 9000; tcp 172.29.100.3 9000",
    );
    assert!(!seen.contains("hello"), "{seen}");
    place.pyro(&["task", "delete", &server]);
}

#[test]
fn a_resolver_that_only_the_host_reaches_is_asked_by_passt() {
    let Some(place) = Place::new("a_resolver_on_the_host", Routes::Ipv4, ON_THE_HOST) else { return };
    let seen = place.probe(
        &["--network"],
        "name www.outside.test; tcp www 80; cat /etc/resolv.conf; cat /proc/net/if_inet6 | grep -c eth0; true",
    );
    let expected = "www.outside.test: 198.51.100.80 \nwww tcp: hello from outside\n\
        nameserver 172.29.100.1\nsearch outside.test\noptions edns0\n0\n";
    assert_eq!(seen, expected);
}

#[test]
fn a_host_with_ipv6_alone_gives_that() {
    let Some(place) = Place::new("a_host_with_ipv6_alone", Routes::Ipv6, "2001:db8:80::53") else { return };
    let seen = place.probe(
        &["--network"],
        "name www.outside.test; tcp www 80; tcp 198.51.100.80 80; cat /etc/resolv.conf; wc -l </proc/net/route",
    );
    let expected = "www.outside.test: 2001:db8:80::80 \nwww tcp: hello from outside\n198.51.100.80 tcp: refused\n\
        nameserver 2001:db8:80::53\nsearch outside.test\n1\n";
    assert_eq!(seen, expected);
}

#[test]
fn a_network_that_is_lost_is_told_and_the_machine_lives_on() {
    let Some(place) = Place::new("a_network_that_is_lost", Routes::Both, OUTSIDE) else { return };
    let task = place.task();
    let status = place.status(&task);
    assert_eq!((&status["network_enabled"], &status["guest_ip"]), (&Value::Bool(true), &"172.29.100.2".into()));
    assert_eq!(place.exec(&task, "tcp 198.51.100.80 80"), "198.51.100.80 tcp: hello from outside\n");
    let supervisor = place.world.processes_of(&task);
    let passt = children(&supervisor).into_iter().find(|(_, name)| name.starts_with("passt")).expect("passt runs").0;
    kill(passt);
    let seen = place
        .exec(&task, "until [ \"$(tcp 198.51.100.80 80)\" = '198.51.100.80 tcp: refused' ]; do :; done; echo goes on");
    assert_eq!(seen, "goes on\n");
    let began = Instant::now();
    let mut status = place.status(&task);
    while status["last_error"].is_null() && began.elapsed() < Duration::from_secs(30) {
        status = place.status(&task);
    }
    let why = status["last_error"].as_str().unwrap();
    assert!(why.starts_with("the guest lost its network; the machine keeps running without it: passt: "), "{why}");
    assert_eq!((&status["state"], &status["guest_ip"]), (&"started".into(), &Value::Null));
    assert_eq!(place.exec(&task, "echo still here"), "still here\n");
    assert_eq!(place.pyro(&["task", "delete", &task]).code, 0);
}

/// Children of these processes, with their names.
fn children(parents: &[i32]) -> Vec<(i32, String)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let child = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned());
        let parent: i32 = field("PPid:")?.parse().ok()?;
        parents.contains(&parent).then_some((pid, field("Name:")?))
    };
    pids.filter_map(child).collect()
}

#[test]
fn passt_ends_with_its_machine_whoever_is_killed() {
    let Some(place) = Place::new("passt_ends_with_its_machine", Routes::Both, OUTSIDE) else { return };
    let task = place.task();
    let supervisor = place.world.processes_of(&task);
    let passt = children(&supervisor).into_iter().find(|(_, name)| name.starts_with("passt")).expect("passt runs").0;
    let end = rustix::process::pidfd_open(
        rustix::process::Pid::from_raw(passt).unwrap(),
        rustix::process::PidfdFlags::empty(),
    );
    for pid in children(&[1]).iter().map(|(pid, _)| *pid).filter(|pid| supervisor.contains(pid)) {
        kill(pid);
    }
    let end = end.unwrap();
    let mut watched = [rustix::event::PollFd::new(&end, rustix::event::PollFlags::IN)];
    let timeout = rustix::event::Timespec { tv_sec: 30, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut watched, Some(&timeout)).unwrap(), 1, "passt is left");
    place.pyro(&["task", "delete", &task]);
}

#[test]
fn what_a_network_needs_is_named_where_it_is_missing() {
    let Some(place) = Place::new("what_a_network_needs", Routes::None, OUTSIDE) else { return };
    let words = ["run", "debian:12", "--network", "--json", "--", "true"];
    let ended = place.pyro(&words);
    assert_eq!((ended.code, ended.json()["code"].as_str()), (125, Some("no_route")));
    assert!(ended.json()["error"].as_str().unwrap().contains("no default route"));
    let refused = place.pyro(&["task", "create", "debian:12", "--network", "--json"]);
    assert_eq!((refused.code, refused.json()["code"].as_str()), (1, Some("no_route")));
    let doctor = place.pyro(&["doctor", "--json"]).json();
    assert_eq!((&doctor["networking"]["available"], &doctor["runtime_ok"]), (&Value::Bool(false), &Value::Bool(true)));
    assert_eq!(place.pyro(&["run", "debian:12", "--", "true"]).code, 0, "without it, all is well");
    assert_eq!(place.world.machines(), [] as [&str; 0]);
}

#[test]
fn a_passt_that_does_not_come_up_is_an_error_and_leaves_nothing() {
    let Some(place) = Place::new("a_passt_that_does_not_come_up", Routes::Both, OUTSIDE) else { return };
    let stand_in = place.world.base.path().join("passt");
    std::fs::write(&stand_in, "#!/bin/sh\necho 'Failed to open user namespace' >&2\nexit 1\n").unwrap();
    std::process::Command::new("chmod").arg("755").arg(&stand_in).status().unwrap();
    let pyro = |words: &[&str]| {
        let mut command = place.lab.command("env");
        command.arg(format!("PYRO_PASST={}", stand_in.display())).arg(env!("CARGO_BIN_EXE_pyro")).args(words);
        command.env("PYRO_HOME", place.world.data()).env("PYRO_ENVIRONMENT_CACHE_DIR", place.world.cache());
        Ended::from(command.output().unwrap())
    };
    let ended = pyro(&["run", "debian:12", "--network", "--json", "--", "true"]);
    assert_eq!((ended.code, ended.json()["code"].as_str()), (125, Some("network_failed")));
    assert!(ended.json()["error"].as_str().unwrap().contains("Failed to open user namespace"), "{}", ended.out());
    let refused = pyro(&["task", "create", "debian:12", "--network", "--json"]);
    assert_eq!((refused.code, refused.json()["code"].as_str()), (1, Some("network_failed")));
    let deep = pyro(&["doctor", "--json"]).json();
    assert_eq!(deep["networking"]["passt"].as_str(), stand_in.to_str());
    assert_eq!(place.world.machines(), [] as [&str; 0]);
}
