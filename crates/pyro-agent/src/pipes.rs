//! A command's three pipes, seen from the agent's side. All are non-blocking.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use pyro_protocol::frame::{Continuation, Kind, MAX_BODY, StreamId};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::port::Port;

/// Bytes that a pipe holds once much goes through it: fewer turns between agent and command.
const WIDE: usize = 256 << 10;

/// Bytes on their way into a command.
///
/// What comes in is written at once, from where the host's frame lies. Only what the pipe does not
/// take then is copied and waits.
pub struct Input {
    pipe: Option<OwnedFd>,
    queue: VecDeque<u8>,
    ended: bool,
    is_wide: bool,
    /// Bytes that were taken and not granted anew.
    taken: usize,
}

impl Input {
    pub fn new(pipe: OwnedFd) -> Self {
        Self { pipe: Some(pipe), queue: VecDeque::new(), ended: false, is_wide: false, taken: 0 }
    }

    pub fn push(&mut self, data: &[u8], continuation: Continuation) {
        let mut rest = data;
        if self.queue.is_empty() {
            rest = &data[self.write(data)..];
        }
        self.queue.extend(rest);
        self.ended |= continuation == Continuation::End;
    }

    pub fn poll_fd(&self) -> Option<PollFd<'_>> {
        let wanted = !self.queue.is_empty() || self.ended;
        self.pipe.as_ref().filter(|_| wanted).map(|pipe| PollFd::new(pipe, PollFlags::OUT))
    }

    /// Writes what the command takes now, and returns how many bytes it has taken: so many more the
    /// host may send. A command that closed its stdin takes everything.
    pub fn pump(&mut self) -> u32 {
        if !self.queue.is_empty() {
            let mut queue = std::mem::take(&mut self.queue);
            let written = self.write(queue.make_contiguous());
            queue.drain(..written);
            self.queue = queue;
        }
        if self.queue.is_empty() && self.ended {
            self.pipe = None;
        }
        std::mem::take(&mut self.taken) as u32
    }

    /// Writes as much as the command takes now, and returns how much that is.
    fn write(&mut self, data: &[u8]) -> usize {
        let mut done = 0;
        while done < data.len() {
            let Some(pipe) = &self.pipe else {
                done = data.len();
                break;
            };
            match rustix::io::write(pipe, &data[done..]) {
                Ok(written) => done += written,
                Err(Errno::AGAIN) if !self.is_wide => {
                    self.is_wide = true;
                    widen(pipe);
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => self.pipe = None,
            }
        }
        self.taken += done;
        done
    }
}

/// Bytes on their way out of a command.
///
/// A command's output ends with its first process and not with its pipe, so the agent holds the
/// writing end as well: it is not woken once for each pipe that a dying process closes.
pub struct Output {
    kind: Kind,
    pipe: Option<OwnedFd>,
    writing: Option<OwnedFd>,
    credit: u32,
    is_wide: bool,
    /// Once the command has ended: how many bytes were in the pipe then, and still are.
    rest: Option<u64>,
    end_sent: bool,
}

impl Output {
    pub fn new(kind: Kind, (pipe, writing): (OwnedFd, OwnedFd), credit: u32) -> Self {
        Self { kind, pipe: Some(pipe), writing: Some(writing), credit, is_wide: false, rest: None, end_sent: false }
    }

    pub fn grant(&mut self, bytes: u32) {
        self.credit = self.credit.saturating_add(bytes);
    }

    pub fn poll_fd(&self) -> Option<PollFd<'_>> {
        let wanted = self.credit > 0 && !self.is_done();
        self.pipe.as_ref().filter(|_| wanted).map(|pipe| PollFd::new(pipe, PollFlags::IN))
    }

    /// Passes on what is there, as far as the host's credit and the port's room go.
    pub fn pump(&mut self, stream: StreamId, port: &mut Port) {
        while self.credit > 0 && port.has_room() && !self.is_done() {
            let Some(pipe) = &self.pipe else { break };
            let rest = self.rest.unwrap_or(u64::MAX);
            let max = (self.credit as u64).min(rest).min(MAX_BODY as u64) as usize;
            match port.send_from(stream, self.kind, max, |room| rustix::io::read(pipe, room)) {
                Ok(0) => self.pipe = None,
                Ok(read) => {
                    self.credit -= read as u32;
                    self.rest = self.rest.map(|rest| rest - read as u64);
                    // All that it holds by itself was in it: there may be much.
                    if read == MAX_BODY && !self.is_wide {
                        self.is_wide = true;
                        widen(pipe);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.pipe = None,
            }
        }
        if self.is_done() && !self.end_sent {
            self.end_sent = true;
            port.send_end(stream, self.kind);
        }
    }

    /// From now on the end of the pipe is looked out for: its holders are being ended.
    pub fn let_go(&mut self) {
        self.writing = None;
    }

    /// The command has ended: what is in the pipe now is the last that counts. A descendant that
    /// lives on may write more, and it goes nowhere.
    pub fn seal(&mut self) {
        if self.rest.is_none() {
            let waiting = self.pipe.as_ref().map_or(0, |pipe| rustix::io::ioctl_fionread(pipe).unwrap_or(0));
            self.rest = Some(waiting);
        }
    }

    pub fn is_done(&self) -> bool {
        self.pipe.is_none() || self.rest == Some(0)
    }

    /// What is left to drain into nothing, while somebody else still holds the other end.
    pub fn into_leftover(self) -> Option<OwnedFd> {
        drop(self.writing);
        self.pipe
    }
}

/// Reads and drops what is there; says whether somebody may still write.
pub fn discard(pipe: &OwnedFd, scratch: &mut [u8]) -> bool {
    loop {
        match rustix::io::read(pipe.as_fd(), &mut *scratch) {
            Ok(0) => return false,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return true,
            Err(_) => return false,
        }
    }
}

/// A pipe whose agent side does not block. Returns (read end, write end).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Lets a pipe hold more. Where that is refused, it goes on as it is.
fn widen(pipe: &OwnedFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, WIDE);
}

/// Makes a descriptor non-blocking.
pub fn non_blocking(descriptor: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(descriptor)?;
    Ok(rustix::fs::fcntl_setfl(descriptor, flags | rustix::fs::OFlags::NONBLOCK)?)
}

#[cfg(test)]
mod tests;
