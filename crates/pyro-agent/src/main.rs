//! The guest's PID 1.
//!
//! ```text
//! boot:  mounts → modules → the host's port → root disk (when the kernel was told one)
//! serve: one thread, one poll(2): port, child signals, pipes of the running commands
//! end:   Shutdown from the host (commands killed, disks written, power off)
//! ```
//!
//! One thread owns everything, so there is nothing to lock and nothing that a fork could copy half
//! way. The agent trusts the host; it trusts no command: each has a control group of its own, and
//! whatever a command does, the agent goes on serving the others.
#![forbid(unsafe_code)]

mod boot;
mod cgroup;
mod command;
mod identity;
mod modules;
mod network;
mod pipes;
mod port;
mod server;
mod spawn;
mod strays;
mod unpack;

use std::process::ExitCode;

fn main() -> ExitCode {
    if rustix::process::getpid() != rustix::process::Pid::INIT {
        log("pyro-agent is the first process of a pyro guest and does nothing anywhere else");
        return ExitCode::from(2);
    }
    match boot::bring_up().and_then(|(port, cgroups)| server::Server::new(port, cgroups)?.serve()) {
        Ok(()) => boot::power_off(),
        Err(error) => {
            // PID 1 may not end: the kernel panics, the machine stops, and the host shows this line.
            log(&format!("fatal: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to the guest's console.
#[expect(clippy::print_stderr, reason = "standard error is the guest's console here")]
fn log(line: &str) {
    eprintln!("pyro-agent: {line}");
}

/// An error that names what was tried, and every cause.
fn failed<E: std::error::Error>(what: &str) -> impl FnOnce(E) -> std::io::Error {
    let what = what.to_owned();
    move |error| {
        let mut text = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        std::io::Error::other(text)
    }
}
