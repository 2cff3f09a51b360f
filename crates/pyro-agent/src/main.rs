//! The guest's PID 1.
//!
//! ```text
//! boot:  mounts → modules → the host's port → root disk (when the kernel was told one)
//! serve: one thread, one poll(2): port, child signals, pipes of the running commands
//! end:   Shutdown from the host (commands killed, disks written, power off)
//! files: the same program as an ordinary process, one for each file operation
//! ```
//!
//! One thread owns everything, so there is nothing to lock and nothing that a fork could copy half
//! way. The agent trusts the host; it trusts no command: each has a control group of its own, and
//! whatever a command does, the agent goes on serving the others.
#![forbid(unsafe_code)]

mod boot;
mod cgroup;
mod command;
mod files;
mod identity;
mod modules;
mod network;
mod outgoing;
mod pipes;
mod port;
mod report;
mod server;
mod spawn;
mod strays;
mod unpack;

use std::process::ExitCode;

use report::log;

fn main() -> ExitCode {
    if rustix::process::getpid() != rustix::process::Pid::INIT {
        if std::env::args_os().nth(1).is_some_and(|argument| argument == files::ARGUMENT) {
            return files::run();
        }
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
