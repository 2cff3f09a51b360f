//! Running the programs that fetch and build: their progress while they run, and their last output when
//! they fail.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};

use crate::EnvironmentError;
use crate::error::host;
use crate::tools::Tools;

/// Lines kept for a report, and the longest one, in bytes.
const LAST_WORDS: usize = 20;
const LONGEST_LINE: u64 = 4096;

/// A request to mmdebstrap.
pub struct Fetch<'a> {
    /// `minbase`: a system; `extract`: packages unpacked and not set up.
    pub variant: &'a str,
    /// The release.
    pub suite: &'a str,
    /// Packages beyond what the variant brings.
    pub packages: &'a [&'a str],
    /// The tar archive to write.
    pub archive: &'a Path,
    /// For mmdebstrap's own use: others must be able to enter it, because parts of mmdebstrap run
    /// under the ids of a user namespace.
    pub scratch: &'a Path,
}

/// Fetches packages from the release's archive, signed by the Debian archive keys, into one tar.
pub async fn fetch(tools: &Tools, fetch: Fetch<'_>, mut said: impl FnMut(&str)) -> Result<(), EnvironmentError> {
    let mut command = package_tool(tools).await?;
    command.arg(format!("--variant={}", fetch.variant)).arg("--format=tar");
    command.args(["--components=main", "--skip=output/mknod"]);
    for package in fetch.packages {
        command.arg(format!("--include={package}"));
    }
    // With no mirror named, mmdebstrap knows where Debian's archive is, security updates included.
    command.arg(fetch.suite).arg("-");
    let archive = File::create(fetch.archive).map_err(host("write the archive"))?;
    command.env("TMPDIR", fetch.scratch).stdin(Stdio::null()).stdout(archive);
    run_to_end("mmdebstrap", command, |line| {
        if let Some(detail) = line.strip_prefix("I: ").filter(|detail| tells_progress(detail)) {
            said(detail.trim_end_matches('.'));
        }
    })
    .await
}

/// The mmdebstrap command; as root, in its own mount namespace. As root, mmdebstrap mounts things below its
/// scratch directory. Mounts that a killed one leaves would prevent the removal of that directory.
async fn package_tool(tools: &Tools) -> Result<Command, EnvironmentError> {
    if rustix::process::geteuid().is_root() {
        let mut trial = tools.command("unshare")?;
        trial.args(["--mount", "true"]).stdin(Stdio::null()).stdout(Stdio::null());
        // Root in a container may not unshare, and may not mount either.
        if run_to_end("unshare", trial, |_| {}).await.is_ok() {
            let mut command = tools.command("unshare")?;
            tools.command("mmdebstrap")?;
            command.args(["--mount", "--propagation", "private", "mmdebstrap"]);
            return Ok(command);
        }
    }
    tools.command("mmdebstrap")
}

/// Keeps mmdebstrap's progress lines; drops its choices and its cleanup.
fn tells_progress(line: &str) -> bool {
    ["running apt-get", "downloading", "extracting", "installing", "creating"]
        .iter()
        .any(|start| line.starts_with(start))
}

/// Runs a program to its end. Each line of its standard error goes to `said`.
pub async fn run_to_end(
    program: &str,
    mut command: Command,
    mut said: impl FnMut(&str),
) -> Result<(), EnvironmentError> {
    let child = command.stderr(Stdio::piped()).spawn().map_err(|source| spawn_error(program, source))?;
    let mut asked = AskedToEnd { child, stderr: None };
    let AskedToEnd { child, stderr } = &mut asked;
    let mut last_words = VecDeque::new();
    *stderr = child.stderr.take().map(BufReader::new);
    if let Some(reader) = stderr {
        loop {
            let mut line = Vec::new();
            match (&mut *reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim();
            if !line.is_empty() {
                said(line);
                if last_words.len() == LAST_WORDS {
                    last_words.pop_front();
                }
                last_words.push_back(line.to_owned());
            }
        }
    }
    let status = child.wait().await.map_err(host(format!("wait for {program}")))?;
    if status.success() {
        return Ok(());
    }
    Err(EnvironmentError::Tool {
        program: program.into(),
        status: status.to_string(),
        last_words: last_words.into_iter().collect(),
    })
}

/// A program that gets SIGTERM when its caller stops waiting for the result, so that it can clean up.
/// pyro reads its output until it ends. A program that takes too
/// long is killed.
struct AskedToEnd {
    child: Child,
    stderr: Option<BufReader<ChildStderr>>,
}

/// How long a program may take to clean up.
const CLEAN_UP_LIMIT: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

impl Drop for AskedToEnd {
    fn drop(&mut self) {
        let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid as i32)) else { return };
        let _ = rustix::process::kill_process(pid, Signal::TERM);
        if let Ok(ended) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            let wait = || poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&CLEAN_UP_LIMIT));
            while wait() == Err(rustix::io::Errno::INTR) {}
        }
        let _ = self.child.start_kill();
    }
}

fn spawn_error(program: &str, source: io::Error) -> EnvironmentError {
    if source.kind() == io::ErrorKind::NotFound {
        EnvironmentError::MissingTool { program: program.into() }
    } else {
        EnvironmentError::Host { attempt: format!("start {program}"), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_failure_carries_the_programs_last_words() {
        let error = run_to_end("tool", shell("seq 100 >&2; echo last >&2; exit 3"), |_| {}).await.unwrap_err();
        assert_eq!(error.to_string(), "tool failed (exit status: 3): last");
        let EnvironmentError::Tool { last_words, .. } = error else { panic!("{error:?}") };
        assert_eq!(last_words.len(), LAST_WORDS);
    }

    #[tokio::test]
    async fn a_full_disk_is_recognised_in_what_a_program_says() {
        let script = "echo 'tar: x: Cannot write: No space left on device' >&2; exit 2";
        let error = run_to_end("tar", shell(script), |_| {}).await.unwrap_err();
        assert!(error.is_out_of_space());
    }

    #[tokio::test]
    async fn a_program_that_nobody_waits_for_any_more_may_clean_up() {
        let directory = tempfile::tempdir().unwrap();
        let (half, cleaned) = (directory.path().join("half"), directory.path().join("cleaned"));
        let script = format!(
            "trap 'echo bye >&2; rm {half}; touch {cleaned}; exit 1' TERM; touch {half}; echo up >&2; \
             while :; do sleep 0.05; done",
            half = half.display(),
            cleaned = cleaned.display()
        );
        let (up, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let running = run_to_end("tool", shell(&script), |_| up.send(()).unwrap());
        tokio::select! {
            _ = running => panic!("it does not end by itself"),
            _ = heard.recv() => {}
        }
        assert!(cleaned.exists() && !half.exists());
    }

    #[tokio::test]
    async fn progress_is_heard_line_by_line() {
        let mut lines = Vec::new();
        run_to_end("tool", shell("echo one >&2; echo two >&2"), |line| lines.push(line.to_owned())).await.unwrap();
        assert_eq!(lines, ["one", "two"]);
    }
}
