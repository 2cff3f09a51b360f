//! Following a command to its end, and the limits of its life.

use std::time::{Duration, Instant};

use pyro_engine::{Death, Machine};
use pyro_guest::{Exit, GuestError, OutputEvent};
use pyro_hostfs::permit::Permit;
use tokio::task::JoinSet;

use crate::clock::Timer;
use crate::error::{Error, Unavailable, host};
use crate::events::{RunEvent, RunIo, tell_unless};
use crate::execution::Execution;
use crate::limits::host_time_limit;
use crate::output::{Capture, Captured};

/// How long a command that runs may take for itself before others are restored beside it. Its first steps
/// are slow under software emulation, and most commands are over by then.
const REST_OF_TURN: Duration = Duration::from_millis(100);
/// How long the process of a machine whose channel has closed is waited for.
const DEATH_GRACE: Duration = Duration::from_secs(5);

/// What came of a command.
pub(crate) struct Executed {
    pub exit: Exit,
    pub stdout: Captured,
    pub stderr: Captured,
    pub took: Duration,
}

/// Follows a command to its end. It is over, too, when the machine it runs in is. The permit ends with
/// the command, or soon after it runs.
pub(crate) async fn execute(
    mut running: Execution,
    machine: Option<&mut dyn Machine>,
    permit: Option<Permit>,
    timeout: Duration,
    io: RunIo,
) -> Result<Executed, Error> {
    let began = Instant::now();
    let (mut machine, mut permit) = (machine, permit);
    let RunIo { events, stdin, cancel } = io;
    // Dropped with this function, however it ends.
    let mut beside = JoinSet::new();
    running.input().feed(stdin, &mut beside);
    let (mut stdout, mut stderr) = (Capture::default(), Capture::default());
    let backstop = tokio::time::sleep(host_time_limit(timeout));
    tokio::pin!(backstop);
    let exit = loop {
        let event = tokio::select! {
            // A guest that never stops talking must not keep the others from their turn; what it
            // said before it died is heard before its death.
            biased;
            () = cancel.cancelled() => break Err(Error::Cancelled),
            () = &mut backstop => break Ok(ended_by_host(timeout)),
            event = running.next() => event,
            death = end_by_itself(&mut machine) => break Err(Error::MachineLost { death }),
        };
        match event {
            Ok(OutputEvent::Started) => drop(beside.spawn(end_soon(permit.take()))),
            Ok(OutputEvent::Stdout(bytes)) => {
                stdout.push(&bytes);
                tell_unless(&cancel, &events, RunEvent::Stdout(bytes)).await?;
            }
            Ok(OutputEvent::Stderr(bytes)) => {
                stderr.push(&bytes);
                tell_unless(&cancel, &events, RunEvent::Stderr(bytes)).await?;
            }
            Ok(OutputEvent::Exited(exit)) => break Ok(exit),
            Err(GuestError::Refused(refusal)) => break Err(Error::CommandRefused(refusal)),
            Err(GuestError::Gone) => break Err(Error::MachineLost { death: end_of(machine).await }),
            Err(error) => break Err(Error::GuestNonsense(error)),
        }
    };
    Ok(Executed { exit: exit?, stdout: stdout.finish(), stderr: stderr.finish(), took: began.elapsed() })
}

async fn end_soon(permit: Option<Permit>) {
    tokio::time::sleep(REST_OF_TURN).await;
    drop(permit);
}

/// The machine is ended with everything in it, so no process of the command is left either.
fn ended_by_host(timeout: Duration) -> Exit {
    Exit { code: 124, timed_out: true, out_of_memory: false, duration: host_time_limit(timeout) }
}

async fn end_by_itself(machine: &mut Option<&mut dyn Machine>) -> Death {
    match machine {
        Some(machine) => machine.died().await,
        None => std::future::pending().await,
    }
}

/// The end of a machine whose channel was closed: its process's, or that it hangs.
pub(crate) async fn end_of(machine: Option<&mut dyn Machine>) -> Death {
    let closed = |console| Death { status: "the guest closed its channel".into(), complaints: Vec::new(), console };
    let Some(machine) = machine else { return closed(Vec::new()) };
    match tokio::time::timeout(DEATH_GRACE, machine.died()).await {
        Ok(death) => death,
        Err(_) => closed(machine.console_tail()),
    }
}

/// Resolves when a run may not go on, with the reason.
pub(crate) async fn end_of_life(life: Duration) -> Error {
    match Timer::ringing_after(life) {
        Ok(timer) => {
            timer.rung().await;
            Unavailable::RunExpired { ttl_seconds: life.as_secs() }.into()
        }
        Err(error) => host("set the timer of its life")(error),
    }
}
