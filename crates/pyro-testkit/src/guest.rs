//! The guest's end of the conversation, played from a small script of commands:
//! `hello`, `fail N`, `cat`, `hang`, `die`, `nonsense`, `missing`, `flood`, `signal N`, `chatter N` (N
//! pieces of output), `note PATH` (adds a line to a file of the host's, so that a test can count how
//! often it ran), `note-and-hang PATH`, `stick`. Signal 9 ends a command that hangs, and not one that sticks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;
use pyro_protocol::frame::{Continuation, Decoder, Frame, Kind, StreamId, encode_parts};
use pyro_protocol::message::{
    Event, Exec, Exited, Frozen, GoingDown, Hello, Identified, Identity, Refused, Request, Started, StdinCredit,
    ToGuest, ToHost, Unpacked,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;

/// What a scripted guest needs.
pub struct Script {
    pub stream: UnixStream,
    pub generation: u32,
    /// What it keeps time with.
    pub clock_source: String,
    /// No command ever ends.
    pub hangs: bool,
    /// It refuses its identity.
    pub loses_identity: bool,
    /// Every time it was told.
    pub clocks: Arc<Mutex<Vec<u64>>>,
    pub identities: Arc<Mutex<Vec<Identity>>>,
    pub kill: Arc<watch::Sender<bool>>,
    /// Streams of commands that copy their input.
    pub copying: Vec<StreamId>,
    /// Streams of commands that nothing ends.
    pub stuck: Vec<StreamId>,
    /// Commands that chatter: pieces they have yet to send, and bytes they may send now.
    pub chattering: HashMap<StreamId, (u32, u32)>,
}

/// Bytes of each piece of a command that chatters.
const PIECE: u32 = 1000;

/// Keeps the guest's end open without a word, until the machine is gone.
pub async fn keep_open(stream: UnixStream, mut killed: watch::Receiver<bool>) {
    let _ = killed.wait_for(|killed| *killed).await;
    drop(stream);
}

impl Script {
    /// Plays until the machine is gone.
    pub async fn play(mut self) {
        let mut killed = self.kill.subscribe();
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = tokio::select! {
                read = self.stream.read(&mut buffer) => read.unwrap_or(0),
                _ = killed.wait_for(|killed| *killed) => return,
            };
            if read == 0 {
                return;
            }
            decoder.push(&buffer[..read]);
            while let Ok(Some(frame)) = decoder.next_frame() {
                if self.answer(frame).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn answer(&mut self, frame: Frame) -> std::io::Result<()> {
        let stream = frame.stream;
        if frame.kind == Kind::Stdin {
            return self.echo(frame).await;
        }
        let Ok(ToGuest { request: Some(request) }) = ToGuest::decode(frame.body) else { return Ok(()) };
        match request {
            Request::Hello(_) => {
                let hello = Hello { generation: self.generation, capabilities: vec![], version: "fake".into() };
                self.say(stream, Event::Hello(hello)).await
            }
            Request::Identity(identity) => {
                self.identities.lock().unwrap_or_else(PoisonError::into_inner).push(identity);
                if self.loses_identity {
                    let message = "reseed: the device refused".into();
                    return self.say(stream, Event::Refused(Refused { reason: "failed".into(), message })).await;
                }
                self.say(stream, Event::Identified(Identified {})).await
            }
            Request::Clock(clock) => {
                self.clocks.lock().unwrap_or_else(PoisonError::into_inner).push(clock.wall_clock_ns);
                Ok(())
            }
            Request::Freeze(_) => {
                self.say(stream, Event::Frozen(Frozen { clock_source: self.clock_source.clone() })).await
            }
            Request::Unpack(_) => self.say(stream, Event::Unpacked(Unpacked { entries: 1 })).await,
            Request::Shutdown(_) => {
                self.say(stream, Event::GoingDown(GoingDown {})).await?;
                self.kill.send_replace(true);
                Ok(())
            }
            Request::Exec(exec) => self.exec(stream, &exec).await,
            Request::Signal(signal) if signal.number == 9 && !self.stuck.contains(&stream) => {
                self.exited(stream, None, Some(9)).await
            }
            Request::Credit(granted) => {
                if let Some((_, credit)) = self.chattering.get_mut(&stream) {
                    *credit += granted.stdout;
                }
                self.chatter(stream).await
            }
            Request::Signal(_) => Ok(()),
        }
    }

    async fn exec(&mut self, stream: StreamId, exec: &Exec) -> std::io::Result<()> {
        let text = exec.candidates.last().and_then(|argv| argv.words.last()).cloned().unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let (verb, argument) = text.split_once(' ').unwrap_or((&text, ""));
        let number = argument.parse().unwrap_or(0);
        if verb == "missing" {
            let refused = Refused { reason: "not_found".into(), message: "missing: not found".into() };
            return self.say(stream, Event::Refused(refused)).await;
        }
        self.say(stream, Event::Started(Started { pid: 1 })).await?;
        match verb {
            _ if self.hangs => Ok(()),
            "cat" => {
                self.copying.push(stream);
                Ok(())
            }
            "hang" => Ok(()),
            "stick" => {
                self.stuck.push(stream);
                Ok(())
            }
            "die" => {
                self.data(stream, Kind::Stdout, b"half").await?;
                let _ = self.kill.send(true);
                Ok(())
            }
            "nonsense" => self.stream.write_all(&[0xff; 32]).await,
            "flood" => loop {
                self.data(stream, Kind::Stdout, &[b'x'; 60_000]).await?;
            },
            "chatter" => {
                self.chattering.insert(stream, (number, exec.stdout_credit));
                self.chatter(stream).await
            }
            "note" => {
                note(argument)?;
                self.data(stream, Kind::Stdout, b"noted\n").await?;
                self.exited(stream, Some(0), None).await
            }
            "note-and-hang" => {
                note(argument)?;
                self.data(stream, Kind::Stdout, b"noted\n").await
            }
            "fail" => self.exited(stream, Some(number), None).await,
            "signal" => self.exited(stream, None, Some(number)).await,
            _ => {
                self.data(stream, Kind::Stdout, b"hello\n").await?;
                self.data(stream, Kind::Stderr, b"warn\xff\n").await?;
                self.exited(stream, Some(0), None).await
            }
        }
    }

    /// Sends as many pieces as it is allowed to.
    async fn chatter(&mut self, stream: StreamId) -> std::io::Result<()> {
        while let Some((left @ 1.., credit @ PIECE..)) = self.chattering.get_mut(&stream) {
            (*left, *credit) = (*left - 1, *credit - PIECE);
            self.data(stream, Kind::Stdout, &[b'x'; PIECE as usize]).await?;
        }
        if self.chattering.get(&stream).is_some_and(|(left, _)| *left == 0) {
            self.chattering.remove(&stream);
            self.exited(stream, Some(0), None).await?;
        }
        Ok(())
    }

    async fn echo(&mut self, frame: Frame) -> std::io::Result<()> {
        if !self.copying.contains(&frame.stream) {
            return Ok(());
        }
        if frame.continuation == Continuation::End {
            return self.exited(frame.stream, Some(0), None).await;
        }
        self.data(frame.stream, Kind::Stdout, &frame.body).await?;
        self.say(frame.stream, Event::Credit(StdinCredit { stdin: frame.body.len() as u32 })).await
    }

    async fn exited(&mut self, stream: StreamId, code: Option<u32>, signal: Option<u32>) -> std::io::Result<()> {
        let exited = Exited { code, signal, timed_out: false, out_of_memory: false, duration_us: 1500 };
        self.say(stream, Event::Exited(exited)).await
    }

    async fn say(&mut self, stream: StreamId, event: Event) -> std::io::Result<()> {
        let body = ToHost { event: Some(event) }.encode_to_vec();
        self.data(stream, Kind::Message, &body).await
    }

    async fn data(&mut self, stream: StreamId, kind: Kind, body: &[u8]) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        encode_parts(stream, kind, Continuation::More, body, &mut bytes);
        self.stream.write_all(&bytes).await
    }
}

fn note(path: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::options().create(true).append(true).open(path)?;
    file.write_all(b"x\n")
}
