//! The file worker: one file operation, then it ends.
//!
//! ```text
//! agent (PID 1) ──starts itself as a command──▶ worker: request ─▶ operation ─▶ Done | Failed
//! ```
//!
//! It is a process like that of any command, with a control group, pipes, credit and a time limit,
//! so PID 1 never waits for a disk. It needs no program of the image. It can be killed at any
//! moment: what is replaced as a whole is then the old one or the new one.
//!
//! `pyro_protocol::files` says what goes through its pipes. Each operation is a function of the
//! root, its request and the [`report::Report`].

mod archive;
mod change;
mod changes;
mod compare;
mod digest;
mod failure;
mod find;
mod grep;
mod input;
mod layered;
mod list;
mod overlay;
mod pack;
mod read;
mod reader;
mod replacement;
mod report;
mod root;
mod seed;
mod sparse;
mod stamp;
mod unpack;
mod unpacker;
mod walk;
mod write;

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::process::ExitCode;

use pyro_protocol::files::Operation;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

use failure::{Failure, Result};
use input::Input;
use report::{Outcome, Report};
use root::Root;

/// The argument that makes the agent a file worker.
pub const ARGUMENT: &str = "--file-worker";

/// Carries out the operation that stdin names. All that is said goes to stdout and stderr.
pub fn run() -> ExitCode {
    // Modes are what the request says, and a deep tree needs a descriptor for each level.
    umask(rustix::fs::Mode::empty());
    let most = getrlimit(Resource::Nofile).maximum;
    // Where it is refused, deep trees end with a notice.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    let pipes = (own(rustix::stdio::stdin()), own(rustix::stdio::stdout()), own(rustix::stdio::stderr()));
    let (Ok(stdin), Ok(stdout), Ok(stderr)) = pipes else { return ExitCode::from(2) };
    let mut report = Report::new(stdout, stderr);
    let result = Input::new(stdin).and_then(|(request, input)| {
        let root = Root::open(&request.root)?;
        carry_out(&root, request.operation, input, &mut report)
    });
    match result.and_then(|outcome| report.flush().map(|()| outcome)) {
        Ok(outcome) => {
            report.done(outcome);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            // What was found before is worth having; if nobody listens, the failure says so.
            let _ = report.flush();
            report.failed(failure);
            ExitCode::FAILURE
        }
    }
}

fn own(descriptor: BorrowedFd<'_>) -> io::Result<File> {
    Ok(descriptor.try_clone_to_owned()?.into())
}

fn carry_out(root: &Root, operation: Option<Operation>, input: Input, report: &mut Report) -> Result<Outcome> {
    match operation {
        Some(Operation::List(list)) => list::list(root, &list, report),
        Some(Operation::Stat(stat)) => list::stat(root, &stat, report),
        Some(Operation::Read(read)) => read::read(root, &read, report),
        Some(Operation::Write(write)) => write::write(root, &write, input, report),
        Some(Operation::MakeDirectory(make)) => change::make_directory(root, &make, report),
        Some(Operation::Remove(remove)) => change::remove(root, &remove, report),
        Some(Operation::Move(rename)) => change::rename(root, &rename, report),
        Some(Operation::Find(find)) => find::find(root, &find, report),
        Some(Operation::Grep(grep)) => grep::grep(root, &grep, report),
        Some(Operation::Digest(digest)) => digest::digest(root, &digest, report),
        Some(Operation::Pack(pack)) => pack::pack(root, &pack, report),
        Some(Operation::Unpack(unpack)) => unpack::unpack(root, &unpack, input, report),
        Some(Operation::BeginSeed(_)) => seed::begin(root, report),
        Some(Operation::MountWorkspace(_)) => seed::mount(root, report),
        Some(Operation::Changes(changes)) => changes::changes(root, &changes, report),
        None => Err(Failure::bad_request("this agent does not know the operation")),
    }
}
