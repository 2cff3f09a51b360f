//! A command that a client wants, as supervisors and clients work with it.

use std::time::Duration;

use crate::workspace::check_command;
use crate::{Error, limits};

/// Bytes of a caller's name for an attempt.
const MAX_ATTEMPT_ID: usize = 1024;
/// Bytes of environment entries and directory; a command has its own bound. Together they fit into one frame.
const MAX_ENVIRONMENT: usize = 16 * 1024;
/// What an entry costs in a message besides its name and value.
const ENTRY_OVERHEAD: usize = 6;

/// A command.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecRequest {
    pub command: String,
    pub cwd: String,
    pub environment: Vec<(String, String)>,
    pub timeout_us: u64,
    pub attempt_id: Option<String>,
    /// Whether the client stays to read the output.
    pub attached: bool,
    /// Whether its standard input follows; otherwise it has none.
    pub stdin: bool,
    /// Whether everything is to be removed when the command is over.
    pub then_delete: bool,
}

impl ExecRequest {
    /// Whether a guest can be asked for it: a supervisor looks when it arrives, a client before it is sent. Afterwards
    /// it fits into one message to the guest, whatever is in it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], [`Error::OutOfRange`].
    pub fn check(&self) -> Result<(), Error> {
        check_command(&self.command)?;
        let refuse = |problem: String| Err(Error::InvalidArgument { problem });
        let unfit =
            |(key, value): &&(String, String)| key.is_empty() || key.contains(['=', '\0']) || value.contains('\0');
        if let Some((key, _)) = self.environment.iter().find(unfit) {
            return refuse(format!("{key:?} cannot be the name of an environment entry (KEY=VALUE)"));
        }
        if !self.cwd.starts_with('/') || self.cwd.contains('\0') {
            return refuse("the directory must be an absolute path without zero bytes".into());
        }
        if self.attempt_id.as_ref().is_some_and(|id| id.len() > MAX_ATTEMPT_ID) {
            return refuse(format!("the attempt id is longer than {MAX_ATTEMPT_ID} bytes"));
        }
        let entries = self.environment.iter().map(|(key, value)| key.len() + value.len() + ENTRY_OVERHEAD);
        let environment = self.cwd.len() + entries.sum::<usize>();
        if environment > MAX_ENVIRONMENT {
            let problem = format!(
                "directory and environment have {environment} bytes, {ENTRY_OVERHEAD} counted for each entry besides its own; \
                 {MAX_ENVIRONMENT} are allowed"
            );
            return refuse(problem);
        }
        limits::timeout(Duration::from_micros(self.timeout_us).as_secs_f64()).map(drop)
    }
}

/// Tells a repeated request from another one under the same attempt. Journals keep it, so that its form stays.
pub fn digest(request: &ExecRequest) -> String {
    let ExecRequest { command, cwd, environment, timeout_us, .. } = request;
    let text = serde_json::to_vec(&(command, cwd, environment, timeout_us)).expect("a request has string keys only");
    pyro_hostfs::digest::of_bytes(&text)
}
