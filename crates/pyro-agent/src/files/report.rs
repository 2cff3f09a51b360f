//! What the worker says: results on stdout, events on stderr.
//!
//! Small results are collected and written together. It counts, and says how far it is.

use std::fs::File;
use std::io::Write;

use pyro_protocol::files::{
    Change, Done, Entry, Event, Failed, FileEvent, FileReply, MAX_MESSAGE, Match, Notice, Progress, Reply, frame,
};
use rustix::fs::sendfile;
use rustix::io::Errno;

use super::failure::{At, Failure, Result};

/// Results collected before they are written, in bytes.
const ENOUGH: usize = 64 << 10;
/// Bytes of a file that are moved at once.
const STEP: usize = 128 << 10;
/// How often progress is said.
const ENTRIES: u64 = 1000;
const BYTES: u64 = 8 << 20;
/// The most of a path in an event, in bytes.
const MAX_PATH: usize = 8 << 10;

/// What [`Done`] says besides the counters.
#[derive(Default)]
pub struct Outcome {
    pub digest: String,
    pub truncated: bool,
}

pub struct Report {
    output: File,
    waiting: Vec<u8>,
    events: File,
    entries: u64,
    bytes: u64,
    next_entries: u64,
    next_bytes: u64,
}

impl Report {
    pub fn new(output: File, events: File) -> Self {
        Self { output, waiting: Vec::new(), events, entries: 0, bytes: 0, next_entries: ENTRIES, next_bytes: BYTES }
    }

    pub fn entries(&self) -> u64 {
        self.entries
    }

    pub fn entry(&mut self, entry: Entry) -> Result<()> {
        self.reply(Reply::Entry(entry))
    }

    pub fn line(&mut self, found: Match) -> Result<()> {
        self.reply(Reply::Match(found))
    }

    pub fn change(&mut self, change: Change) -> Result<()> {
        self.reply(Reply::Change(change))
    }

    fn reply(&mut self, reply: Reply) -> Result<()> {
        let (Reply::Entry(Entry { path, .. }) | Reply::Match(Match { path, .. }) | Reply::Change(Change { path, .. })) =
            &reply;
        // A tree can be deeper than any path the kernel takes.
        if path.len() > MAX_MESSAGE / 2 {
            let path = path.clone();
            return self.notice(&path, "its path is too long to be told");
        }
        self.data(&frame(&FileReply { reply: Some(reply) }))
    }

    /// Bytes of a file or an archive.
    pub fn data(&mut self, data: &[u8]) -> Result<()> {
        self.waiting.extend_from_slice(data);
        if self.waiting.len() >= ENOUGH { self.flush() } else { Ok(()) }
    }

    /// Bytes straight from a file, from where it stands, at most so many. The kernel moves them
    /// without showing them to this process where it can. Returns how many there were, and whether
    /// reading failed behind them.
    pub fn copy(&mut self, file: &File, most: u64) -> Result<(u64, rustix::io::Result<()>)> {
        self.flush()?;
        let mut done = 0;
        let mut buffer = Vec::new();
        while done < most {
            let step = (most - done).min(STEP as u64) as usize;
            let moved = if buffer.is_empty() { sendfile(&self.output, file, None, step) } else { Err(Errno::INVAL) };
            let moved = match moved {
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    buffer.resize(STEP, 0);
                    rustix::io::read(file, &mut buffer[..step])
                        .map(|read| self.output.write_all(&buffer[..read]).map(|()| read))
                }
                other => other.map(Ok),
            };
            match moved {
                Ok(Ok(0)) => break,
                Ok(moved) => {
                    let moved = moved.at(b"")? as u64;
                    done += moved;
                    self.count(0, moved)?;
                }
                Err(Errno::INTR) => {}
                Err(error @ Errno::PIPE) => return Err(error).at(b""),
                Err(error) => return Ok((done, Err(error))),
            }
        }
        Ok((done, Ok(())))
    }

    pub fn flush(&mut self) -> Result<()> {
        self.output.write_all(&self.waiting).at(b"")?;
        self.waiting.clear();
        Ok(())
    }

    pub fn notice(&mut self, path: &[u8], problem: impl Into<String>) -> Result<()> {
        let path = path[..path.len().min(MAX_PATH)].to_vec();
        self.event(Event::Notice(Notice { path, problem: problem.into() }))
    }

    /// So much more was done.
    pub fn count(&mut self, entries: u64, bytes: u64) -> Result<()> {
        self.entries += entries;
        self.bytes += bytes;
        if self.entries < self.next_entries && self.bytes < self.next_bytes {
            return Ok(());
        }
        self.next_entries = self.entries + ENTRIES;
        self.next_bytes = self.bytes + BYTES;
        self.event(Event::Progress(Progress { entries: self.entries, bytes: self.bytes }))
    }

    /// The last word. Nothing can be done if it is not heard.
    pub fn done(&mut self, Outcome { digest, truncated }: Outcome) {
        let done = Done { entries: self.entries, bytes: self.bytes, digest, truncated };
        let _ = self.event(Event::Done(done));
    }

    /// The last word. Nothing can be done if it is not heard.
    pub fn failed(&mut self, failure: Failure) {
        let Failure { reason, mut path, message } = failure;
        path.truncate(MAX_PATH);
        let failed = Failed { reason: reason.into(), path, message, entries: self.entries, bytes: self.bytes };
        let _ = self.event(Event::Failed(failed));
    }

    fn event(&mut self, event: Event) -> Result<()> {
        self.events.write_all(&frame(&FileEvent { event: Some(event) })).at(b"")
    }
}
