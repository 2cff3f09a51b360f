//! What the host decides: accelerator, arguments, environments, host mode and the clock.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pyro_manager::{Error, Pyro, RunEvent, RunIo, RunRecord};
use pyro_testkit::Start;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::world::{notices, request, world};

#[tokio::test]
async fn kvm_is_used_only_where_a_guest_came_up_with_it_and_the_verdict_is_kept() {
    let mut world = world();
    let device = world.base.path().join("kvm");
    std::fs::write(&device, "").unwrap();
    let mut config = world.pyro.config().clone();
    config.kvm_device = device;
    world.pyro = Pyro::with_engine(config, Arc::new(world.engine.clone()));
    world.engine.behave(|behaviour| behaviour.boot_with_kvm = Start::Dies);
    assert_eq!(world.run("hello").await.unwrap().accelerator.as_deref(), Some("tcg"));
    assert_eq!(world.engine.boots(), 2, "a probe and a template");
    assert_eq!(world.run("hello").await.unwrap().accelerator.as_deref(), Some("tcg"));
    assert_eq!(world.engine.boots(), 2, "the verdict is kept");
    let report = world.pyro.doctor(pyro_manager::Depth::Quick).await;
    assert_eq!(report.kvm.usable, Some(false));
    assert!(report.kvm.reason.contains("no guest starts with it"), "{}", report.kvm.reason);
    world.engine.behave(|behaviour| {
        behaviour.boot_with_kvm = Start::Works;
        behaviour.build = "2".into();
    });
    assert_eq!(world.run("hello").await.unwrap().accelerator.as_deref(), Some("kvm"), "another QEMU is tried anew");
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn bad_arguments_are_refused_before_anything_starts() {
    let world = world();
    let code = |result: Result<RunRecord, Error>| result.unwrap_err().code().to_owned();
    assert_eq!(code(world.run("  ").await), "invalid_argument");
    assert_eq!(code(world.run("a\0b").await), "invalid_argument");
    let mut networked = request("hello");
    networked.options.settings.network = true;
    assert_eq!(code(world.run_request(networked).await.0), "passt_missing");
    let mut unknown = request("hello");
    unknown.environment = "debian:99".into();
    assert_eq!(code(world.run_request(unknown).await.0), "unknown_environment");
    world.engine.behave(|behaviour| behaviour.program_is_there = false);
    assert_eq!(code(world.run("hello").await), "qemu_missing");
    assert_eq!(world.engine.boots(), 0);
}

#[tokio::test]
async fn a_damaged_environment_is_said_and_pulled_again() {
    let world = world();
    std::fs::write(world.environment.join(pyro_testkit::small_environment_files()[0]), "broken").unwrap();
    let (result, events) = world.run_request(request("hello")).await;
    assert_eq!(result.unwrap_err().code(), "tool_missing", "there is no mmdebstrap in this world");
    assert!(
        notices(&events)[0].contains("is damaged: vmlinux has changed since it was installed"),
        "{:?}",
        notices(&events)
    );
    assert!(Path::new(&world.environment).exists(), "the damaged one stays until there is another");
}

#[tokio::test]
async fn the_host_stands_in_only_where_no_guest_can_be_had_and_only_when_asked() {
    let world = world();
    let mut allowed = request("echo $HOME; pwd; cat; echo err >&2; exit 7");
    allowed.options.settings.allow_host_compat = true;
    let in_guest = world.run_request(allowed.clone()).await.0.unwrap();
    assert_eq!(in_guest.execution_mode, "guest_agent", "a guest can be had");
    world.engine.behave(|behaviour| behaviour.restore = Start::Refused);
    assert_eq!(world.run("hello").await.unwrap_err().code(), "machine_not_started", "nobody asked");
    let (result, events) = world.run_request(allowed).await;
    let record = result.unwrap();
    assert_eq!((record.execution_mode.as_str(), record.isolation.boundary.as_str()), ("host_compat", "none"));
    assert_eq!((record.exit_code, record.stderr.as_str(), record.accelerator), (7, "err\n", None));
    let lines: Vec<&str> = record.stdout.lines().collect();
    assert!(lines[0] == lines[1] && lines[0].ends_with("/workspace"), "{lines:?}");
    assert!(notices(&events).last().unwrap().contains("running the command on this host, without isolation"));
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn a_command_on_the_host_leaves_no_process_behind() {
    let world = world();
    world.engine.behave(|behaviour| behaviour.program_is_there = false);
    let mut stubborn = request("echo a; (setsid sleep 4711 &); trap '' TERM; sleep 4711; sleep 4711");
    stubborn.options.settings.allow_host_compat = true;
    stubborn.timeout = Duration::from_secs(1);
    let record = world.run_request(stubborn).await.0.unwrap();
    assert_eq!((record.exit_code, record.timed_out, record.stdout.as_str()), (124, true, "a\n"));
    let left = std::process::Command::new("sh")
        .args(["-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep 471[1]'"])
        .output();
    assert_eq!(String::from_utf8(left.unwrap().stdout).unwrap().trim(), "0");
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn a_run_ends_when_its_life_does_in_a_guest_and_on_the_host() {
    let world = world();
    world.run("hello").await.unwrap();
    for program_is_there in [true, false] {
        world.engine.behave(|behaviour| behaviour.program_is_there = program_is_there);
        let mut request = request(if program_is_there { "hang" } else { "sleep 4717" });
        request.options.settings.allow_host_compat = true;
        request.options.ttl = Duration::from_millis(200);
        let error = world.run_request(request).await.0.unwrap_err();
        assert_eq!(error.code(), "expired");
        assert!(error.to_string().contains("ttl"), "{error}");
        world.assert_nothing_is_left();
    }
}

#[tokio::test]
async fn a_guest_hears_that_the_clock_of_its_host_was_set() {
    let world = world();
    let (events, mut heard) = mpsc::channel(16);
    let cancel = CancellationToken::new();
    let io = RunIo { events, stdin: None, cancel: cancel.clone() };
    let (result, skipped) = tokio::join!(world.pyro.run(request("hang"), io), async {
        let mut skipped = None;
        while let Some(event) = heard.recv().await {
            if matches!(event, RunEvent::Phase(pyro_manager::Phase::Execute { .. })) {
                let told = async {
                    let clock = rustix::time::ClockId::Realtime;
                    while world.engine.clocks().is_empty() {
                        // To what it says already: that counts as well, and harms nobody.
                        if let Err(error) = rustix::time::clock_settime(clock, rustix::time::clock_gettime(clock)) {
                            return Some(format!("the clock may not be set: {error}"));
                        }
                        tokio::task::yield_now().await;
                    }
                    None
                };
                skipped = tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
                cancel.cancel();
            }
        }
        skipped
    });
    assert!(matches!(result, Err(Error::Cancelled)));
    match skipped {
        Some(why) => pyro_testkit::skip("a_guest_hears_that_the_clock_of_its_host_was_set", &why),
        None => {
            let now = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
            assert!(world.engine.clocks()[0].abs_diff(now) < 60_000_000_000);
        }
    }
}
