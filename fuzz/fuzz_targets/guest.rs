//! A hostile guest: frames of any size in any order, raw bytes, answers to questions not asked, endless
//! output, against a host that introduces itself, runs two commands, and feeds one of them. The host
//! never panics, and comes to an end when the guest does; libFuzzer bounds its memory.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use pyro_guest::{Guest, Identity, OutputEvent};
use pyro_protocol::frame::{Continuation, Kind, MAX_BODY, StreamId, encode_parts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const KINDS: [Kind; 4] = [Kind::Message, Kind::Stdin, Kind::Stdout, Kind::Stderr];

/// The first byte chooses: the rest as it is, or as frames of (stream, kind, length, body).
fn said_by_the_guest(input: &[u8]) -> Vec<u8> {
    let Some((0x80.., mut rest)) = input.split_first().map(|(first, rest)| (*first, rest)) else {
        return input.get(1..).unwrap_or_default().to_vec();
    };
    let mut said = Vec::new();
    while let [stream, kind, length, tail @ ..] = rest {
        let (body, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        let repeated = body.repeat(1 << (kind >> 5)); // up to 128 times, so that large bodies are cheap
        let end = if kind & 4 == 0 { Continuation::End } else { Continuation::More };
        let kind = KINDS[usize::from(kind & 3)];
        let body = &repeated[..repeated.len().min(MAX_BODY)];
        encode_parts(StreamId(u32::from(*stream)), kind, end, body, &mut said);
        rest = tail;
    }
    said
}

async fn talk(said: Vec<u8>) {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let (mut reading, mut writing) = theirs.into_split();
    let hearing = tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while reading.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
    let saying = tokio::spawn(async move {
        let _ = writing.write_all(&said).await;
    });
    let guest = Guest::attach(ours);
    guest.start_handshake(Identity::default());
    let (mut first, mut second) = (guest.command("true").spawn(), guest.command("cat").spawn());
    let input = first.stdin();
    let feeding = async {
        for _ in 0..64 {
            if !input.write(&[0; 8192]).await {
                return;
            }
        }
    };
    let hear = async |running: &mut pyro_guest::Running| {
        while !matches!(running.next().await, Ok(OutputEvent::Exited(_)) | Err(_)) {}
    };
    let _ = tokio::join!(guest.ready(), hear(&mut first), hear(&mut second), feeding, guest.freeze());
    drop((first, second, input, guest));
    let _ = saying.await;
    let _ = hearing.await;
}

fuzz_target!(|input: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let said = said_by_the_guest(input);
        tokio::time::timeout(Duration::from_secs(20), talk(said)).await.expect("the host comes to an end");
    });
});
