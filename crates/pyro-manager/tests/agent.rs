//! The agent in a real guest: what it promises about commands. One guest a test, restored from the
//! template that all tests share.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pyro_guest::{Exit, Guest, GuestError, Identity, Network, OutputEvent};
use pyro_manager::{Config, Pyro, RunEvent, Session, VmOptions};
use tokio::sync::mpsc;

#[path = "agent/seed.rs"]
mod seed;

struct World {
    _data: tempfile::TempDir,
    session: Session,
    _events: mpsc::Receiver<RunEvent>,
}

/// A guest of its own, or none where this host has none.
async fn world(test: &str) -> Option<World> {
    let cache = match pyro_testkit::real_guests() {
        Ok(cache) => cache,
        Err(why) => {
            pyro_testkit::skip(test, &why);
            return None;
        }
    };
    let data = tempfile::tempdir().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut search_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    search_path.push("/usr/sbin".into());
    let pyro = Pyro::new(Config::new(data.path().to_owned(), cache, search_path));
    let (events, heard) = mpsc::channel(64);
    let session = pyro.session("debian:12", VmOptions::default(), &events).await.unwrap();
    Some(World { _data: data, session, _events: heard })
}

#[derive(Debug, Default)]
struct Ended {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    exit: Option<Exit>,
}

impl Ended {
    fn code(&self) -> i32 {
        self.exit.unwrap().code
    }

    fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

async fn collect(mut running: pyro_guest::Running) -> Result<Ended, GuestError> {
    let mut ended = Ended::default();
    loop {
        match running.next().await? {
            OutputEvent::Started => {}
            OutputEvent::Stdout(bytes) => ended.stdout.extend_from_slice(&bytes),
            OutputEvent::Stderr(bytes) => ended.stderr.extend_from_slice(&bytes),
            OutputEvent::Exited(exit) => {
                ended.exit = Some(exit);
                return Ok(ended);
            }
        }
    }
}

async fn shell(guest: &Guest, script: &str) -> Ended {
    let running = guest.command("/bin/sh").args(["-c", script]).timeout(Duration::from_secs(60)).spawn();
    running.stdin().end();
    collect(running).await.unwrap()
}

/// How many `sleep`s of so many seconds the guest has.
async fn sleeping(guest: &Guest, seconds: u32) -> usize {
    let script = format!(
        "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' 2>/dev/null <$file; echo; done | grep -cx 'sleep {seconds} '"
    );
    shell(guest, &script).await.out().parse().unwrap()
}

#[tokio::test]
async fn a_time_limit_ends_every_descendant_and_keeps_the_output_so_far() {
    let Some(world) = world("a_time_limit_ends_every_descendant").await else { return };
    let guest = world.session.guest();
    let script = "echo a; (setsid sleep 4321 &); sh -c 'trap \"\" TERM; sleep 4321' & sleep 4321";
    let began = Instant::now();
    let running = guest.command("/bin/sh").args(["-c", script]).timeout(Duration::from_secs(2)).spawn();
    let ended = collect(running).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(2));
    let exit = ended.exit.unwrap();
    assert_eq!((ended.out().as_str(), exit.code, exit.timed_out), ("a", 124, true));
    assert_eq!(sleeping(guest, 4321).await, 0, "no process is left in the guest");
    assert_eq!(shell(guest, "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l").await.out(), "0", "no zombie either");
    world.session.end().await.unwrap();
}

#[tokio::test]
async fn commands_run_side_by_side_and_a_slow_reader_does_not_stop_the_others() {
    let Some(world) = world("commands_run_side_by_side").await else { return };
    let guest = world.session.guest();
    let unread = guest.command("/bin/sh").args(["-c", "yes | head -c 8000000"]).spawn();
    let waiting = guest.command("cat").spawn();
    assert_eq!(shell(guest, "echo quick").await.out(), "quick");
    let stdin = waiting.stdin();
    assert!(stdin.write(b"later").await);
    stdin.end();
    assert_eq!(collect(waiting).await.unwrap().out(), "later");
    assert_eq!(collect(unread).await.unwrap().stdout.len(), 8_000_000, "nothing of it was lost");
    world.session.end().await.unwrap();
}

#[tokio::test]
async fn a_command_is_over_when_its_first_process_is() {
    let Some(world) = world("a_command_is_over_when_its_first_process_is").await else { return };
    let guest = world.session.guest();
    let ended = shell(guest, "echo begun; sleep 4322 & echo done").await;
    assert_eq!(ended.out(), "begun\ndone");
    assert_eq!(sleeping(guest, 4322).await, 1, "what it left in the background lives on");
    let closed = shell(guest, "exec >&- 2>&-; sleep 0.3; exit 5").await;
    assert_eq!(closed.code(), 5, "closing the output is not the end");
    world.session.end().await.unwrap();
}

#[tokio::test]
async fn signals_and_kill_end_what_they_should() {
    let Some(world) = world("signals_and_kill_end_what_they_should").await else { return };
    let guest = world.session.guest();
    let mut polite = guest.command("sleep").args(["4323"]).spawn();
    assert_eq!(polite.next().await.unwrap(), OutputEvent::Started);
    polite.signal(15);
    assert_eq!(collect(polite).await.unwrap().code(), 143);
    let mut stubborn =
        guest.command("/bin/sh").args(["-c", "trap '' TERM; (setsid sleep 4324 &); echo up; sleep 4324"]).spawn();
    assert_eq!(stubborn.next().await.unwrap(), OutputEvent::Started);
    assert_eq!(stubborn.next().await.unwrap(), OutputEvent::Stdout(b"up\n"[..].into()));
    stubborn.signal(9);
    assert_eq!(collect(stubborn).await.unwrap().code(), 137);
    assert_eq!(sleeping(guest, 4324).await, 0);
    assert_eq!(shell(guest, "kill -SEGV $$").await.code(), 139);
    world.session.end().await.unwrap();
}

#[tokio::test]
async fn a_command_that_eats_all_memory_is_told_so_and_the_guest_lives_on() {
    let Some(world) = world("a_command_that_eats_all_memory").await else { return };
    let guest = world.session.guest();
    let eater = guest.command("tail").args(["/dev/zero"]).timeout(Duration::from_secs(90)).spawn();
    let exit = collect(eater).await.unwrap().exit.unwrap();
    assert_eq!((exit.code, exit.out_of_memory), (137, true));
    assert_eq!(shell(guest, "echo alive").await.out(), "alive");
    world.session.end().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_with_the_reason() {
    let Some(world) = world("what_cannot_be_run_is_refused").await else { return };
    let guest = world.session.guest();
    let reason = |error: GuestError| match error {
        GuestError::Refused(refusal) => (refusal.reason, refusal.message),
        other => panic!("{other:?}"),
    };
    let (word, message) = reason(collect(guest.command("no-such-program").spawn()).await.unwrap_err());
    assert_eq!((word.as_str(), message.as_str()), ("not_found", "no-such-program: not found"));
    let (word, message) = reason(collect(guest.command("/etc/passwd").spawn()).await.unwrap_err());
    assert_eq!((word.as_str(), message.as_str()), ("not_executable", "/etc/passwd: Permission denied (os error 13)"));
    let (word, message) = reason(collect(guest.command("true").current_dir("/nowhere").spawn()).await.unwrap_err());
    assert_eq!((word.as_str(), message.as_str()), ("no_directory", "/nowhere is not a directory"));
    assert_eq!(
        shell(guest, "stat -c %a /etc/hostname; cat /etc/resolv.conf").await.out(),
        "644",
        "nothing of the host's"
    );
    let fallback = guest.command("no-such-program").or_else("/bin/sh").args(["-c", "echo instead"]).spawn();
    assert_eq!(collect(fallback).await.unwrap().out(), "instead");
    world.session.end().await.unwrap();
}

/// A family's address and gateway as a network names them, and what the guest then shows of them.
type Family = (&'static str, &'static str, &'static str);
const IPV4: Family = ("172.29.100.2/30", "172.29.100.1", "172.29.100.2 via 01641DAC");
const IPV6: Family =
    ("fd70:7972:6f00::2/64", "fd70:7972:6f00::1", "fd70:7972:6f00::2 via fd7079726f0000000000000000000001");
const SHOWN: &str = "for address in $(hostname -I); do case $address in
    *:*) gateway=$(awk '$2 == \"00\" && $10 == \"eth0\" { print $5 }' /proc/net/ipv6_route);;
    *) gateway=$(awk '$2 == \"00000000\" && $1 == \"eth0\" { print $3 }' /proc/net/route);;
    esac; echo $address via $gateway; done; cat /sys/class/net/eth0/mtu /etc/resolv.conf";

/// A template was told one network, its machine may need any other.
#[tokio::test]
async fn a_guest_takes_any_network_after_any_other() {
    let Some(world) = world("a_guest_takes_any_network_after_any_other").await else { return };
    let guest = world.session.guest();
    let (v4, both, v6): (&[Family], &[Family], &[Family]) = (&[IPV4], &[IPV4, IPV6], &[IPV6]);
    for (turn, families) in [v4, both, v6, v4, v6, both, v4, v4].into_iter().enumerate() {
        // A longer one before a shorter one; and a link that leads elsewhere is not followed.
        let resolver_file = format!("nameserver 192.0.2.1\nsearch {}test\n", "outside.".repeat(8 - turn));
        if turn == 3 {
            shell(guest, "ln -sf /tmp/elsewhere /etc/resolv.conf").await;
        }
        let mtu = 16_384 - u32::try_from(turn / 4).unwrap();
        guest.start_handshake(Identity {
            network: Some(Network {
                addresses: families.iter().map(|it| it.0.to_owned()).collect(),
                gateways: families.iter().map(|it| it.1.to_owned()).collect(),
                mtu,
                window: 65_535,
                resolver_file: resolver_file.clone(),
                link: false,
            }),
            ..Identity::default()
        });
        guest.ready().await.unwrap();
        let shown: Vec<&str> = families.iter().map(|it| it.2).collect();
        let expected = format!("{}\n{mtu}\n{resolver_file}", shown.join("\n"));
        assert_eq!(shell(guest, SHOWN).await.out(), expected.trim_end(), "turn {turn}");
    }
    assert_eq!(shell(guest, "cat /tmp/elsewhere").await.code(), 1);
    world.session.end().await.unwrap();
}

#[tokio::test]
async fn a_guest_that_could_not_take_its_identity_runs_nothing_and_ends_in_an_orderly_way() {
    let Some(mut world) = world("a_guest_that_could_not_take_its_identity_runs_nothing").await else { return };
    let guest = world.session.guest();
    guest.start_handshake(Identity { mac_address: vec![2, 0, 0], ..Identity::default() });
    let error = guest.ready().await.unwrap_err();
    let GuestError::NotIdentified { why } = &error else { panic!("{error}") };
    assert!(why.starts_with("set the MAC address"), "{why}");
    let refused = collect(guest.command("true").spawn()).await.unwrap_err();
    assert!(matches!(&refused, GuestError::Refused(refusal) if refusal.reason == "not_identified"), "{refused:?}");
    // The machine is one of its own as soon as it has an identity.
    guest.start_handshake(Identity { mac_address: vec![2, 0, 0, 0, 0, 7], ..Identity::default() });
    guest.ready().await.unwrap();
    assert_eq!(shell(guest, "cat /sys/class/net/eth0/address").await.out(), "02:00:00:00:00:07");
    guest.start_handshake(Identity {
        network: Some(Network { addresses: vec!["x".into()], ..Network::default() }),
        ..Identity::default()
    });
    assert!(matches!(guest.ready().await, Err(GuestError::NotIdentified { .. })));
    guest.shut_down().await.unwrap();
    let death = tokio::time::timeout(Duration::from_secs(60), world.session.died()).await.unwrap();
    assert!(death.status.contains("exit status: 0"), "{death:?}");
    world.session.end().await.unwrap();
}

#[tokio::test]
async fn a_machine_has_a_mac_address_of_its_own() {
    let Some(world) = world("a_machine_has_a_mac_address_of_its_own").await else { return };
    let said = shell(world.session.guest(), "hostname; tr -d : </sys/class/net/eth0/address").await.out();
    let (id, address) = said.split_once('\n').unwrap();
    let first = u8::from_str_radix(&id[..2], 16).unwrap() & 0xfc | 2;
    assert_eq!(address, format!("{first:02x}{}", &id[2..]));
    world.session.end().await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected() {
    let Some(world) = world("a_clock_that_is_off_is_corrected").await else { return };
    let guest = world.session.guest();
    let now = || u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
    let off = async || {
        let said: u64 = shell(guest, "date +%s%N").await.out().parse().unwrap();
        i128::from(said) - i128::from(now())
    };
    const SECOND: i128 = 1_000_000_000;
    guest.set_clock(now() + 7_200 * 1_000_000_000);
    assert!((off().await - 7_200 * SECOND).abs() < 60 * SECOND, "two hours ahead, as it was told");
    guest.set_clock(now());
    assert!(off().await.abs() < 60 * SECOND, "right again");
    world.session.end().await.unwrap();
}

#[tokio::test]
async fn a_command_finds_an_ordinary_system() {
    let Some(world) = world("a_command_finds_an_ordinary_system").await else { return };
    let guest = world.session.guest();
    let environment = guest.command("/usr/bin/env").env("EXTRA", b"\xff=x").current_dir("/workspace").spawn();
    let ended = collect(environment).await.unwrap();
    assert!(ended.stdout.windows(10).any(|window| window == b"EXTRA=\xff=x\n"), "{}", ended.out());
    assert!(ended.out().contains("HOME=/root") && ended.out().contains("LANG=C.UTF-8"));
    assert_eq!(
        shell(guest, "id -u; umask; stat -c %U:%a /tmp /root /usr/bin/passwd").await.out(),
        "0\n0022\nroot:1777\nroot:700\nroot:4755"
    );
    let files = "cat /proc/self/fd/1 </dev/null >/dev/null && ls /dev/fd/0 /dev/ptmx /dev/shm /run/lock >/dev/null && echo fine";
    assert_eq!(shell(guest, files).await.out(), "fine");
    assert_eq!(shell(guest, "modprobe overlay && grep -c overlay /proc/filesystems").await.out(), "1");
    let loopback = "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 1, LocalAddr => \"127.0.0.1\"); print $s ? \"up\" : $!'";
    assert_eq!(shell(guest, loopback).await.out(), "up");
    assert_eq!(shell(guest, "getent hosts $(hostname) | awk '{print $1}'").await.out(), "127.0.1.1");
    world.session.end().await.unwrap();
}

#[tokio::test]
async fn stdin_that_nobody_reads_does_not_block() {
    let Some(world) = world("stdin_that_nobody_reads_does_not_block").await else { return };
    let guest = world.session.guest();
    let head = guest.command("head").args(["-c", "3"]).spawn();
    let stdin = head.stdin();
    let writing = tokio::spawn(async move { stdin.write(&vec![b'z'; 4 << 20]).await });
    assert_eq!(collect(head).await.unwrap().out(), "zzz");
    writing.await.unwrap();
    world.session.end().await.unwrap();
}

#[tokio::test]
async fn an_orderly_shutdown_turns_the_machine_off() {
    let Some(mut world) = world("an_orderly_shutdown_turns_the_machine_off").await else { return };
    let running = world.session.guest().command("sleep").args(["4325"]).spawn();
    world.session.guest().shut_down().await.unwrap();
    let death = tokio::time::timeout(Duration::from_secs(60), world.session.died()).await.unwrap();
    assert!(death.status.contains("exit status: 0"), "{death:?}");
    assert!(collect(running).await.is_err(), "its commands went with it");
    world.session.end().await.unwrap();
}
