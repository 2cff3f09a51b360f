//! The byte stream to the host: a virtio-serial port, found by its name.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use prost::Message;
use pyro_protocol::PORT_NAME;
use pyro_protocol::frame::{Continuation, Decoder, Frame, Kind, MAX_BODY, StreamId, encode_parts};
use pyro_protocol::message::{Event, ToHost};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, netlink, recv, socket_with};

use crate::report::failed;

/// Output waiting for the host beyond which commands are not read any further.
const ENOUGH_QUEUED: usize = 4 * MAX_BODY;

/// The open port with what came in and what still has to go out.
pub struct Port {
    file: File,
    decoder: Decoder,
    outgoing: VecDeque<u8>,
    scratch: Vec<u8>,
}

/// The kernel's announcements of new devices, from now on.
pub fn kernel_news() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::KOBJECT_UEVENT))?;
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, 1))?;
    Ok(socket)
}

/// Opens the port, awaiting the kernel's announcement of it where it is not there yet.
pub fn open(news: &OwnedFd) -> io::Result<Port> {
    let mut scratch = vec![0; MAX_BODY];
    loop {
        if let Some(device) = find()? {
            use std::os::unix::fs::OpenOptionsExt;
            let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
            let file = fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(&device);
            let file = file.map_err(failed(&format!("open {device}")))?;
            return Ok(Port { file, decoder: Decoder::default(), outgoing: VecDeque::new(), scratch });
        }
        recv(news, scratch.as_mut_slice(), RecvFlags::empty()).map_err(failed("await the host's port"))?;
    }
}

fn find() -> io::Result<Option<String>> {
    let Ok(entries) = fs::read_dir("/sys/class/virtio-ports") else { return Ok(None) };
    for entry in entries {
        let entry = entry?;
        let named = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        let device = format!("/dev/{}", entry.file_name().to_string_lossy());
        if named.trim() == PORT_NAME && fs::exists(&device)? {
            return Ok(Some(device));
        }
    }
    Ok(None)
}

impl Port {
    /// For poll(2): always readable, writable only when something waits.
    pub fn poll_fd(&self) -> PollFd<'_> {
        let write = if self.outgoing.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        PollFd::new(&self.file, PollFlags::IN | write)
    }

    /// Whether more output may be queued for the host.
    pub fn has_room(&self) -> bool {
        self.outgoing.len() < ENOUGH_QUEUED
    }

    /// Queues a message.
    pub fn send(&mut self, stream: StreamId, event: Event) {
        let body = ToHost { event: Some(event) }.encode_to_vec();
        self.queue(stream, Kind::Message, Continuation::More, &body);
    }

    /// Queues bytes of a command's output.
    pub fn send_data(&mut self, stream: StreamId, kind: Kind, continuation: Continuation, data: &[u8]) {
        self.queue(stream, kind, continuation, data);
    }

    fn queue(&mut self, stream: StreamId, kind: Kind, continuation: Continuation, body: &[u8]) {
        let mut bytes = Vec::new();
        encode_parts(stream, kind, continuation, body, &mut bytes);
        self.outgoing.extend(bytes);
    }

    /// Writes what the host takes now.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            let (front, _) = self.outgoing.as_slices();
            match self.file.write(front) {
                Ok(written) => drop(self.outgoing.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The host's end is not open: it will say Hello when it is.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => return Ok(()),
                Err(error) => return Err(failed("write to the host")(error)),
            }
        }
        Ok(())
    }

    /// Writes everything, waiting for the host to take it.
    pub fn flush_all(&mut self) -> io::Result<()> {
        self.flush()?;
        while !self.outgoing.is_empty() {
            poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], None)?;
            self.flush()?;
        }
        Ok(())
    }

    /// Reads what is there and returns the next frame in it.
    ///
    /// # Errors
    /// When the host sent what cannot be a frame: there is no way back into step but a new Hello,
    /// and none can be found in bytes without meaning.
    pub fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(failed("the host's stream"))? {
                return Ok(Some(frame));
            }
            match self.file.read(&mut self.scratch) {
                Ok(0) => return Ok(None),
                Ok(read) => self.decoder.push(&self.scratch[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("read from the host")(error)),
            }
        }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Bodies travel as shared bytes; this is the empty one.
pub const NOTHING: Bytes = Bytes::new();
