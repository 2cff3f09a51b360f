//! The payload of a run: how the command was run, and what came of it.

use std::time::Duration;

use super::capture::Executed;
use crate::clock::millis;
use crate::payload::{Cleanup, Isolation, RunRecord, StartMode, Timings};

/// How a command was run, for its record.
pub(crate) struct How {
    pub vm_id: String,
    pub version: String,
    pub execution_mode: String,
    pub accelerator: Option<String>,
    pub start_mode: Option<StartMode>,
    pub isolation: Isolation,
    pub created: Duration,
    pub start: Duration,
    pub deleted: &'static str,
}

/// The contract's payload.
pub(crate) fn record(environment: String, command: String, how: How, executed: Executed) -> RunRecord {
    let Executed { exit, stdout, stderr, took } = executed;
    RunRecord {
        environment,
        environment_version: how.version,
        command,
        stdout: stdout.text,
        stderr: stderr.text,
        stdout_truncated: stdout.truncated,
        stderr_truncated: stderr.truncated,
        stdout_bytes: stdout.bytes,
        stderr_bytes: stderr.bytes,
        exit_code: exit.code,
        timed_out: exit.timed_out,
        out_of_memory: exit.out_of_memory,
        duration_ms: u64::try_from(exit.duration.as_millis()).unwrap_or(u64::MAX),
        execution_mode: how.execution_mode,
        accelerator: how.accelerator,
        start_mode: how.start_mode,
        isolation: how.isolation,
        timings_ms: Timings { create: millis(how.created), start: millis(how.start), exec: millis(took) },
        cleanup: Cleanup { vm_id: how.vm_id.clone(), deleted: true, reason: how.deleted },
        vm_id: how.vm_id,
    }
}
