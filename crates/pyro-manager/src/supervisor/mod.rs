//! The supervisor: one process for each VM or task, which owns everything of it.
//!
//! ```text
//! creator ──admits, makes the directory, starts the supervisor with its locks──▶ supervisor
//!    │                                                                             │
//!    │◀── notices ── Ready(record) ──────────────────────────── machine, guest, socket
//!    └── takes it (removes a file), hangs up ──▶ it stays       hangs up before ──▶ all is undone
//!
//! it stays: serves its socket ──Delete──▶ gone        ──expiry──▶ gone (remembered as expired)
//!              │ machine dies ──▶ stopped, journal readable, exec refused; it may be started again
//!              │ socket removed ──▶ machine ended, stopped, directory stays
//!              │ directory removed ──▶ machine ended, gone
//!              │ SIGTERM ──▶ machine ended, stopped, directory stays
//!              └ SIGKILL ──▶ the kernel kills the machine; whoever looks next settles the rest
//! ```
//!
//! [`launch`] is the creator's side, [`birth`] the supervisor's, [`rpc`] what is
//! said, [`request`] a command that is asked for, [`actor`] the
//! one owner of record and machine, [`life`] how it starts and stops them, [`command`] the life of one command, [`files`] the watch over its
//! files, [`connections`] the clients,
//! [`serve`] what each is answered, [`mailbox`] what they and the commands ask of the owner.

mod actor;
mod birth;
mod command;
mod connections;
mod driver;
mod files;
pub mod launch;
mod life;
mod mailbox;
pub mod request;
pub mod rpc;
mod serve;
mod start;
mod table;
mod transfer;

pub use files::SOCKET;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;

use pyro_hostfs::lock::Lock;
use tokio::net::UnixStream;

use crate::error::host;
use crate::{Config, Error, Pyro};
use actor::Actor;
use launch::{CONTROL, CREATING, LIFE, Launch};
use rpc::Connection;

/// The whole life of a supervisor process, started as [`Config::supervisor`] says. `open` makes the
/// manager it works with.
///
/// # Errors
/// What kept it from being one; it was told to the creator where there is one.
pub fn supervise(open: impl FnOnce(Config) -> Pyro) -> Result<(), Error> {
    let promised = |number| {
        pyro_sys::child::inherited(number).ok_or_else(|| Error::InvalidArgument {
            problem: "`pyro supervise` is started by pyro itself; use `pyro task create`".into(),
        })
    };
    let (control, life) = (promised(CONTROL)?, promised(LIFE)?);
    // One that takes an older machine over is given no third.
    let creating = pyro_sys::child::inherited(CREATING).map(Lock::inherited);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(host("make a runtime"))?;
    let result = runtime.block_on(live(open, control, Lock::inherited(life), creating));
    runtime.shutdown_background();
    result
}

async fn live(
    open: impl FnOnce(Config) -> Pyro,
    control: OwnedFd,
    life: Lock,
    creating: Option<Lock>,
) -> Result<(), Error> {
    let stream = || {
        let stream = StdStream::from(control);
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    };
    let mut creator = Connection::new(stream().map_err(host("reach the creator"))?);
    let Some(message) = creator.reader.message().await? else { return Ok(()) };
    let not_understood = |error| Error::InvalidArgument { problem: format!("its creator's message: {error}") };
    let launch: Launch = serde_json::from_slice(&message).map_err(not_understood)?;
    let pyro = open(launch.config.into());
    match Actor::prepare(Arc::new(pyro), launch.id, life).await {
        Ok(actor) => actor.live(creator, creating).await,
        Err(error) => {
            let _ = creator.send(&rpc::Reply::failed(&error)).await;
            Err(error)
        }
    }
}
