//! One QEMU process.
//!
//! ```text
//! spawned ──QMP answers──▶ running ──save──▶ standing still
//!  │  └──────any────────────┴─────────────────┴──▶ gone (by itself, by halt, or by drop)
//!  └─ends before it answers──────▶ spawned again, with all of the host's files visible
//! ```
//!
//! The last path is for a QEMU in an unusual place, whose own files are unknown: no guest has run
//! until then, and the missing layers are reported.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};

use pyro_confinement::{AllowedPaths, Confined, Layers, Process};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::arguments::{CONSOLE_LOG, FIRST_DESCRIPTOR, NETWORK, arguments};
use super::files;
use super::program::Program;
use super::qmp::{Qmp, QmpError, Request};
use super::start::Start;
use crate::{Accelerator, BoxFuture, Death, Machine, MachineSpec, SaveError, StartError};

/// The file in the machine's directory that QEMU's own complaints are written to.
const COMPLAINTS_LOG: &str = "qemu.log";
/// Lines and bytes kept of each log for a report.
const TAIL_LINES: usize = 30;
const TAIL_BYTES: u64 = 16 * 1024;

/// The confinement of a machine's process on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// The layers in force, by name.
    pub layers: Vec<&'static str>,
    /// What is not in force, and why.
    pub missing: Vec<String>,
}

pub struct QemuMachine {
    process: Process,
    qmp: Qmp,
    channel: Option<UnixStream>,
    nic: Option<UnixStream>,
    accelerator: Accelerator,
    directory: PathBuf,
}

impl QemuMachine {
    pub async fn start(program: &Program, spec: &MachineSpec, start: Start<'_>) -> Result<Self, StartError> {
        let mut machine = Self::spawn(program, spec, &start, Layers::All)?;
        let mut came_up = machine.bring_up(&start).await;
        if came_up == Err(QmpError::Gone) && !machine.qmp.was_heard() {
            // Its control group is removed with it, because the next one has the same name.
            drop(machine);
            machine = Self::spawn(program, spec, &start, Layers::WithoutFiles)?;
            came_up = machine.bring_up(&start).await;
        }
        match came_up {
            Ok(()) => Ok(machine),
            Err(QmpError::Refused { command, message }) => Err(StartError::Refused { command, message }),
            Err(QmpError::Gone | QmpError::Nonsense) => Err(StartError::Died { death: machine.died().await }),
        }
    }

    fn spawn(program: &Program, spec: &MachineSpec, start: &Start<'_>, layers: Layers) -> Result<Self, StartError> {
        let (channel, their_channel) = stream_pair()?;
        let (qmp, their_qmp) = stream_pair()?;
        let mut inherited = vec![their_qmp, their_channel];
        let (ours, theirs) = stream_pair()?;
        inherited.push(theirs);
        // Without a network nobody has the other end, and the device leads nowhere.
        let nic = spec.nic.then_some(ours);
        let words = arguments(spec, start)?;
        let process = confined(program, spec, start, words, inherited, layers)
            .map_err(|source| StartError::Host { attempt: "start QEMU", source })?;
        let (qmp, channel, directory) = (Qmp::new(qmp), Some(channel), spec.directory.clone());
        Ok(Self { process, qmp, channel, nic, accelerator: spec.accelerator, directory })
    }

    async fn bring_up(&mut self, start: &Start<'_>) -> Result<(), QmpError> {
        let link: Request = ("set_link", json!({"name": NETWORK, "up": self.nic.is_some()}));
        match start {
            Start::Boot { .. } => {
                self.qmp.ask(&[("qmp_capabilities", Value::Null), link]).await?;
            }
            Start::Restore { state } => {
                let requests = [
                    ("qmp_capabilities", Value::Null),
                    ignore_shared_memory(),
                    ("migrate-incoming", json!({"channels": [file_channel(state)]})),
                ];
                // It was saved running, so it runs by itself when its state is there.
                self.qmp.ask(&requests).await?;
                self.qmp.event(&["RESUME"]).await?;
                if self.nic.is_some() {
                    // It was down when the state was saved, and that is restored, too.
                    self.qmp.ask(&[link]).await?;
                }
            }
        }
        Ok(())
    }

    async fn write_state(&mut self, state: &Path) -> Result<(), QmpError> {
        // Not stopped first: that would be saved, too, and a restored machine would stand still
        // until it is told to run. The migration stops it at its end.
        let requests = [
            ignore_shared_memory(),
            ("migrate-set-capabilities", json!({"capabilities": [{"capability": "events", "state": true}]})),
            ("migrate", json!({"channels": [file_channel(state)]})),
        ];
        self.qmp.ask(&requests).await?;
        loop {
            self.qmp.event(&["MIGRATION"]).await?;
            let answer = self.qmp.ask(&[("query-migrate", Value::Null)]).await?.pop().unwrap_or_default();
            match answer["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    let message =
                        answer["error-desc"].as_str().unwrap_or("QEMU did not write the machine's state").to_owned();
                    return Err(QmpError::Refused { command: "migrate", message });
                }
                _ => {}
            }
        }
    }

    fn death(&self, status: String) -> Death {
        let complaints = tail(&self.directory.join(COMPLAINTS_LOG));
        Death { status, complaints, console: self.console_tail() }
    }
}

impl Machine for QemuMachine {
    fn take_channel(&mut self) -> Option<UnixStream> {
        self.channel.take()
    }

    fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    fn layers(&self) -> &[&'static str] {
        self.process.layers()
    }

    fn take_nic_stream(&mut self) -> Option<UnixStream> {
        self.nic.take()
    }

    fn save<'a>(&'a mut self, state: &'a Path) -> BoxFuture<'a, Result<(), SaveError>> {
        Box::pin(async move {
            if state.to_str().is_none() {
                return Err(SaveError::Path { path: state.to_owned() });
            }
            // QEMU may write to existing files, but not create files.
            if let Err(error) = pyro_hostfs::write::private_file(state) {
                return Err(SaveError::Refused { message: format!("its file could not be created: {error}") });
            }
            match self.write_state(state).await {
                Ok(()) => Ok(()),
                Err(QmpError::Refused { message, .. }) => Err(SaveError::Refused { message }),
                Err(QmpError::Gone | QmpError::Nonsense) => Err(SaveError::Died { death: self.died().await }),
            }
        })
    }

    fn died(&mut self) -> BoxFuture<'_, Death> {
        Box::pin(async move {
            let status = match self.process.wait().await {
                Ok(status) => format!("QEMU ended with {status}"),
                Err(error) => format!("QEMU cannot be waited for: {error}"),
            };
            self.death(status)
        })
    }

    fn halt(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.process.kill().await;
        })
    }

    fn console_tail(&self) -> Vec<String> {
        tail(&self.directory.join(CONSOLE_LOG))
    }
}

/// Starts QEMU with its own files and nothing else.
fn confined(
    program: &Program,
    spec: &MachineSpec,
    start: &Start<'_>,
    words: Vec<String>,
    inherited: Vec<OwnedFd>,
    layers: Layers,
) -> io::Result<Process> {
    let complaints = pyro_hostfs::write::private_file(&spec.directory.join(COMPLAINTS_LOG))?;
    let mut descriptors = vec![null()?, null()?, complaints.into()];
    debug_assert_eq!(descriptors.len(), FIRST_DESCRIPTOR as usize);
    descriptors.extend(inherited);
    let (allowed, bounds) = (files::allowed(program, spec, start)?, files::bounds(spec)?);
    let cgroup = Some(files::cgroup(spec));
    Confined { program: program.path.clone(), words, descriptors, allowed, bounds, cgroup, layers }.start()
}

fn null() -> io::Result<OwnedFd> {
    File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from)
}

/// Asks QEMU for its version inside all layers, or inside those where that works.
pub async fn try_confinement(program: &Program) -> io::Result<Confinement> {
    let mut layers = Layers::All;
    loop {
        let allowed = AllowedPaths { readable: files::data(program), ..AllowedPaths::default() };
        let (words, descriptors) = (vec!["--version".to_owned()], vec![null()?, null()?, null()?]);
        let bounds = files::NO_MACHINE;
        let cgroup = Some(files::cgroup_of_nobody());
        let program = program.path.clone();
        let confined = Confined { program, words, descriptors, allowed, bounds, cgroup, layers };
        let mut process = confined.start()?;
        let ended = process.wait().await?;
        if ended == "exit status: 0" || layers == Layers::WithoutFiles {
            let missing = process.missing().iter().map(ToString::to_string).collect();
            return Ok(Confinement { layers: process.layers().to_vec(), missing });
        }
        layers = Layers::WithoutFiles;
    }
}

fn stream_pair() -> Result<(UnixStream, OwnedFd), StartError> {
    let pair = || {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((UnixStream::from_std(ours)?, OwnedFd::from(theirs)))
    };
    pair().map_err(|source| StartError::Host { attempt: "make a socket pair", source })
}

/// Memory in a file that the guest writes to directly is not part of the state.
fn ignore_shared_memory() -> Request {
    let capability = json!({"capability": "x-ignore-shared", "state": true});
    ("migrate-set-capabilities", json!({"capabilities": [capability]}))
}

fn file_channel(path: &Path) -> Value {
    let address = json!({"transport": "file", "filename": path.to_string_lossy(), "offset": 0});
    json!({"channel-type": "main", "addr": address})
}

/// The last lines of a log. Only its end is read: a guest may write as much as it likes.
fn tail(path: &Path) -> Vec<String> {
    use std::io::{Read, Seek, SeekFrom};
    let Ok(mut file) = File::open(path) else { return Vec::new() };
    let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
    let mut bytes = Vec::new();
    let read = file
        .seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))
        .and_then(|_| file.take(TAIL_BYTES).read_to_end(&mut bytes));
    if read.is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let printable = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
    let lines: Vec<String> = text.lines().map(printable).filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
}
