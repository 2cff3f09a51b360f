use super::*;
use prost::Message;
use pyro_protocol::frame::{Continuation, Decoder, Frame, Kind, encode_parts};
use pyro_protocol::message::{Exited, GoingDown, Identified, Refused, Started, StdinCredit, ToGuest, ToHost};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The other end, played by the test.
struct Script {
    stream: UnixStream,
    decoder: Decoder,
}

impl Script {
    fn pair() -> (Guest, Self) {
        let (host, guest) = UnixStream::pair().unwrap();
        (Guest::attach(host), Self { stream: guest, decoder: Decoder::default() })
    }

    async fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return frame;
            }
            let mut buffer = [0; 4096];
            let read = self.stream.read(&mut buffer).await.unwrap();
            assert_ne!(read, 0, "the host hung up");
            self.decoder.push(&buffer[..read]);
        }
    }

    async fn request(&mut self) -> Request {
        ToGuest::decode(self.frame().await.body).unwrap().request.unwrap()
    }

    async fn say(&mut self, stream: u32, event: Event) {
        let body = ToHost { event: Some(event) }.encode_to_vec();
        self.bytes(stream, Kind::Message, &body).await;
    }

    async fn bytes(&mut self, stream: u32, kind: Kind, body: &[u8]) {
        let mut bytes = Vec::new();
        encode_parts(StreamId(stream), kind, Continuation::More, body, &mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }
}

fn exited(code: u32) -> Event {
    Event::Exited(Exited { code: Some(code), signal: None, timed_out: false, out_of_memory: false, duration_us: 5 })
}

#[tokio::test]
async fn a_guest_of_our_generation_is_ready() {
    let (guest, mut script) = Script::pair();
    guest.start_handshake(Identity::default());
    assert!(matches!(script.request().await, Request::Hello(hello) if hello.generation == pyro_protocol::GENERATION));
    let hello = Hello { generation: pyro_protocol::GENERATION, ..Hello::default() };
    script.say(0, Event::Hello(hello)).await;
    script.say(0, Event::Identified(Identified {})).await;
    guest.ready().await.unwrap();
}

#[tokio::test]
async fn a_guest_that_could_not_take_its_identity_is_not_ready() {
    let (guest, mut script) = Script::pair();
    script.say(0, Event::Hello(Hello { generation: pyro_protocol::GENERATION, ..Hello::default() })).await;
    script.say(0, Event::Refused(Refused { reason: "failed".into(), message: "reseed: no".into() })).await;
    let error = guest.ready().await.unwrap_err();
    assert_eq!(error, GuestError::NotIdentified { why: "reseed: no".into() });
    // What comes next is an answer to what is asked next.
    script.say(0, Event::GoingDown(GoingDown {})).await;
    guest.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_guest_of_another_generation_is_named() {
    let (guest, mut script) = Script::pair();
    script.say(0, Event::Hello(Hello { generation: 99, capabilities: vec![], version: "9.9.9".into() })).await;
    let error = guest.ready().await.unwrap_err();
    assert_eq!(error.to_string(), "the guest's agent (9.9.9) uses protocol generation 99; this program uses 2");
}

#[tokio::test]
async fn a_command_streams_and_ends() {
    let (guest, mut script) = Script::pair();
    let mut running = guest.command("sh").args(["-c", "x"]).timeout(Duration::from_secs(2)).spawn();
    let Request::Exec(exec) = script.request().await else { panic!("not an exec") };
    assert_eq!(exec.timeout_us, 2_000_000);
    script.say(1, Event::Started(Started { pid: 7 })).await;
    script.bytes(1, Kind::Stdout, b"out\xff").await;
    script.bytes(1, Kind::Stderr, b"err").await;
    script.say(1, exited(7)).await;
    assert_eq!(running.next().await.unwrap(), OutputEvent::Started);
    assert_eq!(running.next().await.unwrap(), OutputEvent::Stdout(b"out\xff"[..].into()));
    assert_eq!(running.next().await.unwrap(), OutputEvent::Stderr(b"err"[..].into()));
    let OutputEvent::Exited(exit) = running.next().await.unwrap() else { panic!("not the end") };
    assert_eq!((exit.code, exit.timed_out), (7, false));
}

#[tokio::test]
async fn a_refused_command_says_why_and_was_not_run() {
    let (guest, mut script) = Script::pair();
    let mut running = guest.command("nothing").spawn();
    script.say(1, Event::Refused(Refused { reason: "not_found".into(), message: "nothing: not found".into() })).await;
    let error = running.next().await.unwrap_err();
    assert!(matches!(&error, GuestError::Refused(refusal) if refusal.reason == "not_found"), "{error:?}");
}

#[tokio::test]
async fn a_guest_that_sends_more_than_its_window_is_cut_off() {
    let (guest, mut script) = Script::pair();
    let mut running = guest.command("yes").spawn();
    script.request().await;
    let piece = vec![b'y'; 64 * 1024];
    for _ in 0..link::OUTPUT_WINDOW as usize / piece.len() + 1 {
        script.bytes(1, Kind::Stdout, &piece).await;
    }
    // Nobody reads before the guest has broken its word: reading would allow it more.
    assert!(guest.ready().await.is_err());
    let mut received = 0;
    let error = loop {
        match running.next().await {
            Ok(OutputEvent::Stdout(data)) => received += data.len(),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(received <= link::OUTPUT_WINDOW as usize);
    assert_eq!(error, GuestError::Nonsense { what: "more output than its window allows" });
}

#[tokio::test]
async fn what_was_read_is_granted_anew() {
    let (guest, mut script) = Script::pair();
    let mut running = guest.command("yes").spawn();
    script.request().await;
    let piece = vec![b'y'; 64 * 1024];
    for _ in 0..4 {
        script.bytes(1, Kind::Stdout, &piece).await;
    }
    for _ in 0..4 {
        running.next().await.unwrap();
    }
    script.say(1, exited(0)).await;
    running.next().await.unwrap();
    let Request::Credit(credit) = script.request().await else { panic!("no credit") };
    assert_eq!((credit.stdout, credit.stderr), (256 * 1024, 0));
}

#[tokio::test]
async fn stdin_waits_for_credit_and_ends_with_the_command() {
    let (guest, mut script) = Script::pair();
    let running = guest.command("cat").spawn();
    let stdin = running.stdin();
    script.request().await;
    let writing = tokio::spawn(async move { stdin.write(&vec![b'x'; 1 << 20]).await });
    let mut received = 0;
    while received < pyro_protocol::INITIAL_STDIN_CREDIT as usize {
        received += script.frame().await.body.len();
    }
    assert_eq!(received, pyro_protocol::INITIAL_STDIN_CREDIT as usize);
    script.say(1, exited(0)).await;
    assert!(!writing.await.unwrap(), "nobody reads any more");
}

#[tokio::test]
async fn garbage_ends_the_conversation_and_nothing_else() {
    let (guest, mut script) = Script::pair();
    let mut running = guest.command("true").spawn();
    script.stream.write_all(&[0xff; 64]).await.unwrap();
    assert!(matches!(running.next().await, Err(GuestError::Frame(_))));
    assert!(matches!(guest.ready().await, Err(GuestError::Frame(_))));
    let mut late = guest.command("true").spawn();
    assert!(matches!(late.next().await, Err(GuestError::Frame(_))));
}

#[tokio::test]
async fn a_guest_that_hangs_up_is_gone() {
    let (guest, script) = Script::pair();
    let mut running = guest.command("true").spawn();
    drop(script);
    assert_eq!(running.next().await, Err(GuestError::Gone));
    assert_eq!(guest.freeze().await, Err(GuestError::Gone));
}

#[tokio::test]
async fn unasked_control_messages_do_not_fill_the_memory() {
    let (guest, mut script) = Script::pair();
    let mut running = guest.command("true").spawn();
    for _ in 0..100 {
        script.say(0, Event::Hello(Hello::default())).await;
    }
    let error = running.next().await.unwrap_err();
    assert_eq!(error, GuestError::Nonsense { what: "too many unrequested messages" });
}

#[tokio::test]
async fn an_impossible_exit_status_is_refused() {
    let (guest, mut script) = Script::pair();
    let mut running = guest.command("true").spawn();
    script.say(1, exited(4096)).await;
    assert_eq!(running.next().await, Err(GuestError::Nonsense { what: "an impossible exit status" }));
}

#[tokio::test]
async fn a_command_that_starts_again_and_again_does_not_fill_the_memory() {
    let (guest, mut script) = Script::pair();
    let mut running = guest.command("true").spawn();
    script.say(1, Event::Started(Started::default())).await;
    script.say(1, Event::Started(Started::default())).await;
    assert_eq!(running.next().await, Ok(OutputEvent::Started));
    assert_eq!(running.next().await, Err(GuestError::Nonsense { what: "a second start of a command" }));
}

#[tokio::test]
async fn input_for_a_guest_that_grants_everything_and_reads_nothing_waits_outside_of_the_memory() {
    let (guest, mut script) = Script::pair();
    let running = guest.command("cat").spawn();
    let stdin = running.stdin();
    script.say(1, Event::Credit(StdinCredit { stdin: 1 << 28 })).await;
    let written = Arc::new(AtomicU64::new(0));
    let counted = written.clone();
    let writing = tokio::spawn(async move {
        while stdin.write(&[0; 64 * 1024]).await {
            counted.fetch_add(64 * 1024, Ordering::Relaxed);
        }
    });
    // It comes to a stop: nothing else can be done then, so a paused clock goes on.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(written.load(Ordering::Relaxed) < 8 << 20, "{written:?} bytes wait in memory or in the socket");
    drop(script);
    writing.await.unwrap();
}

#[tokio::test]
async fn a_guest_that_takes_no_messages_is_cut_off() {
    let (guest, _script) = Script::pair();
    let mut running = guest.command("true").spawn();
    for _ in 0..1_000_000 {
        running.signal(1);
    }
    let error = running.next().await.unwrap_err();
    assert_eq!(error, GuestError::Nonsense { what: "nothing and did not read its input" });
}

#[tokio::test]
async fn a_command_that_is_too_long_for_the_guest_is_refused_and_the_others_go_on() {
    let (guest, mut script) = Script::pair();
    let mut long = guest.command("true").env("A", vec![b'a'; 70_000]).spawn();
    let error = long.next().await.unwrap_err();
    assert!(matches!(&error, GuestError::Refused(refusal) if refusal.reason == "bad_request"), "{error:?}");
    let mut running = guest.command("true").spawn();
    let Request::Exec(_) = script.request().await else { panic!("not an exec") };
    script.say(2, exited(0)).await;
    assert!(matches!(running.next().await.unwrap(), OutputEvent::Exited(_)));
}
