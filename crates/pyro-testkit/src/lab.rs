//! A host and the world outside, in network namespaces that last as long as a [`Lab`].
//!
//! ```text
//! host (127.0.0.1, ::1, 10.9.0.1, 2001:db8:9::1) ── veth ── outside (198.51.100.80, 2001:db8:80::80,
//!   │ where `Lab::command` runs                              a name server, 169.254.169.254)
//!   └ listeners at each of its addresses, port 7001
//! ```

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Which routes the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routes {
    /// Default routes for IPv4 and IPv6.
    Both,
    /// A default route for IPv4; no address for IPv6 but loopback.
    Ipv4,
    /// A default route for IPv6; IPv4 as far as the link.
    Ipv6,
    /// Neither.
    None,
}

/// The namespaces, and who serves in them.
#[derive(Debug)]
pub struct Lab {
    child: Child,
    stdin: Option<ChildStdin>,
    /// In a user namespace of its own, too.
    unprivileged: bool,
    directory: PathBuf,
}

impl Lab {
    /// Builds it. `directory` is a directory of its own, `resolver` the host's name server.
    ///
    /// # Errors
    /// The reason why this host has no such thing, to skip with.
    pub fn new(directory: &Path, routes: Routes, resolver: &str) -> Result<Self, String> {
        let unprivileged = !rustix::process::geteuid().is_root();
        let mut command = Command::new("unshare");
        if unprivileged {
            command.args(["--user", "--map-root-user"]);
        }
        let routes = match routes {
            Routes::Both => "both",
            Routes::Ipv4 => "ipv4",
            Routes::Ipv6 => "ipv6",
            Routes::None => "none",
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/lab.sh");
        command.args(["--net", "--mount", "bash", script]).arg(directory).args([routes, resolver]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("unshare cannot be started: {error}"))?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let read = BufReader::new(stdout).read_line(&mut line);
        if read.is_ok() && line == "ready\n" {
            return Ok(Self { child, stdin, unprivileged, directory: directory.to_owned() });
        }
        drop(stdin);
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("no network namespaces here: {}", why.lines().last().unwrap_or("no reason was given")))
    }

    /// A command on the lab's host.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.child.id().to_string(), "--net", "--mount"]);
        if self.unprivileged {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }

    /// Who heard of something so far, a line each: `outside` or `host`, `tcp` or `udp`, address,
    /// port.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory.join("heard")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The end of its input ends it, and its servers with it.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
