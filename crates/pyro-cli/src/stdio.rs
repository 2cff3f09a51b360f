//! The three standard streams, each on a thread of its own, so that a slow terminal or a full pipe
//! never stands in the way of Ctrl-C.

use std::io::{self, ErrorKind, Read, Write};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use pyro_manager::{Phase, RunEvent};
use tokio::sync::mpsc;

use crate::failure::Format;
use crate::progress::Display;
use crate::terminal::escaped;

/// Pieces of output or input on their way.
const IN_FLIGHT: usize = 16;
const PIECE: usize = 64 * 1024;

/// Writes pyro's own words to stdout; false when nobody reads them any more.
pub fn print(text: &str) -> bool {
    print_as_it_is(&escaped(text))
}

/// Writes to stdout what is known to steer no terminal.
pub fn print_as_it_is(text: &str) -> bool {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
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
    /// Somebody closed the other end of stdout or stderr.
    Closed,
}

/// Writes the events of the command `label` on a thread, until it is over.
pub fn write_events(label: &'static str, format: Format) -> (mpsc::Sender<RunEvent>, JoinHandle<Written>) {
    let (sender, mut receiver) = mpsc::channel(IN_FLIGHT);
    let writer = thread::spawn(move || {
        let mut display = Display::default();
        while let Some(event) = receiver.blocking_recv() {
            if write_event(label, event, format, &mut display).is_err() {
                return Written::Closed; // dropping the receiver ends the run
            }
        }
        Written::All
    });
    (sender, writer)
}

fn write_event(label: &str, event: RunEvent, format: Format, display: &mut Display) -> io::Result<()> {
    match event {
        RunEvent::Environment(progress) => display.show(label, &progress),
        RunEvent::Notice(text) => {
            display.clear();
            writeln!(io::stderr(), "[{label}] notice: {}", escaped(&text))?;
        }
        RunEvent::Phase(phase) => {
            display.clear();
            if format == Format::Human && label == "run" {
                writeln!(io::stderr(), "{}", escaped(&phase_line(&phase)))?;
            }
        }
        // With --json the output stands in the object.
        RunEvent::Stdout(_) | RunEvent::Stderr(_) if format == Format::Json => {}
        RunEvent::Stdout(bytes) => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(&bytes)?;
            stdout.flush()?;
        }
        RunEvent::Stderr(bytes) => io::stderr().lock().write_all(&bytes)?,
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
