//! A run's command: its output goes to the caller as it comes, and its ends are kept for the payload.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pyro_engine::Death;
use pyro_guest::{Exit, GuestError};
use pyro_hostfs::permit::Permit;
use pyro_store::journal::Stream as OutputStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Timer;
use crate::error::{Error, Unavailable, host};
use crate::events::{RunEvent, RunIo, tell_unless};
use crate::follow::{Broken, Follow, Machine, Sink};
use crate::output::{Capture, Captured};
use crate::workspace::CommandStream;

/// How long a command that runs may take for itself before others are restored beside it. Its first instructions
/// are slow under software emulation, and most commands are over by then.
const REST_OF_PERMIT: Duration = Duration::from_millis(100);

/// What came of a command.
pub(crate) struct Executed {
    pub exit: Exit,
    pub stdout: Captured,
    pub stderr: Captured,
    pub took: Duration,
}

/// Follows a command in a machine of its own. The permit ends with the command, or soon after it runs.
///
/// # Errors
/// [`Failed`]; the command was not run, or how it ended is unknown.
pub(super) async fn execute(
    mut stream: CommandStream,
    died: impl Future<Output = Death>,
    permit: Option<Permit>,
    timeout: Duration,
    io: RunIo,
) -> Result<Executed, Failed> {
    let began = Instant::now();
    let RunIo { events, stdin, cancel } = io;
    // Dropped with this function, however it ends.
    let mut beside = JoinSet::new();
    stream.input().feed(stdin, &mut beside);
    let (stdout, stderr) = (Capture::default(), Capture::default());
    let mut sink = Caller { stdout, stderr, events, cancel: cancel.clone(), permit, beside };
    let follow = Follow { machine: Machine::Own, timeout, cancel: &cancel };
    let exit = follow.to_end(&mut stream, &mut sink, died).await?;
    Ok(Executed { exit, stdout: sink.stdout.finish(), stderr: sink.stderr.finish(), took: began.elapsed() })
}

/// Why a run's command was not followed to its end.
pub(super) enum Failed {
    /// The guest closed its channel: its machine's end says why.
    ChannelClosed,
    /// All else.
    Error(Error),
}

impl From<Broken<Error>> for Failed {
    fn from(broken: Broken<Error>) -> Self {
        Self::Error(match broken {
            Broken::Cancelled => Error::Cancelled,
            Broken::Died(death) => Error::MachineLost { death },
            Broken::Guest(GuestError::Gone) => return Self::ChannelClosed,
            Broken::Guest(GuestError::Refused(refusal)) => Error::CommandRefused(refusal),
            Broken::Guest(error) => Error::GuestNonsense(error),
            Broken::Sink(error) => error,
        })
    }
}

/// The caller of a run.
struct Caller {
    stdout: Capture,
    stderr: Capture,
    events: mpsc::Sender<RunEvent>,
    cancel: CancellationToken,
    permit: Option<Permit>,
    beside: JoinSet<()>,
}

impl Sink for Caller {
    type Error = Error;

    fn started(&mut self) {
        let permit = self.permit.take();
        self.beside.spawn(async move {
            tokio::time::sleep(REST_OF_PERMIT).await;
            drop(permit);
        });
    }

    async fn output(&mut self, stream: OutputStream, bytes: Bytes) -> Result<(), Error> {
        let event = match stream {
            OutputStream::Stdout => {
                self.stdout.push(&bytes);
                RunEvent::Stdout(bytes)
            }
            OutputStream::Stderr => {
                self.stderr.push(&bytes);
                RunEvent::Stderr(bytes)
            }
        };
        tell_unless(&self.cancel, &self.events, event).await
    }
}

/// Resolves when a run may not go on, with the reason.
pub(super) async fn end_of_life(life: Duration) -> Error {
    match Timer::ringing_after(life) {
        Ok(timer) => {
            timer.rung().await;
            Unavailable::RunExpired { ttl_seconds: life.as_secs() }.into()
        }
        Err(error) => host("set the timer of its life")(error),
    }
}
