//! Commands on the host itself: only where no guest can be had, and only when the caller asked for
//! it. There is no boundary then, and the result says so (`isolation.boundary` is `none`).
//!
//! A command runs in a directory of its machine's own, with its own environment, in its own session, below
//! a keeper (`pyro_sys::keeper`): whatever it starts stays below that, and is ended when the command is
//! over, or the thread that started it is. Descendants inherit a mark in their environment, too, by which
//! those are found whose keeper was killed.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
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

use crate::error::host;
use crate::execution::Execution;
use crate::machines::Admission;
use crate::payload::{HOST_COMPAT, Isolation, RunRecord, WORKSPACE};
use crate::run::{How, Phase, RunEvent, RunIo, RunRequest, end_of_life, execute, record, tell};
use crate::vm::{VmDirectory, VmId};
use crate::{Error, Pyro, process_tree};

const MARK: &str = "PYRO_HOST_COMPAT";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long to wait for the end of what was killed: all but what hangs in the kernel is gone at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// Room for an environment, as nearly all are.
const ENVIRONMENT_BYTES: usize = 128 * 1024;
/// Pieces of output or input on their way.
const IN_FLIGHT: usize = 16;

/// Runs the command on the host; `why` is what kept a guest from being had.
pub async fn run(pyro: &Pyro, request: RunRequest, io: RunIo, why: &Error) -> Result<RunRecord, Error> {
    let began = Instant::now();
    let entry = pyro.store.entry(&request.environment)?;
    let id = VmId::random()?;
    let directory = VmDirectory::create(&pyro.machines(), &id, Admission::Always).await?;
    tell(&io.events, RunEvent::Notice(notice(why))).await?;
    let created = began.elapsed();
    let running =
        HostCommand::new(&id, directory.path(), &request.command, WORKSPACE, &[], request.timeout)?.spawn()?;
    tell(&io.events, RunEvent::Phase(Phase::Execute { vm_id: id.to_string() })).await?;
    let over = running.over.clone();
    let executed = tokio::select! {
        biased;
        executed = execute(Execution::Host(running), None, None, request.timeout, io) => executed,
        error = end_of_life(request.options.ttl) => Err(error),
    };
    // Nothing of it is there any more, unless its keeper was killed.
    over.cancelled().await;
    end_marked(&id).await;
    directory.remove().await?;
    let how = How {
        vm_id: id.to_string(),
        version: entry.version.into(),
        execution_mode: HOST_COMPAT.into(),
        accelerator: None,
        start_mode: None,
        isolation: Isolation { boundary: "none".into(), layers: Vec::new() },
        created,
        start: Duration::ZERO,
        deleted: "post_exec_cleanup",
    };
    Ok(record(request.environment, request.command, how, executed?))
}

/// What the caller is told before anything runs.
pub fn notice(why: &Error) -> String {
    let reason = why.failure().error;
    let first = reason.lines().next().unwrap_or_default();
    format!("no guest can be had ({first}); running on this host, with no isolation")
}

/// A command to be run on the host.
pub struct HostCommand {
    command: StdCommand,
    /// At its end when the command's first process is.
    ended: OwnedFd,
    timeout: Duration,
}

/// A command on the host.
pub struct HostRunning {
    events: mpsc::Receiver<OutputEvent>,
    input: Option<mpsc::Sender<Bytes>>,
    kill: CancellationToken,
    /// Nothing of it is left.
    over: CancellationToken,
}

/// One that nobody follows any more is ended.
impl Drop for HostRunning {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

impl HostCommand {
    /// A shell command in the workspace of the machine `id`, whose directory is `machine`. `cwd` is
    /// the directory as a guest would name it.
    pub fn new(
        id: &VmId,
        machine: &Path,
        text: &str,
        cwd: &str,
        environment: &[(String, String)],
        timeout: Duration,
    ) -> Result<Self, Error> {
        let workspace = machine.join("workspace");
        pyro_hostfs::directory::private(&workspace).map_err(host("make the workspace"))?;
        let mut command = StdCommand::new("/bin/sh");
        command.args(["-c", text]).current_dir(below_workspace(&workspace, cwd)?).env_clear();
        command.env("PATH", PATH).env("HOME", &workspace).env("LANG", "C.UTF-8");
        command.envs(environment.iter().map(|(key, value)| (key, value))).env(MARK, id.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (ended, ending) = std::io::pipe().map_err(host("make a pipe"))?;
        pyro_sys::child::inherit_nothing(&mut command);
        pyro_sys::keeper::keep(&mut command, ending.into());
        pyro_sys::child::new_session(&mut command);
        Ok(Self { command, ended: ended.into(), timeout })
    }

    pub fn spawn(self) -> Result<HostRunning, Error> {
        let mut keeper = Command::from(self.command).spawn().map_err(host("start the command"))?;
        let ended = Receiver::from_owned_fd(self.ended).map_err(host("hear of the command's end"))?;
        let (sender, events) = mpsc::channel(IN_FLIGHT);
        let (input, to_feed) = mpsc::channel(IN_FLIGHT);
        let (kill, over) = (CancellationToken::new(), CancellationToken::new());
        let mut feeding = JoinSet::new();
        if let Some(pipe) = keeper.stdin.take() {
            feeding.spawn(feed(pipe, to_feed));
        }
        let (killed, is_over) = (kill.clone(), over.clone().drop_guard());
        tokio::spawn(async move {
            let _is_over = is_over;
            follow(keeper, ended, self.timeout, &sender, &killed).await;
            drop(feeding);
        });
        Ok(HostRunning { events, input: Some(input), kill, over })
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
        let problem = format!("{cwd} is not below {WORKSPACE}, and there is no guest that has more");
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

/// [`end_all`], off the event loop.
pub async fn end_marked(id: &VmId) {
    let id = id.clone();
    let _ = tokio::task::spawn_blocking(move || end_all(&id)).await;
}

/// Kills every process that carries the mark, and waits until a listing shows none but strangers.
/// A child has a higher number than its parent and the listing ascends, so one that is born
/// meanwhile is in this listing or in the next.
pub fn end_all(id: &VmId) {
    let mark = format!("{MARK}={id}");
    let began = Instant::now();
    let mut strangers = HashSet::new();
    while began.elapsed() < PATIENCE {
        let Ok(entries) = fs::read_dir("/proc") else { return };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let unknown: Vec<i32> = pids.filter(|pid| !strangers.contains(pid)).collect();
        if unknown.is_empty() {
            return;
        }
        for pid in unknown {
            match carries(pid, mark.as_bytes()) {
                Some(true) => kill(pid),
                Some(false) => drop(strangers.insert(pid)),
                None => {}
            }
        }
        std::thread::yield_now();
    }
}

fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // One that is gone already is what is wanted.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Whether the mark is in a process's environment; `None` while it becomes another program, and the
/// kernel has not told where the environment of the new one lies.
fn carries(pid: i32, mark: &[u8]) -> Option<bool> {
    let Ok(environment) = environment_of(pid) else { return Some(false) };
    if !environment.is_empty() {
        return Some(environment.split(|byte| *byte == 0).any(|entry| entry == mark));
    }
    // Empty, as many are; or read from memory that was let go a moment ago.
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return Some(false) };
    shows_no_environment(&stat).then_some(false)
}

/// Whether a process has no environment, by its `/proc/PID/stat` (fields as in proc_pid_stat(5)): it
/// is at its end, or has no memory, or its environment is a place of no length. The place is set
/// before the length (create_elf_tables in Linux's fs/binfmt_elf.c), and where its code begins after
/// both, so without that nothing is known.
fn shows_no_environment(stat: &str) -> bool {
    let (_, after_name) = stat.rsplit_once(')').unwrap_or_default();
    let field = |number: usize| after_name.split_ascii_whitespace().nth(number - 3).unwrap_or("0");
    let (state, memory, code) = (field(3), field(23), field(26));
    matches!(state, "0" | "Z" | "X") || memory == "0" || (code != "0" && field(50) == field(51))
}

/// The environment of a process. Only what one system call reads belongs together: between two, the
/// memory that is read may go, and what is left then looks like the end of it.
fn environment_of(pid: i32) -> std::io::Result<Vec<u8>> {
    let mut file = fs::File::open(format!("/proc/{pid}/environ"))?;
    let mut environment = vec![0; ENVIRONMENT_BYTES];
    let mut length = file.read(&mut environment)?;
    while length == environment.len() {
        environment.resize(2 * length, 0);
        match file.read(&mut environment[length..])? {
            0 => return Ok(Vec::new()),
            more => length += more,
        }
    }
    environment.truncate(length);
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    #[test]
    fn an_environment_is_empty_only_where_its_place_is_known() {
        let stat = |state: &str, memory: u64, code: u64, environment: [u64; 2]| {
            let [begin, end] = environment;
            let (before, between) = (["1"; 19].join(" "), ["2"; 23].join(" "));
            format!("7 (a) b) {state} {before} {memory} 5 6 {code} {between} {begin} {end} 0\n")
        };
        assert!(shows_no_environment(&stat("S", 4096, 7, [9, 9])), "started with none");
        assert!(shows_no_environment(&stat("R", 0, 0, [0, 0])), "a thread of the kernel");
        assert!(shows_no_environment(&stat("Z", 4096, 0, [0, 0])), "ended");
        assert!(!shows_no_environment(&stat("R", 4096, 0, [0, 0])), "becoming another program");
        assert!(!shows_no_environment(&stat("R", 4096, 0, [9, 9])), "its length not known yet");
        assert!(!shows_no_environment(&stat("R", 4096, 7, [9, 12])), "became one after the look");
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        assert!(!shows_no_environment(&own), "this test has an environment");
        assert_eq!(carries(rustix::process::getpid().as_raw_nonzero().get(), b"HOME=/none"), Some(false));
    }

    #[test]
    fn those_that_become_another_program_all_the_time_are_ended() {
        // One process starts all of them: each fork of this one holds the locks of other tests for
        // a moment.
        const START: &str =
            "while read id; do PYRO_HOST_COMPAT=$id /bin/sh -c 'echo; exec /bin/sh \"$0\"' \"$0\" & done";
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("again");
        fs::write(&script, "exec /bin/sh \"$0\"\n").unwrap();
        let mut command = StdCommand::new("/bin/sh");
        command.args(["-c", START]).arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // Open as long as one of them is there.
        let mut open = child.stdout.take().unwrap();
        let ids: Vec<VmId> = (0..300).map(|_| VmId::random().unwrap()).collect();
        for id in &ids {
            input.write_all(format!("{id}\n").as_bytes()).unwrap();
            open.read_exact(&mut [0]).unwrap();
            end_all(id);
        }
        drop(input);
        child.wait().unwrap();
        let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&open, PollFlags::IN)], Some(&patience)).unwrap();
        ids.iter().for_each(end_all);
        assert_eq!(ended, 1, "some of them were left");
    }
}
