//! The byte stream to the host: a virtio-serial port, found by its name.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use prost::Message;
use pyro_protocol::PORT_NAME;
use pyro_protocol::frame::{Continuation, Decoder, Frame, Kind, MAX_BODY, StreamId};
use pyro_protocol::message::{Event, ToHost};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, netlink, recv, socket_with};

use crate::outgoing::Outgoing;
use crate::report::failed;

/// Output waiting for the host beyond which commands are not read any further.
const ENOUGH_QUEUED: usize = 4 * MAX_BODY;

/// The open port with what came in and what still has to go out.
pub struct Port {
    file: File,
    decoder: Decoder,
    outgoing: Outgoing,
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
            return Ok(Port { file, decoder: Decoder::default(), outgoing: Outgoing::default(), scratch });
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
    /// One over any file, for tests.
    #[cfg(test)]
    pub fn over(file: File) -> Self {
        Self { file, decoder: Decoder::default(), outgoing: Outgoing::default(), scratch: vec![0; MAX_BODY] }
    }

    /// For poll(2): always readable, writable only when something waits.
    pub fn poll_fd(&self) -> PollFd<'_> {
        let write = if self.outgoing.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        PollFd::new(&self.file, PollFlags::IN | write)
    }

    /// Bytes that wait for the host, for tests.
    #[cfg(test)]
    pub fn queued(&self) -> usize {
        self.outgoing.len()
    }

    /// Whether more output may be queued for the host.
    pub fn has_room(&self) -> bool {
        self.outgoing.len() < ENOUGH_QUEUED
    }

    /// Queues a message.
    pub fn send(&mut self, stream: StreamId, event: Event) {
        let body = ToHost { event: Some(event) }.encode_to_vec();
        self.outgoing.push(stream, Kind::Message, Continuation::More, &body);
    }

    /// Queues bytes of a command's output, at most so many, which are read straight into the queue.
    pub fn send_from<E>(
        &mut self,
        stream: StreamId,
        kind: Kind,
        most: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.outgoing.push_with(stream, kind, most, read)
    }

    /// Says that a command's output is over.
    pub fn send_end(&mut self, stream: StreamId, kind: Kind) {
        self.outgoing.push(stream, kind, Continuation::End, &[]);
    }

    /// Writes what the host takes now.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.file.write(self.outgoing.waiting()) {
                Ok(written) => self.outgoing.sent(written),
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
