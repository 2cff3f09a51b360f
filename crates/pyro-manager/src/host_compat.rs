//! A command on the host itself: only where no guest can be had, and only when the caller asked for
//! it. There is no boundary then, and the result says so (`isolation.boundary` is `none`).
//!
//! The command runs in a directory of its own, with its own environment, in its own process group,
//! and dies with the thread that started it. Every descendant inherits a mark in its environment,
//! by which all of them are found and ended when the command is over.

use std::fs;
use std::process::{Command as StdCommand, Stdio};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use pyro_guest::Exit;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::host;
use crate::output::Capture;
use crate::payload::{HOST_COMPAT, Isolation, RunRecord};
use crate::run::{Executed, How, Phase, RunEvent, RunIo, RunRequest, record, tell, tell_unless};
use crate::vm::{VmDirectory, VmId};
use crate::{Error, Pyro};

const MARK: &str = "PYRO_HOST_COMPAT";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the command on the host; `why` is what kept a guest from being had.
pub async fn run(pyro: &Pyro, request: RunRequest, io: RunIo, why: &Error) -> Result<RunRecord, Error> {
    let began = Instant::now();
    let entry = pyro.store.entry(&request.environment)?;
    let id = VmId::random()?;
    let directory = VmDirectory::create(&pyro.vms(), &id)?;
    let reason = why.failure().error;
    let notice = format!(
        "no guest can be had ({}); running on this host, with no isolation",
        reason.lines().next().unwrap_or_default()
    );
    tell(&io.events, RunEvent::Notice(notice)).await?;
    tell(&io.events, RunEvent::Phase(Phase::Execute { vm_id: id.to_string() })).await?;
    let created = began.elapsed();
    let executed = execute(&request, &id, &directory, io).await;
    end_all(&id);
    directory.remove()?;
    let how = How {
        vm_id: id.to_string(),
        version: entry.version,
        execution_mode: HOST_COMPAT,
        accelerator: None,
        start_mode: None,
        isolation: Isolation { boundary: "none", layers: Vec::new() },
        created,
        start: std::time::Duration::ZERO,
    };
    Ok(record(request, how, executed?))
}

async fn execute(request: &RunRequest, id: &VmId, directory: &VmDirectory, io: RunIo) -> Result<Executed, Error> {
    let workspace = directory.path().join("workspace");
    fs::create_dir(&workspace).map_err(host("make the workspace"))?;
    let mut command = StdCommand::new("/bin/sh");
    command.args(["-c", &request.command]).current_dir(&workspace).env_clear();
    command.env("PATH", PATH).env("HOME", &workspace).env("LANG", "C.UTF-8").env(MARK, id.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    pyro_sys::child::new_session(&mut command);
    pyro_sys::child::die_with_parent(&mut command);
    let began = Instant::now();
    let mut child = Command::from(command).kill_on_drop(true).spawn().map_err(host("start the command"))?;
    let RunIo { events, stdin, cancel } = io;
    let feeding = child.stdin.take().map(|pipe| tokio::spawn(feed(pipe, stdin)));
    let result = follow(&mut child, request, id, &events, &cancel).await;
    if let Some(feeding) = feeding {
        feeding.abort();
    }
    let Followed { code, timed_out, stdout, stderr } = result?;
    let exit = Exit { code, timed_out, out_of_memory: false, duration: began.elapsed() };
    Ok(Executed { exit, stdout: stdout.finish(), stderr: stderr.finish(), took: began.elapsed() })
}

struct Followed {
    code: i32,
    timed_out: bool,
    stdout: Capture,
    stderr: Capture,
}

/// Passes the output on until the command is over and its pipes are empty. When its first process
/// ends, or its time is up, everything of it is ended, so the pipes come to their end.
async fn follow(
    child: &mut Child,
    request: &RunRequest,
    id: &VmId,
    events: &mpsc::Sender<RunEvent>,
    cancel: &CancellationToken,
) -> Result<Followed, Error> {
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Capture::default(), Capture::default());
    let (mut status, mut timed_out) = (None, false);
    let limit = tokio::time::sleep(request.timeout);
    tokio::pin!(limit);
    while status.is_none() || out.is_some() || err.is_some() {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Cancelled),
            piece = next(&mut out), if out.is_some() => match piece {
                Some(bytes) => {
                    stdout.push(&bytes);
                    tell_unless(cancel, events, RunEvent::Stdout(bytes)).await?;
                }
                None => out = None,
            },
            piece = next(&mut err), if err.is_some() => match piece {
                Some(bytes) => {
                    stderr.push(&bytes);
                    tell_unless(cancel, events, RunEvent::Stderr(bytes)).await?;
                }
                None => err = None,
            },
            ended = child.wait(), if status.is_none() => {
                status = Some(ended.map_err(host("wait for the command"))?);
                end_all(id);
            }
            () = &mut limit, if status.is_none() && !timed_out => {
                timed_out = true;
                end_all(id);
            }
        }
    }
    use std::os::unix::process::ExitStatusExt;
    let status = status.unwrap_or_default();
    let code = match (timed_out, status.code(), status.signal()) {
        (true, ..) => 124,
        (false, Some(code), _) => code,
        (false, None, signal) => 128 + signal.unwrap_or(0),
    };
    Ok(Followed { code, timed_out, stdout, stderr })
}

async fn next(pipe: &mut Option<impl AsyncRead + Unpin>) -> Option<Bytes> {
    let mut piece = BytesMut::with_capacity(64 * 1024);
    match pipe.as_mut()?.read_buf(&mut piece).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(piece.freeze()),
    }
}

async fn feed(mut pipe: ChildStdin, input: Option<mpsc::Receiver<Bytes>>) {
    let Some(mut input) = input else { return };
    while let Some(bytes) = input.recv().await {
        if pipe.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Kills every process that carries the mark, until a look finds none: one that forks meanwhile is
/// found by the next look.
fn end_all(id: &VmId) {
    let mark = format!("{MARK}={id}");
    let carries = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    };
    loop {
        let Ok(entries) = fs::read_dir("/proc") else { return };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let marked: Vec<i32> = pids.filter(|pid| carries(*pid)).collect();
        if marked.is_empty() {
            return;
        }
        for pid in marked.into_iter().filter_map(rustix::process::Pid::from_raw) {
            // One that is gone already is what is wanted.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}
