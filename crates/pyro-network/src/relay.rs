//! Frames between a guest and passt, and the packet filter between them.
//!
//! Two tasks, one for each direction. A slow receiver stops its sender; only what comes from passt is
//! kept a while, up to a bound. When passt is gone, every packet of the guest is refused.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::flows::Flows;
use crate::packet::{self, Packet};
use crate::packet_filter::{Verdict, is_discovery, judge};
use crate::routes::Routes;
use crate::{Plan, frames, refusal};

/// Refusals on their way to the guest. More are not needed: each is one of many to the same end.
const REFUSALS: usize = 16;
/// Bytes that wait for the guest at most.
const MOST_WAITING: usize = 16 << 20;

/// Starts both directions. `early` is what was read from passt already.
pub fn start(
    tasks: &mut JoinSet<()>,
    machine: UnixStream,
    passt: UnixStream,
    early: Vec<u8>,
    plan: Plan,
    routes: Routes,
) {
    let (from_machine, to_machine) = machine.into_split();
    let (from_passt, to_passt) = passt.into_split();
    let (refuse, refusals) = mpsc::channel(REFUSALS);
    let flows = Arc::new(Mutex::new(Flows::new(Instant::now())));
    let filter = PacketFilter { plan, routes, flows: Arc::clone(&flows), refuse };
    tasks.spawn(async move { drop(outward(from_machine, to_passt, filter).await) });
    tasks.spawn(async move { drop(inward(from_passt, to_machine, early, refusals, flows).await) });
}

struct PacketFilter {
    plan: Plan,
    routes: Routes,
    flows: Arc<Mutex<Flows>>,
    refuse: mpsc::Sender<Vec<u8>>,
}

impl PacketFilter {
    /// Whether the frame may pass. If not, the guest gets an ICMP error.
    fn opens_for(&mut self, frame: &[u8]) -> bool {
        match self.verdict(frame) {
            Verdict::Pass => return true,
            Verdict::Drop => {}
            Verdict::Refuse => self.refuse(frame),
        }
        false
    }

    /// By address first, then by how much the guest uses already.
    fn verdict(&mut self, frame: &[u8]) -> Verdict {
        let verdict = judge(frame, &self.plan, &mut |address| self.routes.lead_away(address));
        match packet::read(frame) {
            Packet::Ip(ip) if verdict == Verdict::Pass && !is_discovery(&ip) => {
                self.flows.lock().unwrap_or_else(PoisonError::into_inner).admit(&ip, Instant::now())
            }
            _ => verdict,
        }
    }

    fn refuse(&self, frame: &[u8]) {
        if let Some(answer) = refusal::of(frame, &self.plan.gateways) {
            // When there is no room, the guest has enough of them.
            let _ = self.refuse.try_send(answer);
        }
    }
}

/// From the guest, until the machine ends.
async fn outward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut filter: PacketFilter) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(frames::ROOM);
    let (mut passing, mut passt_is_there) = (Vec::new(), true);
    while from.read_buf(&mut buffer).await? > 0 {
        let ranges = frames::split(&buffer).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let whole = ranges.last().map_or(0, |range| range.end);
        passing.clear();
        filter.routes.hear_news();
        for range in &ranges {
            let frame = frames::frame(&buffer, range);
            if !passt_is_there {
                filter.refuse(frame);
            } else if filter.opens_for(frame) {
                passing.extend_from_slice(&buffer[range.clone()]);
            }
        }
        passt_is_there = passt_is_there && to.write_all(&passing).await.is_ok();
        buffer.drain(..whole);
    }
    Ok(())
}

/// To the guest: what passt sends, and refusals, each a whole frame.
///
/// passt throws away what its socket has no room for, and then sends all of it again, many times
/// over, because a guest that misses something says so once for each frame. So it is read at once,
/// and waits here for a slow guest, as much as the windows of TCP let it be.
async fn inward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    early: Vec<u8>,
    mut refusals: mpsc::Receiver<Vec<u8>>,
    flows: Arc<Mutex<Flows>>,
) -> io::Result<()> {
    let (mut arriving, mut waiting) = (early, BytesMut::new());
    let mut passt_is_there = true;
    loop {
        let ranges = frames::split(&arriving).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let whole = ranges.last().map_or(0, |range| range.end);
        note(&flows, &arriving, &ranges);
        waiting.extend_from_slice(&arriving[..whole]);
        arriving.drain(..whole);
        arriving.reserve(frames::ROOM);
        tokio::select! {
            biased;
            read = from.read_buf(&mut arriving), if passt_is_there && waiting.len() < MOST_WAITING => {
                passt_is_there = read.is_ok_and(|read| read > 0);
            }
            // A guest that sends and never reads fills this too. Then a failed write shows that its
            // connection has ended.
            refusal = refusals.recv(), if waiting.len() < MOST_WAITING => match refusal {
                Some(frame) => frames::append(&mut waiting, &frame),
                None => return Ok(()), // the machine has ended
            },
            written = to.write_buf(&mut waiting), if !waiting.is_empty() => drop(written?),
        }
    }
}

/// Tells the table of flows what passt sends.
fn note(flows: &Mutex<Flows>, arriving: &[u8], ranges: &[Range<usize>]) {
    let mut flows = flows.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    for range in ranges {
        if let Packet::Ip(ip) = packet::read(frames::frame(arriving, range)) {
            flows.heard(&ip, now);
        }
    }
}
