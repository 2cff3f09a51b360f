use super::*;
use crate::HostNetwork;
use crate::packet::tests::ipv4_frame;
use crate::packet::{TCP, UDP};
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn plan(ipv4: bool, ipv6: bool) -> Plan {
    let host = HostNetwork { ipv4, ipv6, resolvers: vec![IpAddr::from([127, 0, 0, 1])], ..HostNetwork::default() };
    Plan::new(&host, [0x52, 0x54, 0, 0x70, 0x79, 0x72]).unwrap()
}

/// A program in passt's place.
fn stand_in(directory: &std::path::Path, script: &str) -> Passt {
    let path = directory.join("passt");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Passt { path }
}

/// What the guest's side hears next.
async fn next_frame(guest: &mut UnixStream) -> Vec<u8> {
    let length = guest.read_u32().await.unwrap();
    let mut frame = vec![0; length as usize];
    guest.read_exact(&mut frame).await.unwrap();
    frame
}

async fn send(guest: &mut UnixStream, frame: &[u8]) {
    let mut bytes = Vec::new();
    frames::append(&mut bytes, frame);
    guest.write_all(&bytes).await.unwrap();
}

/// A way through a stand-in, with the guest's end of it.
async fn opened(directory: &std::path::Path, script: &str, plan: &Plan) -> (Uplink, UnixStream) {
    let mut uplink = Uplink::open(&stand_in(directory, script), plan).unwrap();
    let (machine, guest) = UnixStream::pair().unwrap();
    uplink.connect(machine);
    uplink.ready().await.unwrap();
    (uplink, guest)
}

#[test]
fn the_question_is_one_that_the_gate_would_let_pass() {
    for plan in [plan(true, true), plan(false, true)] {
        let question = who_has_the_gateway(&plan);
        assert_eq!(crate::packet_filter::judge(&question, &plan, &mut |_| true), crate::packet_filter::Verdict::Pass);
        assert!(!is_the_answer(&question));
    }
}

#[tokio::test]
async fn a_passt_that_ends_at_once_is_an_error_with_its_last_words() {
    let directory = tempfile::tempdir().unwrap();
    let script = "echo 'Failed to send 31 bytes to syslog' >&2; echo 'no namespaces here' >&2; \
        echo 'Failed to send 9 bytes to syslog' >&2; exit 1";
    let mut uplink = Uplink::open(&stand_in(directory.path(), script), &plan(true, false)).unwrap();
    let error = uplink.ready().await.unwrap_err().to_string();
    assert_eq!(error, "passt did not start: no namespaces here (it ended with exit status: 1)");
}

/// Answers the first question with an ARP reply, then sends everything back.
const ECHO: &str = "exec python3 -c '
import socket
wire = socket.socket(fileno=3)
question = wire.recv(4096)
wire.sendall(question[:25] + bytes([2]) + question[26:])
while data := wire.recv(65536):
    wire.sendall(data)
'";

#[tokio::test]
async fn open_frames_pass_and_closed_ones_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(true, false);
    let (mut uplink, mut guest) = opened(directory.path(), ECHO, &plan).await;
    let open = ipv4_frame([192, 0, 2, 1], UDP, &[0, 7, 0, 80, 0, 8, 0, 0]);
    let closed = ipv4_frame([127, 0, 0, 1], TCP, &[0; 20]);
    send(&mut guest, &closed).await;
    let refusal = next_frame(&mut guest).await;
    assert_eq!(Some(refusal), crate::refusal::of(&closed, &plan.gateways));
    send(&mut guest, &ipv4_frame([224, 0, 0, 1], UDP, &[0; 8])).await;
    send(&mut guest, &open).await;
    assert_eq!(next_frame(&mut guest).await, open, "the one before it was dropped");

    // Without passt the guest is told so, and its wire stays.
    let pid = i32::try_from(uplink.running.child.id().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
    assert_eq!(uplink.ended().await, "it ended with signal: 9 (SIGKILL)");
    loop {
        // The first may still find room in the socket of who is gone.
        send(&mut guest, &open).await;
        let answer = tokio::time::timeout(Duration::from_millis(50), next_frame(&mut guest)).await;
        if let Ok(answer) = answer {
            assert_eq!(Some(answer), crate::refusal::of(&open, &plan.gateways));
            break;
        }
    }
}

#[tokio::test]
async fn a_stream_of_nonsense_closes_the_wire() {
    let directory = tempfile::tempdir().unwrap();
    let (mut uplink, mut guest) = opened(directory.path(), ECHO, &plan(true, false)).await;
    guest.write_all(&[0xff; 64]).await.unwrap();
    // Its reading half is closed, and with it what goes to passt, which then ends.
    assert!(uplink.ended().await.contains("it ended with exit status: 0"));
}

/// Answers the first question, sends frames as fast as it can, and ends.
const FLOOD: &str = "exec python3 -c '
import socket
wire = socket.socket(fileno=3)
question = wire.recv(4096)
wire.sendall(question[:25] + bytes([2]) + question[26:])
for number in range(128):
    frame = bytes([number]) * 60000
    wire.sendall(len(frame).to_bytes(4, \"big\") + frame)
'";

#[tokio::test]
async fn passt_is_heard_out_while_the_guest_is_slow_and_nothing_of_it_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let (mut uplink, mut guest) = opened(directory.path(), FLOOD, &plan(true, false)).await;
    // It can send all of it before the guest has taken any.
    assert_eq!(uplink.ended().await, "it ended with exit status: 0");
    for number in 0..128 {
        let frame = next_frame(&mut guest).await;
        assert!(frame.len() == 60_000 && frame.iter().all(|byte| *byte == number));
    }
}
