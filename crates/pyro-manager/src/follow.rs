//! Following a command to its end: one driver for every command, whoever asked for it.
//!
//! ```text
//! output ─▶ sink (a caller's capture, or the journal and then its listener)
//! cancelled, or its time is up:
//!   the machine is its own  ─▶ over at once; the owner ends the machine
//!   the machine is shared   ─▶ command killed ─▶ its end is awaited ─▶ too late: the machine must be ended
//! ```

use std::time::Duration;

use bytes::Bytes;
use pyro_engine::Death;
use pyro_guest::{Exit, GuestError, OutputEvent};
use pyro_store::journal::Stream as OutputStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limits::host_time_limit;
use crate::workspace::CommandStream;

/// The guest enforces a command's time limit, and is told to when it is late ([`host_time_limit`]). This long after
/// that, the guest is given up.
const GUEST_GRACE: Duration = Duration::from_secs(30);
/// The exit code of a command that was killed by KILL.
const KILLED: i32 = 128 + 9;

/// Where a command's output goes.
pub(crate) trait Sink {
    /// Why the sink takes no more.
    type Error;

    /// The command runs.
    fn started(&mut self) {}

    /// Takes the next bytes of a stream. The command waits meanwhile, as it does for a full pipe.
    fn output(&mut self, stream: OutputStream, bytes: Bytes) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The guest does not end a command whose time is up: its machine must be ended.
    fn guest_hangs(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Whose machine a command runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    /// The command's own: it ends with the command.
    Own,
    /// Others' as well: only the command is ended.
    Shared,
}

/// Why a command was not followed to its own end.
#[derive(Debug)]
pub(crate) enum Broken<E> {
    /// It was cancelled, and its machine is to be ended.
    Cancelled,
    /// Its machine ended by itself.
    Died(Death),
    /// The guest is gone, refused the command, or makes no sense.
    Guest(GuestError),
    /// The sink took no more.
    Sink(E),
}

/// How a command is followed.
pub(crate) struct Follow<'a> {
    pub machine: Machine,
    /// The command's own time limit, which the guest enforces.
    pub timeout: Duration,
    pub cancel: &'a CancellationToken,
}

impl Follow<'_> {
    /// Follows the command to its end. `died` resolves when its machine has ended by itself, and never where somebody
    /// else watches the machine.
    pub async fn to_end<S: Sink>(
        &self,
        stream: &mut CommandStream,
        sink: &mut S,
        died: impl Future<Output = Death>,
    ) -> Result<Exit, Broken<S::Error>> {
        let began = Instant::now();
        let mut ending = Ending::default();
        let time_is_up = tokio::time::sleep(host_time_limit(self.timeout));
        tokio::pin!(time_is_up, died);
        loop {
            let event = tokio::select! {
                // A guest that never stops talking must not keep the other branches from being polled. What it said
                // before it died is heard before its death.
                biased;
                () = self.cancel.cancelled(), if !ending.cancelled => {
                    if self.machine == Machine::Own {
                        return Err(Broken::Cancelled);
                    }
                    ending.cancelled = true;
                    stream.kill();
                    continue;
                }
                () = &mut time_is_up, if !ending.gave_up => {
                    if self.machine == Machine::Own {
                        return Ok(timed_out(began.elapsed()));
                    }
                    if ending.late {
                        ending.gave_up = true;
                        sink.guest_hangs().await;
                    } else {
                        // The guest is late, or its clock is: the command's time is up, not the machine's.
                        ending.late = true;
                        stream.kill();
                        time_is_up.as_mut().reset(Instant::now() + GUEST_GRACE);
                    }
                    continue;
                }
                event = stream.next() => event,
                death = &mut died => return Err(Broken::Died(death)),
            };
            match event {
                Ok(OutputEvent::Started) => sink.started(),
                Ok(OutputEvent::Stdout(bytes)) => {
                    sink.output(OutputStream::Stdout, bytes).await.map_err(Broken::Sink)?;
                }
                Ok(OutputEvent::Stderr(bytes)) => {
                    sink.output(OutputStream::Stderr, bytes).await.map_err(Broken::Sink)?;
                }
                Ok(OutputEvent::Exited(exit)) => return Ok(ending.of(exit)),
                // Its machine was ended for it: no process of it is left.
                Err(_) if ending.gave_up => return Ok(timed_out(began.elapsed())),
                Err(error) => return Err(Broken::Guest(error)),
            }
        }
    }
}

/// What was done to end a command.
#[derive(Clone, Copy, Debug, Default)]
struct Ending {
    cancelled: bool,
    late: bool,
    gave_up: bool,
}

impl Ending {
    /// How the command ended. One that was over just before it was killed ended by itself.
    fn of(self, exit: Exit) -> Exit {
        if self.late && !self.cancelled && exit.code == KILLED {
            return Exit { out_of_memory: exit.out_of_memory, ..timed_out(exit.duration) };
        }
        exit
    }
}

fn timed_out(duration: Duration) -> Exit {
    Exit { code: pyro_guest::TIMED_OUT_EXIT_CODE, timed_out: true, out_of_memory: false, duration }
}
