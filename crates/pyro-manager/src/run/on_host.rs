//! A run on the host itself, where no guest can be had and the caller asked for it.

use std::time::{Duration, Instant};

use pyro_store::machines::Admission;

use super::capture::{Failed, end_of_life, execute};
use super::record::{How, record};
use super::request::RunRequest;
use crate::events::{Phase, RunEvent, RunIo, tell};
use crate::id::VmId;
use crate::payload::{HOST_COMPAT, Isolation, RunRecord, WORKSPACE};
use crate::vm_directory::VmDirectory;
use crate::workspace::{CommandSpec, CommandStream, HostWorkspace, channel_closed, notice};
use crate::{Error, Pyro};

/// Runs the command on the host; `why` is what kept a guest from being had.
pub async fn run(pyro: &Pyro, request: RunRequest, io: RunIo, why: &Error) -> Result<RunRecord, Error> {
    let began = Instant::now();
    let entry = pyro.store.entry(&request.environment)?;
    let id = VmId::random()?;
    let directory = VmDirectory::create(&pyro.machines(), &id, Admission::Always).await?;
    tell(&io.events, RunEvent::Notice(notice(why))).await?;
    let created = began.elapsed();
    let spec = CommandSpec { text: &request.command, cwd: WORKSPACE, environment: &[], timeout: request.timeout };
    let workspace = HostWorkspace::new(id.clone(), directory.path().to_owned());
    let running = workspace.start(&spec)?;
    tell(&io.events, RunEvent::Phase(Phase::Execute { vm_id: id.to_string() })).await?;
    let over = running.over.clone();
    let executed = tokio::select! {
        biased;
        executed = execute(CommandStream::Host(running), std::future::pending(), None, request.timeout, io) => executed,
        error = end_of_life(request.options.ttl) => Err(Failed::Error(error)),
    };
    // Nothing of it is there any more, unless its keeper was killed.
    over.cancelled().await;
    workspace.end().await;
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
    match executed {
        Ok(executed) => Ok(record(request.environment, request.command, how, executed)),
        Err(Failed::ChannelClosed) => Err(Error::MachineLost { death: channel_closed(Vec::new()) }),
        Err(Failed::Error(error)) => Err(error),
    }
}
