//! The three standard streams, each on a thread of its own, so that a slow terminal or a full pipe
//! never stands in the way of Ctrl-C.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use pyro_api::{Phase, RunEvent};
use tokio::sync::mpsc;

use crate::format::Format;
use crate::progress::Display;
use crate::terminal::{escaped, say};

/// Pieces of output or input on their way.
const IN_FLIGHT: usize = 16;
const PIECE: usize = 64 * 1024;

/// Why stdout could not be written, the first time.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// Exit code of a program that wrote to a closed pipe: 128 and SIGPIPE.
const BROKEN_PIPE: i32 = 141;

/// Writes pyro's own words to stdout; false when that failed, which [`exit_code`] knows afterwards.
pub fn print(text: &str) -> bool {
    print_as_it_is(&escaped(text))
}

/// Writes to stdout what is known to steer no terminal.
pub fn print_as_it_is(text: &str) -> bool {
    write_stdout(text.as_bytes()).is_ok()
}

/// Writes bytes to stdout, and remembers the first failure.
pub fn write_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.inspect_err(|error| {
        let copy = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        drop(UNWRITTEN.set(copy));
    })
}

/// The exit code of a command that ends with `code`, after a look at whether its output was written. A reader
/// that closed the pipe had enough; any other failure is said, and ends the program with `own_error`.
pub fn exit_code(code: i32, own_error: i32) -> i32 {
    match UNWRITTEN.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            say!("[error] the output could not be written: {error}");
            own_error
        }
        _ => code,
    }
}

/// The exit code of a command whose output could not be written completely.
pub fn unwritten(own_error: i32) -> i32 {
    exit_code(BROKEN_PIPE, own_error)
}

/// Reads stdin on a thread, no faster than it is taken. `None` where there is nothing to read.
pub fn read_input() -> Option<mpsc::Receiver<Bytes>> {
    if is_background_terminal() || is_null() {
        return None;
    }
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut piece = vec![0; PIECE];
        loop {
            match stdin.read(&mut piece) {
                Ok(0) => return,
                Ok(read) => {
                    if sender.blocking_send(Bytes::copy_from_slice(&piece[..read])).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    Some(receiver)
}

/// A terminal whose foreground is another program's: reading it would stop this one.
fn is_background_terminal() -> bool {
    let stdin = io::stdin();
    rustix::termios::isatty(&stdin) && rustix::termios::tcgetpgrp(&stdin).ok() != Some(rustix::process::getpgrp())
}

/// `/dev/null`, which most programs give to those they start.
fn is_null() -> bool {
    let file = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino, stat.st_rdev);
    let null = rustix::fs::stat("/dev/null").map(file);
    null.is_ok() && rustix::fs::fstat(io::stdin()).map(file) == null
}

/// How the writing of a run's events ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Everything was taken.
    All,
    /// Stdout could not be written; [`unwritten`] knows what to make of it.
    Closed,
}

/// The thread that writes a command's events.
pub struct Writer {
    thread: JoinHandle<Written>,
    accepted: Arc<AtomicBool>,
}

impl Writer {
    /// Waits until everything is written, or cannot be.
    pub fn join(self) -> Written {
        self.thread.join().unwrap_or(Written::Closed)
    }

    /// Whether the task has taken the command so far.
    pub fn was_accepted(&self) -> bool {
        self.accepted.load(Ordering::Acquire)
    }
}

/// Writes the events of the command `label` on a thread, until it is over.
pub fn write_events(label: &'static str, format: Format) -> (mpsc::Sender<RunEvent>, Writer) {
    let (sender, mut receiver) = mpsc::channel(IN_FLIGHT);
    let accepted = Arc::new(AtomicBool::new(false));
    let seen = accepted.clone();
    let thread = thread::spawn(move || {
        let mut display = Display::default();
        while let Some(event) = receiver.blocking_recv() {
            if matches!(event, RunEvent::Phase(Phase::Accepted { .. })) {
                seen.store(true, Ordering::Release);
            }
            if write_event(label, event, format, &mut display).is_err() {
                return Written::Closed; // dropping the receiver ends the run
            }
        }
        Written::All
    });
    (sender, Writer { thread, accepted })
}

fn write_event(label: &str, event: RunEvent, format: Format, display: &mut Display) -> io::Result<()> {
    match event {
        RunEvent::Environment(progress) => display.show(label, &progress),
        RunEvent::Notice(text) => {
            display.clear();
            say!("[{label}] notice: {text}");
        }
        RunEvent::Transferred { entries, bytes } => display.show_transfer(label, entries, bytes),
        RunEvent::Phase(phase) => {
            display.clear();
            if format == Format::Human && label == "run" {
                say!("{}", phase_line(&phase));
            }
        }
        // With --json the output stands in the object.
        RunEvent::Stdout(_) | RunEvent::Stderr(_) if format == Format::Json => {}
        RunEvent::Stdout(bytes) => write_stdout(&bytes)?,
        // A stderr that is closed or full takes nothing from the command and its exit code.
        RunEvent::Stderr(bytes) => drop(io::stderr().lock().write_all(&bytes)),
    }
    Ok(())
}

fn phase_line(phase: &Phase) -> String {
    match phase {
        Phase::Create { environment } => format!("[run] phase=create environment={environment}"),
        Phase::Start { vm_id } => format!("[run] phase=start vm_id={vm_id}"),
        Phase::Accepted { id, sequence } => format!("[run] phase=accepted id={id} sequence={sequence}"),
        Phase::Execute { vm_id } => format!("[run] phase=execute vm_id={vm_id}"),
    }
}
