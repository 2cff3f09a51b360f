//! One guest's uplink, from its start to its end.
//!
//! ```text
//! open: socket pairs ─▶ passt started ─▶ it answers a question ─▶ frames are passed on
//! ended: passt is gone by itself     drop: passt is killed, both sockets closed
//! ```

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::error::host;
use crate::packet::{self, ETHERNET, ICMPV6, IPV6_HEADER, Packet, checksum};
use crate::passt::{Passt, Running};
use crate::routes::Routes;
use crate::{NetworkError, Plan, frames, relay};

/// How long passt may take to answer its first question.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A guest's uplink. Dropping it closes it.
pub struct Uplink {
    running: Running,
    answered: Option<oneshot::Receiver<()>>,
    machine: Option<oneshot::Sender<UnixStream>>,
    _tasks: JoinSet<()>,
}

impl Uplink {
    /// Opens it, before its machine is there: both come up at the same time. Returns before passt
    /// is up; see [`Self::ready`]. Must be called inside a tokio runtime; passt dies with the
    /// calling thread.
    ///
    /// # Errors
    /// [`NetworkError::Host`].
    pub fn open(passt: &Passt, plan: &Plan) -> Result<Self, NetworkError> {
        let routes = Routes::open().map_err(host("ask the kernel for routes"))?;
        let (nic, passts_end) = stream_pair()?;
        let running = passt.start(plan, passts_end)?;
        let (tell, answered) = oneshot::channel();
        let (give, machine) = oneshot::channel();
        let mut tasks = JoinSet::new();
        let plan = plan.clone();
        tasks.spawn(async move {
            let mut nic = nic;
            let Ok(early) = first_answer(&mut nic, &plan).await else { return };
            let _ = tell.send(());
            let Ok(machine) = machine.await else { return };
            let mut both = JoinSet::new();
            relay::start(&mut both, machine, nic, early, plan, routes);
            while both.join_next().await.is_some() {}
        });
        Ok(Self { running, answered: Some(answered), machine: Some(give), _tasks: tasks })
    }

    /// Connects the machine: a stream of frames, each with its length before it, in four bytes,
    /// big-endian. Once; another one is closed.
    pub fn connect(&mut self, machine: UnixStream) {
        if let Some(give) = self.machine.take() {
            // When passt did not start, nobody takes it, and `ready` says so.
            let _ = give.send(machine);
        }
    }

    /// Awaits passt's first answer.
    ///
    /// # Errors
    /// [`NetworkError::NotUp`] with its last message, [`NetworkError::Silent`].
    pub async fn ready(&mut self) -> Result<(), NetworkError> {
        let Some(answered) = self.answered.take() else { return Ok(()) };
        match tokio::time::timeout(TIMEOUT, answered).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(NetworkError::NotUp { why: self.ended().await }),
            Err(_) => Err(NetworkError::Silent { waited: TIMEOUT }),
        }
    }

    /// Resolves when passt has ended by itself, with the reason as far as it is known.
    pub async fn ended(&mut self) -> String {
        let status = match self.running.child.wait().await {
            Ok(status) => format!("it ended with {status}"),
            Err(error) => format!("it cannot be waited for: {error}"),
        };
        match self.running.complaint.last() {
            Some(complaint) => format!("{complaint} ({status})"),
            None => status,
        }
    }

    /// Closes it, and waits until passt is gone.
    pub async fn close(mut self) {
        // Fails only when it has ended already.
        let _ = self.running.child.kill().await;
    }
}

fn stream_pair() -> Result<(UnixStream, OwnedFd), NetworkError> {
    let pair = || {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((UnixStream::from_std(ours)?, OwnedFd::from(theirs)))
    };
    pair().map_err(host("make a socket pair"))
}

/// Asks passt for the gateway's MAC address, and reads until it answers: then it is up. Returns what
/// of another frame was read with the answer.
async fn first_answer(nic: &mut UnixStream, plan: &Plan) -> io::Result<Vec<u8>> {
    let mut question = Vec::new();
    frames::append(&mut question, &who_has_the_gateway(plan));
    nic.write_all(&question).await?;
    let mut buffer = Vec::with_capacity(frames::ROOM);
    loop {
        if nic.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let ranges = frames::split(&buffer).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let answer = ranges.iter().find(|range| is_the_answer(frames::frame(&buffer, range)));
        if let Some(range) = answer {
            return Ok(buffer.split_off(range.end));
        }
        buffer.drain(..ranges.last().map_or(0, |range| range.end));
    }
}

/// An ARP request (RFC 826), or a neighbour solicitation (RFC 4861) where there is no IPv4, as the
/// guest would send it.
fn who_has_the_gateway(plan: &Plan) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ETHERNET + IPV6_HEADER + 32);
    match (plan.addresses[0].0, plan.gateways[0]) {
        (IpAddr::V4(guest), IpAddr::V4(gateway)) => {
            frame.extend([0xff; 6]);
            frame.extend(plan.guest_mac);
            frame.extend(packet::ARP);
            frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
            frame.extend(plan.guest_mac);
            frame.extend(guest.octets());
            frame.extend([0; 6]);
            frame.extend(gateway.octets());
        }
        (IpAddr::V6(guest), IpAddr::V6(gateway)) => {
            let target = gateway.octets();
            // The target's solicited-node address (RFC 4291, 2.7.1).
            let [.., a, b, c] = target;
            let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c];
            let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
            message.extend(target);
            message.extend([1, 1]);
            message.extend(plan.guest_mac);
            let length = message.len() as u8;
            let sum = checksum(&[&guest.octets(), &group, &[0, 0, 0, length, 0, 0, 0, ICMPV6], &message]);
            message[2..4].copy_from_slice(&sum);
            frame.extend([0x33, 0x33, 0xff, a, b, c]);
            frame.extend(plan.guest_mac);
            frame.extend(packet::IPV6);
            frame.extend([0x60, 0, 0, 0, 0, length, ICMPV6, 255]);
            frame.extend(guest.octets());
            frame.extend(group);
            frame.extend(message);
        }
        // A plan has gateways of its addresses' families.
        _ => {}
    }
    frame
}

/// An ARP reply or a neighbour advertisement.
fn is_the_answer(frame: &[u8]) -> bool {
    match packet::read(frame) {
        Packet::Arp => frame[ETHERNET + 7] == 2,
        Packet::Ip(ip) => ip.icmp_type() == Some(136),
        Packet::Other => false,
    }
}

#[cfg(test)]
mod tests;
