//! Sharing one byte stream between the control stream and any number of commands.
//!
//! The reader task owns the decoder and hands frames to whoever waits for their stream; the writer
//! task owns the sending half. Both share only the table of streams.
//!
//! What waits to be sent is bounded, too: input waits for room, and a guest that does not take a
//! mebibyte of messages is cut off.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prost::Message;
use pyro_protocol::frame::{Continuation, Decoder, Frame, Kind, MAX_BODY, StreamId, encode_parts};
use pyro_protocol::message::{Event, Refused, Request, ToGuest, ToHost};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::GuestError;

/// How many bytes of each output stream a guest may send ahead of its reader.
pub const OUTPUT_WINDOW: u32 = 1 << 20;
/// Bytes of input, and of messages, that wait for the guest to take them.
const MOST_UNSENT: usize = 1 << 20;
/// Control messages kept for a reader; a guest that sends more without being asked is cut off.
const CONTROL_QUEUE: usize = 64;

/// What arrives on a command's stream.
#[derive(Debug)]
pub enum Arrival {
    /// A message.
    Event(Event),
    /// Output.
    Data(Kind, Bytes),
}

/// A command's stream, as the reader task sees it.
#[derive(Debug)]
struct Stream {
    arrivals: mpsc::UnboundedSender<Arrival>,
    /// Bytes the guest may still send; the sender's side grants what was consumed.
    stdout_window: u32,
    stderr_window: u32,
    stdin_credit: Arc<Semaphore>,
    started: bool,
}

#[derive(Debug)]
struct Table {
    streams: HashMap<StreamId, Stream>,
    ended: Option<GuestError>,
    /// Closed at the end, so that nobody waits for room any more.
    room_for_input: Arc<Semaphore>,
}

/// Bytes on their way to the guest, and the room they take until they are sent.
#[derive(Debug)]
struct Unsent {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

/// The shared stream.
#[derive(Clone, Debug)]
pub struct Link {
    outgoing: mpsc::UnboundedSender<Unsent>,
    room_for_messages: Arc<Semaphore>,
    room_for_input: Arc<Semaphore>,
    table: Arc<Mutex<Table>>,
    control: Arc<tokio::sync::Mutex<mpsc::Receiver<Event>>>,
    next: Arc<AtomicU32>,
}

impl Link {
    pub fn start(stream: UnixStream) -> Self {
        let (reading, writing) = stream.into_split();
        let (outgoing, to_write) = mpsc::unbounded_channel();
        let (control_sender, control) = mpsc::channel(CONTROL_QUEUE);
        let room = || Arc::new(Semaphore::new(MOST_UNSENT));
        let (room_for_messages, room_for_input) = (room(), room());
        let table = Table { streams: HashMap::new(), ended: None, room_for_input: room_for_input.clone() };
        let table = Arc::new(Mutex::new(table));
        tokio::spawn(write_all(writing, to_write));
        let reader = Reader { table: table.clone(), control: control_sender };
        tokio::spawn(reader.run(reading));
        let control = Arc::new(tokio::sync::Mutex::new(control));
        Self { outgoing, room_for_messages, room_for_input, table, control, next: Arc::new(AtomicU32::new(1)) }
    }

    /// Queues a message. If the guest is gone, the message is lost and the reader reports the end. A message that is
    /// longer than a frame is not sent: its command is refused, and without a command the conversation ends.
    pub fn send(&self, stream: StreamId, request: Request) {
        let body = ToGuest { request: Some(request) }.encode_to_vec();
        if body.len() <= MAX_BODY {
            self.queue(encoded(stream, Kind::Message, Continuation::More, &body));
            return;
        }
        let mut table = lock(&self.table);
        match table.streams.remove(&stream) {
            Some(open) => {
                open.stdin_credit.close();
                let message = format!("the request has {} bytes; the limit is {MAX_BODY}", body.len());
                let refused = Refused { reason: "bad_request".into(), message };
                let _ = open.arrivals.send(Arrival::Event(Event::Refused(refused)));
            }
            None => table.end(GuestError::TooLong { bytes: body.len() }),
        }
    }

    /// Sends the end of stdin.
    pub fn end_stdin(&self, stream: StreamId) {
        self.queue(encoded(stream, Kind::Stdin, Continuation::End, &[]));
    }

    fn queue(&self, bytes: Vec<u8>) {
        match self.room_for_messages.clone().try_acquire_many_owned(bytes.len() as u32) {
            Ok(room) => drop(self.outgoing.send(Unsent { bytes, _room: room })),
            Err(_) => lock(&self.table).end(GuestError::Nonsense { what: "nothing and did not read its input" }),
        }
    }

    /// Sends stdin, which the caller holds credit for, when there is room for it. Says whether the
    /// conversation goes on.
    pub async fn send_stdin(&self, stream: StreamId, data: &[u8]) -> bool {
        let bytes = encoded(stream, Kind::Stdin, Continuation::More, data);
        let room = self.room_for_input.clone().acquire_many_owned(bytes.len() as u32).await;
        room.is_ok_and(|room| self.outgoing.send(Unsent { bytes, _room: room }).is_ok())
    }

    /// The next message on the control stream.
    pub async fn control(&self) -> Result<Event, GuestError> {
        let event = self.control.lock().await.recv().await;
        event.ok_or_else(|| self.end())
    }

    /// Opens a stream of its own for a command.
    pub fn open(&self) -> (StreamId, mpsc::UnboundedReceiver<Arrival>, Arc<Semaphore>) {
        let id = StreamId(self.next.fetch_add(1, Ordering::Relaxed));
        let (arrivals, receiver) = mpsc::unbounded_channel();
        let stdin_credit = Arc::new(Semaphore::new(pyro_protocol::INITIAL_STDIN_CREDIT as usize));
        let mut table = lock(&self.table);
        if table.ended.is_some() {
            stdin_credit.close();
        } else {
            let stream = Stream {
                arrivals,
                stdout_window: OUTPUT_WINDOW,
                stderr_window: OUTPUT_WINDOW,
                stdin_credit: stdin_credit.clone(),
                started: false,
            };
            table.streams.insert(id, stream);
        }
        (id, receiver, stdin_credit)
    }

    /// Widens the windows by what the reader has consumed, and tells the guest.
    pub fn grant(&self, id: StreamId, stdout: u32, stderr: u32) {
        if let Some(stream) = lock(&self.table).streams.get_mut(&id) {
            stream.stdout_window += stdout;
            stream.stderr_window += stderr;
        }
        let credit = pyro_protocol::message::OutputCredit { stdout, stderr };
        self.send(id, Request::Credit(credit));
    }

    /// Why the conversation ended.
    pub fn end(&self) -> GuestError {
        lock(&self.table).ended.clone().unwrap_or(GuestError::Gone)
    }
}

impl Table {
    /// Ends the conversation and notifies all waiters. The first reason is kept.
    fn end(&mut self, why: GuestError) {
        self.ended.get_or_insert(why);
        self.room_for_input.close();
        for (_, stream) in self.streams.drain() {
            stream.stdin_credit.close();
        }
    }
}

/// The table is changed in single steps; a panic elsewhere leaves it whole.
fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn encoded(stream: StreamId, kind: Kind, continuation: Continuation, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_parts(stream, kind, continuation, body, &mut bytes);
    bytes
}

async fn write_all(mut writing: OwnedWriteHalf, mut to_write: mpsc::UnboundedReceiver<Unsent>) {
    while let Some(first) = to_write.recv().await {
        let mut unsent = vec![first];
        while unsent.iter().map(|one| one.bytes.len()).sum::<usize>() < (1 << 18) {
            let Ok(more) = to_write.try_recv() else { break };
            unsent.push(more);
        }
        let bytes = unsent.iter().map(|one| one.bytes.as_slice()).collect::<Vec<_>>().concat();
        if writing.write_all(&bytes).await.is_err() {
            return; // the reader task finds the same end and tells everybody
        }
    }
}

struct Reader {
    table: Arc<Mutex<Table>>,
    control: mpsc::Sender<Event>,
}

impl Reader {
    async fn run(self, mut reading: OwnedReadHalf) {
        let end = self.read(&mut reading).await.err().unwrap_or(GuestError::Gone);
        lock(&self.table).end(end);
    }

    async fn read(&self, reading: &mut OwnedReadHalf) -> Result<(), GuestError> {
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match reading.read(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(read) => decoder.push(&buffer[..read]),
            }
            while let Some(frame) = decoder.next_frame()? {
                self.deliver(frame)?;
            }
        }
    }

    fn deliver(&self, frame: Frame) -> Result<(), GuestError> {
        let Frame { stream, kind, body, .. } = frame;
        match kind {
            Kind::Message => {
                let decoded = ToHost::decode(body).map_err(|_| GuestError::Nonsense { what: "a broken message" })?;
                // A message of a later build of the same generation: not for us.
                let Some(event) = decoded.event else { return Ok(()) };
                self.deliver_event(stream, event)
            }
            Kind::Stdin => Err(GuestError::Nonsense { what: "stdin" }),
            Kind::Stdout | Kind::Stderr if body.is_empty() => Ok(()),
            Kind::Stdout | Kind::Stderr => {
                let mut table = lock(&self.table);
                let Some(open) = table.streams.get_mut(&stream) else { return Ok(()) };
                let window = if kind == Kind::Stdout { &mut open.stdout_window } else { &mut open.stderr_window };
                *window = window
                    .checked_sub(body.len() as u32)
                    .ok_or(GuestError::Nonsense { what: "more output than its window allows" })?;
                let _ = open.arrivals.send(Arrival::Data(kind, body));
                Ok(())
            }
        }
    }

    fn deliver_event(&self, stream: StreamId, event: Event) -> Result<(), GuestError> {
        if stream == StreamId::CONTROL {
            let full = GuestError::Nonsense { what: "too many unrequested messages" };
            return match self.control.try_send(event) {
                Err(mpsc::error::TrySendError::Full(_)) => Err(full),
                _ => Ok(()),
            };
        }
        let mut table = lock(&self.table);
        let Some(open) = table.streams.get_mut(&stream) else { return Ok(()) };
        match event {
            Event::Credit(credit) => {
                let granted = credit.stdin as usize;
                if open.stdin_credit.available_permits() + granted > Semaphore::MAX_PERMITS / 2 {
                    return Err(GuestError::Nonsense { what: "more credit than bytes were sent" });
                }
                open.stdin_credit.add_permits(granted);
            }
            Event::Exited(_) | Event::Refused(_) => {
                if let Some(open) = table.streams.remove(&stream) {
                    open.stdin_credit.close();
                    let _ = open.arrivals.send(Arrival::Event(event));
                }
            }
            // Nothing bounds how many of these could wait for their reader, so there is one.
            Event::Started(_) if !open.started => {
                open.started = true;
                let _ = open.arrivals.send(Arrival::Event(event));
            }
            Event::Started(_) => return Err(GuestError::Nonsense { what: "a second start of a command" }),
            _ => return Err(GuestError::Nonsense { what: "a message that does not belong to a command" }),
        }
        Ok(())
    }
}
