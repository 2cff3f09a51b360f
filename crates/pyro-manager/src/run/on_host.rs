//! A run on the host itself, where no guest can be had and the caller asked for it.

use std::time::{Duration, Instant};

use pyro_store::machines::Admission;

use super::follow::{end_of_life, execute};
use super::record::{How, record};
use super::request::RunRequest;
use crate::events::{Phase, RunEvent, RunIo, tell};
use crate::execution::Execution;
use crate::host_command::{HostCommand, notice};
use crate::host_processes::end_marked;
use crate::id::VmId;
use crate::payload::{HOST_COMPAT, Isolation, RunRecord, WORKSPACE};
use crate::vm_directory::VmDirectory;
use crate::{Error, Pyro};

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
