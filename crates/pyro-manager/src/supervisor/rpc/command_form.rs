//! A command of the journal in a message (the form on the socket).

use pyro_store::journal::{CommandRecord, EndRecord, StartRecord, Status, StreamEnd};
use serde::{Deserialize, Serialize};

/// A command, how it began, and how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandForm {
    began: StartForm,
    end: Option<EndForm>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StartForm {
    sequence: u64,
    command: String,
    cwd: String,
    attempt_id: Option<String>,
    request_digest: String,
    started_at: f64,
    execution_mode: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct EndForm {
    status: StatusForm,
    exit_code: Option<i32>,
    duration_ms: Option<u64>,
    finished_at: f64,
    out_of_memory: bool,
    reason: Option<String>,
    stdout: StreamForm,
    stderr: StreamForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatusForm {
    Running,
    Finished,
    TimedOut,
    Cancelled,
    Lost,
    Refused,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StreamForm {
    bytes: u64,
    kept: u64,
    crc32: Option<u32>,
    cut: Option<String>,
}

impl From<CommandRecord> for CommandForm {
    fn from(CommandRecord { began, end }: CommandRecord) -> Self {
        Self { began: began.into(), end: end.map(Into::into) }
    }
}

impl From<CommandForm> for CommandRecord {
    fn from(CommandForm { began, end }: CommandForm) -> Self {
        Self { began: began.into(), end: end.map(Into::into) }
    }
}

impl From<StartRecord> for StartForm {
    fn from(began: StartRecord) -> Self {
        let StartRecord { sequence, command, cwd, attempt_id, request_digest, started_at, execution_mode } = began;
        Self { sequence, command, cwd, attempt_id, request_digest, started_at, execution_mode }
    }
}

impl From<StartForm> for StartRecord {
    fn from(form: StartForm) -> Self {
        let StartForm { sequence, command, cwd, attempt_id, request_digest, started_at, execution_mode } = form;
        Self { sequence, command, cwd, attempt_id, request_digest, started_at, execution_mode }
    }
}

impl From<EndRecord> for EndForm {
    fn from(end: EndRecord) -> Self {
        let EndRecord { status, exit_code, duration_ms, finished_at, out_of_memory, reason, stdout, stderr } = end;
        let (status, stdout, stderr) = (status.into(), stdout.into(), stderr.into());
        Self { status, exit_code, duration_ms, finished_at, out_of_memory, reason, stdout, stderr }
    }
}

impl From<EndForm> for EndRecord {
    fn from(form: EndForm) -> Self {
        let EndForm { status, exit_code, duration_ms, finished_at, out_of_memory, reason, stdout, stderr } = form;
        let (status, stdout, stderr) = (status.into(), stdout.into(), stderr.into());
        Self { status, exit_code, duration_ms, finished_at, out_of_memory, reason, stdout, stderr }
    }
}

impl From<Status> for StatusForm {
    fn from(status: Status) -> Self {
        match status {
            Status::Running => Self::Running,
            Status::Finished => Self::Finished,
            Status::TimedOut => Self::TimedOut,
            Status::Cancelled => Self::Cancelled,
            Status::Lost => Self::Lost,
            Status::Refused => Self::Refused,
        }
    }
}

impl From<StatusForm> for Status {
    fn from(form: StatusForm) -> Self {
        match form {
            StatusForm::Running => Self::Running,
            StatusForm::Finished => Self::Finished,
            StatusForm::TimedOut => Self::TimedOut,
            StatusForm::Cancelled => Self::Cancelled,
            StatusForm::Lost => Self::Lost,
            StatusForm::Refused => Self::Refused,
        }
    }
}

impl From<StreamEnd> for StreamForm {
    fn from(StreamEnd { bytes, kept, crc32, cut }: StreamEnd) -> Self {
        Self { bytes, kept, crc32, cut }
    }
}

impl From<StreamForm> for StreamEnd {
    fn from(StreamForm { bytes, kept, crc32, cut }: StreamForm) -> Self {
        Self { bytes, kept, crc32, cut }
    }
}
