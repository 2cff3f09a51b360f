//! Commands on the host itself: only where no guest can be had, and only when the caller asked for
//! it. There is no boundary then, and the result says so (`isolation.boundary` is `none`).
//!
//! A command runs in a directory of its machine's own, with its own environment, in its own session, below
//! a keeper (`pyro_sys::keeper`): whatever it starts stays below that, and is ended when the command is
//! over, or the thread that started it is. Descendants inherit a mark in their environment, too, by which
//! those are found whose keeper was killed.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Stdio};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use pyro_guest::{Exit, GuestError, OutputEvent};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, host};
use crate::id::VmId;
use crate::payload::WORKSPACE;

use super::command_spec::CommandSpec;
use super::host_processes::{MARK, end_marked};
use super::process_tree;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Pieces of output or input on their way.
const IN_FLIGHT: usize = 16;

/// What the caller is told before anything runs.
pub fn notice(why: &Error) -> String {
    let reason = why.failure().error;
    let first = reason.lines().next().unwrap_or_default();
    format!("no guest can run ({first}); running the command on this host, without isolation")
}

/// The host in place of a guest, for one machine.
pub(crate) struct HostWorkspace {
    id: VmId,
    /// The machine's directory.
    directory: PathBuf,
}

/// A command on the host.
pub struct HostRunning {
    events: mpsc::Receiver<OutputEvent>,
    input: Option<mpsc::Sender<Bytes>>,
    kill: CancellationToken,
    /// Nothing of it is left.
    pub over: CancellationToken,
}

/// One that nobody follows any more is ended.
impl Drop for HostRunning {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

impl HostWorkspace {
    /// For the machine `id`, whose directory is `directory`.
    pub fn new(id: VmId, directory: PathBuf) -> Self {
        Self { id, directory }
    }

    /// What is said where a guest would be asked for files.
    pub fn has_no_file_worker(&self) -> Error {
        let workspace = self.directory.join("workspace");
        let problem = format!(
            "file operations need a guest; this task runs on the host, and its files are in {}",
            workspace.display()
        );
        Error::InvalidArgument { problem }
    }

    /// Ends every process that is left.
    pub async fn end(self) {
        end_marked(&self.id).await;
    }

    /// Starts a command by the shell, in the machine's own directory.
    pub fn start(&self, spec: &CommandSpec<'_>) -> Result<HostRunning, Error> {
        let (command, ended) = self.command(spec)?;
        let mut keeper = Command::from(command).spawn().map_err(host("start the command"))?;
        let ended = Receiver::from_owned_fd(ended).map_err(host("hear of the command's end"))?;
        let (sender, events) = mpsc::channel(IN_FLIGHT);
        let (input, to_feed) = mpsc::channel(IN_FLIGHT);
        let (kill, over) = (CancellationToken::new(), CancellationToken::new());
        let mut feeding = JoinSet::new();
        if let Some(pipe) = keeper.stdin.take() {
            feeding.spawn(feed(pipe, to_feed));
        }
        let (killed, is_over, timeout) = (kill.clone(), over.clone().drop_guard(), spec.timeout);
        tokio::spawn(async move {
            let _is_over = is_over;
            follow(keeper, ended, timeout, &sender, &killed).await;
            drop(feeding);
        });
        Ok(HostRunning { events, input: Some(input), kill, over })
    }

    /// The keeper with the shell below it, and a descriptor that is at its end when the shell is.
    fn command(&self, spec: &CommandSpec<'_>) -> Result<(StdCommand, OwnedFd), Error> {
        let workspace = self.directory.join("workspace");
        pyro_hostfs::directory::private(&workspace).map_err(host("make the workspace"))?;
        let mut command = StdCommand::new("/bin/sh");
        command.args(["-c", spec.text]).current_dir(below_workspace(&workspace, spec.cwd)?).env_clear();
        command.env("PATH", PATH).env("HOME", &workspace).env("LANG", "C.UTF-8");
        command.envs(spec.environment.iter().map(|(key, value)| (key, value))).env(MARK, self.id.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (ended, ending) = std::io::pipe().map_err(host("make a pipe"))?;
        pyro_sys::child::inherit_nothing(&mut command);
        pyro_sys::keeper::keep(&mut command, ending.into());
        pyro_sys::child::new_session(&mut command);
        Ok((command, ended.into()))
    }
}

impl HostRunning {
    pub async fn next(&mut self) -> Result<OutputEvent, GuestError> {
        self.events.recv().await.ok_or(GuestError::Gone)
    }

    /// The way to its standard input; `Some` once.
    pub fn input(&mut self) -> Option<mpsc::Sender<Bytes>> {
        self.input.take()
    }

    pub fn kill(&self) {
        self.kill.cancel();
    }
}

/// The host's directory for a guest's: the workspace and what is below it.
fn below_workspace(workspace: &Path, cwd: &str) -> Result<PathBuf, Error> {
    let below = Path::new(cwd).strip_prefix(WORKSPACE).ok();
    let inside = below.filter(|path| path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
    let Some(inside) = inside else {
        let problem = format!("{cwd} is not below {WORKSPACE}; on the host, commands run only there");
        return Err(Error::InvalidArgument { problem });
    };
    let directory = workspace.join(inside);
    if directory.is_dir() {
        return Ok(directory);
    }
    Err(Error::InvalidArgument { problem: format!("{cwd} is not a directory") })
}

/// Passes the output on until the command is over, with all that it started, and its pipes are empty.
async fn follow(
    mut keeper: Child,
    ended: Receiver,
    timeout: Duration,
    events: &mpsc::Sender<OutputEvent>,
    kill: &CancellationToken,
) {
    let began = Instant::now();
    let pid = keeper.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let (mut out, mut err) = (keeper.stdout.take(), keeper.stderr.take());
    let (mut status, mut timed_out, mut ending) = (None, false, false);
    let limit = tokio::time::sleep(timeout);
    tokio::pin!(limit);
    let _ = events.send(OutputEvent::Started).await;
    while status.is_none() || out.is_some() || err.is_some() {
        let event = tokio::select! {
            biased;
            () = kill.cancelled(), if !ending => {
                ending = true;
                end_below(pid).await;
                continue;
            }
            piece = next(&mut out), if out.is_some() => match piece {
                Some(bytes) => OutputEvent::Stdout(bytes),
                None => {
                    out = None;
                    continue;
                }
            },
            piece = next(&mut err), if err.is_some() => match piece {
                Some(bytes) => OutputEvent::Stderr(bytes),
                None => {
                    err = None;
                    continue;
                }
            },
            // Its first process has ended, and what it left behind is to.
            _ = ended.readable(), if !ending => {
                ending = true;
                end_below(pid).await;
                continue;
            }
            over = keeper.wait(), if status.is_none() => {
                status = Some(over.unwrap_or_default());
                ending = true;
                continue;
            }
            () = &mut limit, if status.is_none() && !timed_out => {
                (timed_out, ending) = (true, true);
                end_below(pid).await;
                continue;
            }
        };
        tokio::select! {
            told = events.send(event) => if told.is_err() {
                // Nobody follows it any more: what it still says is not heard, and it is ended.
                kill.cancel();
            },
            // Whoever has it ended need not hear the rest first.
            () = kill.cancelled(), if !ending => {}
        }
    }
    use std::os::unix::process::ExitStatusExt;
    let status = status.unwrap_or_default();
    let code = match (timed_out, status.code(), status.signal()) {
        (true, ..) => 124,
        (false, Some(code), _) => code,
        (false, None, signal) => 128 + signal.unwrap_or(0),
    };
    let exit = Exit { code, timed_out, out_of_memory: false, duration: began.elapsed() };
    let _ = events.send(OutputEvent::Exited(exit)).await;
}

async fn next(pipe: &mut Option<impl AsyncRead + Unpin>) -> Option<Bytes> {
    let mut piece = BytesMut::with_capacity(64 * 1024);
    match pipe.as_mut()?.read_buf(&mut piece).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(piece.freeze()),
    }
}

async fn feed(mut pipe: ChildStdin, mut input: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = input.recv().await {
        if pipe.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Ends all that a keeper keeps. It need not be asked: it ends when nothing is below it.
async fn end_below(keeper: Option<Pid>) {
    let Some(keeper) = keeper else { return };
    // From here on it kills, too, what comes to be its child.
    let _ = rustix::process::kill_process(keeper, Signal::TERM);
    let _ = tokio::task::spawn_blocking(move || process_tree::end(keeper)).await;
}
