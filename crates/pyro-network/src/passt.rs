//! The program passt: finding it, reading its version, starting it.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use pyro_confinement::Bounds;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr};

use crate::error::host;
use crate::{NetworkError, Plan};

/// The descriptor it gets its socket as.
const SOCKET: i32 = 3;
/// What it may use up. It keeps tables of some megabytes, writes no file, and has a socket for each
/// connection of its guest.
const BOUNDS: Bounds = Bounds { address_space: 4 << 30, file: 0, descriptors: 4096 };
/// Bytes of a line of its complaints that are read.
const LONGEST_LINE: u64 = 1024;
/// Bytes of its answer to `--version` that are read.
const VERSION_BYTES: u64 = 1024;

/// A passt that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passt {
    /// Its path.
    pub path: PathBuf,
}

/// A passt that runs.
pub struct Running {
    pub child: Child,
    pub complaint: Complaint,
}

/// The last line a passt complained with.
#[derive(Clone, Debug, Default)]
pub struct Complaint(Arc<Mutex<Option<String>>>);

impl Passt {
    /// Finds `name` in the directories of `search_path`, or takes it as a path when it has a slash.
    ///
    /// # Errors
    /// [`NetworkError::Missing`].
    pub fn find(name: &Path, search_path: &[PathBuf]) -> Result<Self, NetworkError> {
        let path = pyro_hostfs::program::find(name, search_path);
        path.map(|path| Self { path }).ok_or_else(|| NetworkError::Missing { program: name.to_owned() })
    }

    /// The first line of what it says of its version; `None` when it cannot be started.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        let mut command = Command::new(&self.path);
        let mut child = command
            .arg("--version")
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut text = String::new();
        let read = child.stdout.take()?.take(VERSION_BYTES).read_to_string(&mut text);
        let _ = child.wait();
        read.ok()?;
        text.lines().next().map(str::to_owned)
    }

    /// Starts it with its end of the wire. It confines itself: a user namespace of its own (or the
    /// user nobody, when it is started by root), an empty root, no capabilities, seccomp.
    pub fn start(&self, plan: &Plan, socket: OwnedFd) -> Result<Running, NetworkError> {
        let mut command = Command::new(&self.path);
        command.args(plan.words(SOCKET)).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        pyro_sys::child::new_session(&mut command);
        // It forgets this when it changes its user; then the end of its socket is its end.
        pyro_sys::child::die_with_parent(&mut command);
        pyro_sys::child::attempt(&mut command, pyro_confinement::beside_its_own(BOUNDS).0);
        pyro_sys::child::inherit_nothing(&mut command);
        pyro_sys::child::inherit(&mut command, SOCKET, vec![socket]).map_err(host("pass a socket to passt"))?;
        let mut command = tokio::process::Command::from(command);
        let mut child = command.kill_on_drop(true).spawn().map_err(host("start passt"))?;
        let complaint = Complaint::default();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(complaint.clone().listen(stderr));
        }
        Ok(Running { child, complaint })
    }
}

impl Complaint {
    /// Its last message.
    pub fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads its messages until it closes the stream.
    async fn listen(self, stderr: ChildStderr) {
        let mut reading = BufReader::new(stderr);
        while let Ok(Some(line)) = line(&mut reading).await {
            // It says each line to the system's log too, and complains where there is none.
            let printable: String = line.chars().filter(|c| !c.is_control()).collect();
            if !printable.trim().is_empty() && !printable.contains("to syslog") {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(printable);
            }
        }
    }
}

/// The next line, or the first of it where it is too long.
async fn line(reading: &mut BufReader<ChildStderr>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = reading.take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
    Ok((read > 0).then(|| String::from_utf8_lossy(&line).into_owned()))
}
