//! The loop that serves the host.
//!
//! ```text
//! Silent ──Hello of our generation──▶ Greeted ──Identity taken──▶ Identified ──Freeze──▶ Silent
//!    │                                    └─────Identity failed──▶ stays Greeted, says why
//!    └─────Hello of another one──▶ says its own, stays Silent (the host explains it to its user)
//! ```
//!
//! While Silent everything but Hello is dropped: a machine frozen in this state can be restored by
//! a host that starts a conversation of its own. Commands run only when Identified: a machine that
//! shares its entropy, its names or its clock with its twins runs nothing.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use prost::Message;
use pyro_protocol::frame::{Frame, Kind, MAX_BODY, StreamId};
use pyro_protocol::message::{
    Event, Exec, Frozen, GoingDown, Hello, Identified, Refused, Request, Started, StdinCredit, ToGuest, UnpackProgress,
};
use pyro_sys::signals::ChildSignals;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitOptions, wait};

use crate::cgroup::{Cgroup, Cgroups};
use crate::command::Command;
use crate::network::Device;
use crate::pipes::discard;
use crate::port::Port;
use crate::{identity, unpack};

/// What the kernel keeps time with. A template keeps it for ever, so whoever freezes one wants to know.
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// Everything the agent owns while it serves.
pub struct Server {
    port: Port,
    children: ChildSignals,
    cgroups: Cgroups,
    commands: BTreeMap<StreamId, Command>,
    /// Groups of ended commands in which somebody may still live.
    lingering: Vec<Cgroup>,
    /// Output of those, which goes nowhere.
    discarded: Vec<OwnedFd>,
    network: Device,
    phase: Phase,
    scratch: Vec<u8>,
}

/// How far the conversation with the host is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Silent,
    Greeted,
    Identified,
}

/// What a request asks of the loop.
enum Then {
    Continue,
    GoDown,
}

impl Server {
    pub fn new(port: Port, cgroups: Cgroups) -> io::Result<Self> {
        Ok(Self {
            port,
            children: ChildSignals::block()?,
            cgroups,
            commands: BTreeMap::new(),
            lingering: Vec::new(),
            network: Device::default(),
            discarded: Vec::new(),
            phase: Phase::Silent,
            scratch: vec![0; MAX_BODY],
        })
    }

    /// Serves until the host asks for a shutdown.
    pub fn serve(mut self) -> io::Result<()> {
        loop {
            self.wait()?;
            while let Some(frame) = self.port.next_frame()? {
                if let Then::GoDown = self.handle(frame)? {
                    return self.go_down();
                }
            }
            self.reap();
            self.enforce_limits();
            self.pump();
            let ended = self.report_ended();
            self.port.flush()?;
            if ended {
                self.tidy_groups(); // the host does not wait for this
            }
        }
    }

    /// Sleeps until something can be done.
    fn wait(&self) -> io::Result<()> {
        let mut waits = vec![self.port.poll_fd(), PollFd::new(&self.children, PollFlags::IN)];
        let room = self.port.has_room();
        for command in self.commands.values() {
            waits.extend(command.input.poll_fd());
            if room {
                waits.extend(command.stdout.poll_fd());
                waits.extend(command.stderr.poll_fd());
            }
        }
        waits.extend(self.discarded.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let timeout = self.commands.values().filter_map(Command::deadline).min().map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
        });
        match poll(&mut waits, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(crate::report::failed("poll")(error)),
        }
    }

    fn handle(&mut self, frame: Frame) -> io::Result<Then> {
        match frame.kind {
            Kind::Message => {
                let Ok(ToGuest { request: Some(request) }) = ToGuest::decode(frame.body.clone()) else {
                    let message = "this agent does not know the request".into();
                    self.port.send(frame.stream, Event::Refused(Refused { reason: "bad_request".into(), message }));
                    return Ok(Then::Continue);
                };
                self.carry_out(frame.stream, request)
            }
            Kind::Stdin => {
                match self.commands.get_mut(&frame.stream) {
                    Some(command) if self.phase != Phase::Silent => command.input.push(&frame.body, frame.continuation),
                    _ => {} // the command is over; its host will hear so
                }
                Ok(Then::Continue)
            }
            Kind::Stdout | Kind::Stderr => Ok(Then::Continue),
        }
    }

    fn carry_out(&mut self, stream: StreamId, request: Request) -> io::Result<Then> {
        if let Request::Hello(hello) = &request {
            let is_ours = hello.generation == pyro_protocol::GENERATION;
            self.phase = if is_ours { Phase::Greeted } else { Phase::Silent };
            self.port.send(StreamId::CONTROL, Event::Hello(our_hello()));
            return Ok(Then::Continue);
        }
        if self.phase == Phase::Silent {
            return Ok(Then::Continue);
        }
        match request {
            Request::Hello(_) => {}
            Request::Identity(identity) => match identity::take(&identity, &mut self.network) {
                Ok(()) => {
                    self.phase = Phase::Identified;
                    self.port.send(stream, Event::Identified(Identified {}));
                }
                Err(error) => {
                    self.phase = Phase::Greeted;
                    self.refuse(stream, error);
                }
            },
            Request::Clock(clock) => {
                if let Err(error) = identity::correct_clock(clock.wall_clock_ns) {
                    crate::report::log(&error.to_string());
                }
            }
            Request::Freeze(_) => self.freeze()?,
            Request::Unpack(request) => {
                let port = &mut self.port;
                let result = unpack::unpack(&request, |archive_bytes| {
                    port.send(stream, Event::UnpackProgress(UnpackProgress { archive_bytes }));
                    let _ = port.flush();
                });
                match result {
                    Ok(unpacked) => self.port.send(stream, Event::Unpacked(unpacked)),
                    Err(error) => self.refuse(stream, error),
                }
            }
            Request::Shutdown(_) => return Ok(Then::GoDown),
            Request::Exec(exec) => self.exec(stream, &exec),
            Request::Credit(credit) => {
                if let Some(command) = self.commands.get_mut(&stream) {
                    command.stdout.grant(credit.stdout);
                    command.stderr.grant(credit.stderr);
                }
            }
            Request::Signal(signal) => {
                if let Some(command) = self.commands.get_mut(&stream) {
                    command.signal(signal, &self.cgroups);
                }
            }
        }
        Ok(Then::Continue)
    }

    fn refuse(&mut self, stream: StreamId, error: io::Error) {
        let refused = Refused { reason: "failed".into(), message: error.to_string() };
        self.port.send(stream, Event::Refused(refused));
    }

    fn exec(&mut self, stream: StreamId, exec: &Exec) {
        if self.phase != Phase::Identified {
            let message = "the machine has no identity of its own, so nothing runs in it".into();
            self.port.send(stream, Event::Refused(Refused { reason: "not_identified".into(), message }));
            return;
        }
        if self.commands.contains_key(&stream) || stream == StreamId::CONTROL {
            let message = format!("stream {} is taken", stream.0);
            self.port.send(stream, Event::Refused(Refused { reason: "bad_request".into(), message }));
            return;
        }
        match Command::start(stream, exec, &mut self.cgroups) {
            Ok(command) => {
                let pid = command.pid().as_raw_nonzero().get() as u32;
                self.port.send(stream, Event::Started(Started { pid }));
                self.commands.insert(stream, command);
            }
            Err(refused) => self.port.send(stream, Event::Refused(refused)),
        }
    }

    /// Everything that a restored machine should not have to do again is done now.
    fn freeze(&mut self) -> io::Result<()> {
        self.cgroups.prepare_spare()?;
        rustix::fs::sync();
        let clock_source = std::fs::read_to_string(CLOCK_SOURCE).unwrap_or_default().trim().to_owned();
        self.port.send(StreamId::CONTROL, Event::Frozen(Frozen { clock_source }));
        self.phase = Phase::Silent;
        self.port.flush_all()
    }

    /// Collects every dead child: commands' first processes, and orphans that came to PID 1.
    fn reap(&mut self) {
        if !self.children.take() {
            return;
        }
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if let Some(command) = self.commands.values_mut().find(|command| command.pid() == pid) {
                command.reaped(status);
            }
        }
        self.commands.values_mut().for_each(|command| command.settle(&self.cgroups));
        self.tidy_groups();
    }

    fn enforce_limits(&mut self) {
        if self.commands.values().any(|command| command.deadline().is_some()) {
            let now = Instant::now();
            self.commands.values_mut().for_each(|command| command.enforce(now, &self.cgroups));
        }
    }

    fn pump(&mut self) {
        for command in self.commands.values_mut() {
            let taken = command.input.pump();
            if taken > 0 {
                self.port.send(command.stream, Event::Credit(StdinCredit { stdin: taken }));
            }
            command.stdout.pump(command.stream, &mut self.port);
            command.stderr.pump(command.stream, &mut self.port);
        }
        let scratch = &mut self.scratch;
        self.discarded.retain(|pipe| discard(pipe, scratch));
    }

    /// Says whether a command has ended.
    fn report_ended(&mut self) -> bool {
        let ended: Vec<_> =
            self.commands.values().filter_map(|command| Some((command.stream, command.outcome()?))).collect();
        let any = !ended.is_empty();
        for (stream, exited) in ended {
            self.port.send(stream, Event::Exited(exited));
            if let Some(command) = self.commands.remove(&stream) {
                let (cgroup, pipes) = command.into_leftovers();
                self.lingering.push(cgroup);
                self.discarded.extend(pipes);
            }
        }
        any
    }

    /// Groups in which nobody is left are there for other commands.
    fn tidy_groups(&mut self) {
        for cgroup in std::mem::take(&mut self.lingering) {
            self.lingering.extend(self.cgroups.give_back(cgroup));
        }
    }

    fn go_down(mut self) -> io::Result<()> {
        self.commands.values_mut().for_each(Command::abandon);
        self.lingering.iter().for_each(|cgroup| drop(cgroup.kill()));
        self.port.send(StreamId::CONTROL, Event::GoingDown(GoingDown {}));
        self.port.flush_all()
    }
}

fn our_hello() -> Hello {
    Hello {
        generation: pyro_protocol::GENERATION,
        capabilities: vec!["unpack".into(), pyro_protocol::files::CAPABILITY.into()],
        version: env!("CARGO_PKG_VERSION").into(),
    }
}
