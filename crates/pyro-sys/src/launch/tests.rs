use std::fs::File;
use std::io::Read;

use super::*;

fn text(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// A shell that writes to a pipe, and the pipe.
fn shell(script: &str) -> (Launch, io::PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let launch = Launch {
        program: text("/bin/sh"),
        words: vec![text("sh"), text("-c"), text(script)],
        descriptors: vec![null(), writer.into(), null()],
        namespaces: Namespaces::Shared,
        steps: Vec::new(),
    };
    (launch, reader)
}

fn output(launch: Launch, mut reader: io::PipeReader) -> (String, String) {
    let child = launch.start().unwrap();
    drop(launch);
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    (said, child.wait().unwrap())
}

#[test]
fn a_program_gets_its_descriptors_no_others_and_no_environment() {
    let leaked = rustix::io::dup(File::open("/dev/null").unwrap()).unwrap();
    let (launch, reader) =
        shell(&format!("test -e /proc/self/fd/{} && echo leaked; echo \"[$HOME]\"; exit 7", leaked.as_raw_fd()));
    assert_eq!(output(launch, reader), ("[]\n".to_owned(), "exit status: 7".to_owned()));
}

#[test]
fn what_cannot_be_executed_is_said() {
    let (mut launch, _reader) = shell("");
    launch.program = text("/no/such/program");
    let failed = launch.start().unwrap_err();
    assert_eq!((failed.at, failed.source.kind()), (At::Execution, io::ErrorKind::NotFound));
}

#[test]
fn the_step_that_failed_is_named_and_nothing_is_executed() {
    let (mut launch, mut reader) = shell("echo executed");
    launch.steps = vec![
        Step::NoNewPrivileges,
        Step::Write { path: text("/no/such/file"), bytes: b"x".to_vec() },
        Step::NoNewPrivileges,
    ];
    let failed = launch.start().unwrap_err();
    assert_eq!((failed.at, failed.source.kind()), (At::Step(1), io::ErrorKind::NotFound));
    drop(launch);
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn a_program_starts_with_no_signal_ignored_or_blocked() {
    // The test's own process ignores SIGPIPE, as every Rust program does.
    let (launch, reader) = shell("exec grep -E '^Sig(Ign|Blk)' /proc/self/status");
    assert_eq!(output(launch, reader).0, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

#[test]
fn limits_hold_and_are_never_raised() {
    let (mut launch, reader) = shell("ulimit -c; ulimit -n");
    let files = rustix::process::Resource::Nofile;
    launch.steps = vec![
        Step::Limit { resource: rustix::process::Resource::Core, max: 0 },
        Step::Limit { resource: files, max: 50 },
        Step::Limit { resource: files, max: 60 },
    ];
    assert_eq!(output(launch, reader).0, "0\n50\n");
}

#[test]
fn a_child_dies_with_the_thread_that_started_it() {
    let (launch, mut reader) = shell("echo started; exec sleep 600");
    std::thread::spawn(move || launch.start().unwrap()).join().unwrap();
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert!(matches!(said.as_str(), "" | "started\n"), "{said}");
}
