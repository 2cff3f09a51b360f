use super::*;
use crate::frame::{Continuation, Decoder, Frame, Kind, StreamId};
use bytes::Bytes;

/// One of everything generation 2 can say, as whole frames.
fn everything() -> Vec<(&'static str, Frame)> {
    let to_guest = |stream, request| {
        let body = ToGuest { request: Some(request) }.encode_to_vec();
        Frame { stream: StreamId(stream), kind: Kind::Message, continuation: Continuation::More, body: body.into() }
    };
    let to_host = |stream, event| {
        let body = ToHost { event: Some(event) }.encode_to_vec();
        Frame { stream: StreamId(stream), kind: Kind::Message, continuation: Continuation::More, body: body.into() }
    };
    let data = |kind, continuation, body: &'static [u8]| Frame {
        stream: StreamId(1),
        kind,
        continuation,
        body: Bytes::from_static(body),
    };
    let hello = Hello { generation: 2, capabilities: vec!["unpack".into()], version: "2.1.0".into() };
    let exec = Exec {
        candidates: vec![
            Argv { words: vec![b"git".to_vec(), b"--version".to_vec()] },
            Argv { words: vec![b"/bin/sh".to_vec(), b"-c".to_vec(), b"git --version".to_vec()] },
        ],
        environment: vec![b"A=\xff".to_vec()],
        working_directory: b"/workspace".to_vec(),
        timeout_us: 30_000_000,
        stdout_credit: 1 << 20,
        stderr_credit: 1 << 19,
        file_worker: false,
    };
    let file_worker = Exec { file_worker: true, stdout_credit: 1 << 20, stderr_credit: 1 << 19, ..Exec::default() };
    let identity = Identity {
        wall_clock_ns: 1_795_000_000_123_456_789,
        entropy: vec![7; 8],
        host_name: "0123456789ab".into(),
        machine_id: "0123456789abcdef0123456789abcdef".into(),
        network: None,
        mac_address: vec![0x52, 0x54, 0, 0x12, 0x34, 0x56],
    };
    let network = Network {
        addresses: vec!["172.29.100.2/30".into(), "fd70::2/64".into()],
        gateways: vec!["172.29.100.1".into(), "fd70::1".into()],
        mtu: 65520,
        resolver_file: "nameserver 172.29.100.1\n".into(),
        window: 65535,
        link: true,
    };
    let connected = Identity { network: Some(network), ..identity.clone() };
    vec![
        ("hello to guest", to_guest(0, Request::Hello(hello.clone()))),
        ("identity", to_guest(0, Request::Identity(identity))),
        ("identity with a network", to_guest(0, Request::Identity(connected))),
        ("clock", to_guest(0, Request::Clock(Clock { wall_clock_ns: 1_795_000_001_000_000_000 }))),
        ("freeze", to_guest(0, Request::Freeze(Freeze {}))),
        (
            "unpack",
            to_guest(0, Request::Unpack(Unpack { target: "/dev/vda".into(), sources: vec!["/dev/vdb".into()] })),
        ),
        ("shutdown", to_guest(0, Request::Shutdown(Shutdown {}))),
        ("exec", to_guest(1, Request::Exec(exec))),
        ("exec of the file worker", to_guest(1, Request::Exec(file_worker))),
        ("output credit", to_guest(1, Request::Credit(OutputCredit { stdout: 65536, stderr: 1 }))),
        ("signal", to_guest(1, Request::Signal(Signal { number: 9 }))),
        ("stdin", data(Kind::Stdin, Continuation::More, b"in\0\xff")),
        ("stdin ends", data(Kind::Stdin, Continuation::End, b"")),
        ("hello to host", to_host(0, Event::Hello(hello))),
        ("identified", to_host(0, Event::Identified(Identified {}))),
        ("frozen", to_host(0, Event::Frozen(Frozen::default()))),
        ("unpack progress", to_host(0, Event::UnpackProgress(UnpackProgress { archive_bytes: 1 << 33 }))),
        ("unpacked", to_host(0, Event::Unpacked(Unpacked { entries: 10917 }))),
        (
            "refused",
            to_host(1, Event::Refused(Refused { reason: "not_found".into(), message: "no such program".into() })),
        ),
        ("started", to_host(1, Event::Started(Started { pid: 42 }))),
        ("stdin credit", to_host(1, Event::Credit(StdinCredit { stdin: 4096 }))),
        ("stdout", data(Kind::Stdout, Continuation::More, b"out")),
        ("stderr ends", data(Kind::Stderr, Continuation::End, b"err")),
        (
            "exited",
            to_host(
                1,
                Event::Exited(Exited {
                    code: Some(0),
                    signal: None,
                    timed_out: false,
                    out_of_memory: false,
                    duration_us: 1234,
                }),
            ),
        ),
        (
            "killed",
            to_host(
                1,
                Event::Exited(Exited {
                    code: None,
                    signal: Some(9),
                    timed_out: true,
                    out_of_memory: true,
                    duration_us: 1,
                }),
            ),
        ),
        ("going down", to_host(0, Event::GoingDown(GoingDown {}))),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of generation 1 never change: a guest frozen into a template years ago is still
/// understood. A deliberate change is a new generation with a golden file of its own.
#[test]
fn the_bytes_of_this_generation_are_frozen() {
    let path = format!("{}/golden/generation-{}.txt", env!("CARGO_MANIFEST_DIR"), crate::GENERATION);
    let now: String = everything()
        .iter()
        .map(|(name, frame)| {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            format!("{name}: {}\n", hex(&bytes))
        })
        .collect();
    if std::env::var_os("PYRO_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file is in the repository");
    assert_eq!(now, golden);
}

#[test]
fn what_is_encoded_is_decoded() {
    for (name, frame) in everything() {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        assert_eq!(decoder.next_frame(), Ok(Some(frame)), "{name}");
    }
}

#[test]
fn an_unknown_message_decodes_to_none_and_not_to_an_error() {
    // Tag 100, varint 1: a request of a later build.
    let decoded = ToGuest::decode(&[0xa0, 0x06, 0x01][..]).unwrap();
    assert_eq!(decoded.request, None);
}
