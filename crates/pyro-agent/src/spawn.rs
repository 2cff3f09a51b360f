//! Starting a command's first process.
//!
//! Nothing is done between fork and exec that the standard library cannot hand to the kernel as it
//! is, so that it need not copy the agent first (posix_spawn): the program is looked up here, and
//! the control group is entered by the agent itself for the moment of the start.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use pyro_protocol::message::{Argv, Exec, Refused};
use rustix::fs::{Access, access};
use rustix::process::Pid;

use crate::cgroup::{Cgroup, Cgroups};
use crate::files;
use crate::pipes::{non_blocking, pipe};

/// What every command finds in its environment, before what the host adds.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("USER", "root"),
    ("LOGNAME", "root"),
    ("SHELL", "/bin/sh"),
    ("LANG", "C.UTF-8"),
];

/// The agent's own program, which is in no directory of the guest.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// A process that was started, and the agent's ends of its pipes; of its outputs' both.
pub struct Spawned {
    pub pid: Pid,
    pub stdin: OwnedFd,
    pub stdout: (OwnedFd, OwnedFd),
    pub stderr: (OwnedFd, OwnedFd),
}

/// Starts the first candidate that can be executed.
pub fn spawn(exec: &Exec, cgroups: &Cgroups, cgroup: &Cgroup) -> Result<Spawned, Refused> {
    if exec.file_worker {
        let words = [b"pyro-agent".to_vec(), files::ARGUMENT.into()].to_vec();
        let started = start(Path::new(OWN_PROGRAM), &Argv { words }, &[], Path::new("/"), cgroups, cgroup);
        return started.map_err(|error| refused("failed", format!("the file worker: {error}")));
    }
    let directory = Path::new(OsStr::from_bytes(&exec.working_directory));
    if !directory.is_dir() {
        return Err(refused("no_directory", format!("{} is not a directory", directory.display())));
    }
    let environment = environment(exec);
    let mut last = refused("bad_request", "no command was given".into());
    for candidate in &exec.candidates {
        let Some(program) = candidate.words.first() else { continue };
        let program = OsStr::from_bytes(program);
        let started = find(program, &environment, directory)
            .and_then(|found| start(&found, candidate, &environment, directory, cgroups, cgroup));
        let error = match started {
            Ok(spawned) => return Ok(spawned),
            Err(error) => error,
        };
        let program = program.display();
        last = match error.kind() {
            io::ErrorKind::NotFound => refused("not_found", format!("{program}: not found")),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ExecutableFileBusy => {
                refused("not_executable", format!("{program}: {error}"))
            }
            _ => refused("failed", format!("{program}: {error}")),
        };
    }
    Err(last)
}

fn start(
    found: &Path,
    candidate: &Argv,
    environment: &[(OsString, OsString)],
    directory: &Path,
    cgroups: &Cgroups,
    cgroup: &Cgroup,
) -> io::Result<Spawned> {
    let (stdin_theirs, stdin) = pipe()?;
    let (stdout, stdout_theirs) = pipe()?;
    let (stderr, stderr_theirs) = pipe()?;
    for ours in [&stdin, &stdout, &stderr] {
        non_blocking(ours)?;
    }
    let mut process = Process::new(found);
    let mut words = candidate.words.iter().map(|word| OsStr::from_bytes(word));
    if let Some(name) = words.next() {
        process.arg0(name);
    }
    process.args(words).current_dir(directory).process_group(0);
    process.env_clear().envs(environment.iter().map(|(key, value)| (key, value)));
    process.stdin(Stdio::from(stdin_theirs));
    process.stdout(Stdio::from(stdout_theirs.try_clone()?)).stderr(Stdio::from(stderr_theirs.try_clone()?));
    let child = cgroups.spawn(&mut process, cgroup)?;
    // Reaped by the server together with everybody else's children.
    Ok(Spawned {
        pid: Pid::from_child(&child),
        stdin,
        stdout: (stdout, stdout_theirs),
        stderr: (stderr, stderr_theirs),
    })
}

/// The agent's own, and then the host's additions, of which the last of a name counts.
fn environment(exec: &Exec) -> Vec<(OsString, OsString)> {
    let mut all: Vec<(OsString, OsString)> =
        ENVIRONMENT.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    for entry in &exec.environment {
        let at = entry.iter().position(|byte| *byte == b'=').unwrap_or(entry.len());
        let (key, value) = (OsStr::from_bytes(&entry[..at]), entry.get(at + 1..).unwrap_or_default());
        all.retain(|(known, _)| known != key);
        all.push((key.to_owned(), OsStr::from_bytes(value).to_owned()));
    }
    all
}

/// Where a program is, the way execvp(3) looks for it.
fn find(program: &OsStr, environment: &[(OsString, OsString)], directory: &Path) -> io::Result<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Ok(program.into());
    }
    let path = environment.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_bytes()).unwrap_or_default();
    let mut denied = false;
    for place in path.split(|byte| *byte == b':') {
        // An empty place is the command's own directory.
        let candidate = directory.join(OsStr::from_bytes(place)).join(program);
        match access(&candidate, Access::EXEC_OK) {
            Ok(()) if candidate.is_file() => return Ok(candidate),
            Err(rustix::io::Errno::ACCESS) => denied = true,
            _ => {}
        }
    }
    Err(if denied { io::ErrorKind::PermissionDenied } else { io::ErrorKind::NotFound }.into())
}

pub fn refused(reason: &str, message: String) -> Refused {
    Refused { reason: reason.into(), message }
}
