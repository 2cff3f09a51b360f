//! One-shot runs over the fake engine: every step can fail, and nothing is ever left.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pyro_hostfs::permit::Permit;
use pyro_manager::{
    Config, Error, MachineSize, NetworkPolicy, Pyro, RunEvent, RunIo, RunRecord, RunRequest, StartMode, VmOptions,
};
use pyro_testkit::{FakeEngine, Start};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

struct World {
    base: tempfile::TempDir,
    engine: FakeEngine,
    pyro: Pyro,
    environment: PathBuf,
}

fn world() -> World {
    let base = tempfile::tempdir().unwrap();
    let engine = FakeEngine::default();
    let mut config = Config::new(base.path().join("data"), base.path().join("cache"), vec![]);
    config.kvm_device = "/nonexistent/kvm".into();
    config.scratch = base.path().to_owned();
    let environment = pyro_testkit::install_small(&config.cache, "debian:12");
    let pyro = Pyro::with_engine(config, Arc::new(engine.clone()));
    World { base, engine, pyro, environment }
}

fn request(command: &str) -> RunRequest {
    RunRequest {
        environment: "debian:12".into(),
        command: command.into(),
        timeout: Duration::from_secs(30),
        options: VmOptions::default(),
    }
}

impl World {
    async fn run_request(&self, request: RunRequest) -> (Result<RunRecord, Error>, Vec<RunEvent>) {
        let (events, mut heard) = mpsc::channel(16);
        let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
        let listening = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(event) = heard.recv().await {
                all.push(event);
            }
            all
        });
        let result = self.pyro.run(request, io).await;
        (result, listening.await.unwrap())
    }

    async fn run(&self, command: &str) -> Result<RunRecord, Error> {
        self.run_request(request(command)).await.0
    }

    fn assert_nothing_is_left(&self) {
        assert_eq!(self.engine.alive(), 0, "no machine is left");
        let vms = std::fs::read_dir(self.base.path().join("data/vms"));
        assert_eq!(vms.map_or(0, Iterator::count), 0, "no directory is left");
    }

    fn template(&self) -> PathBuf {
        let templates = self.environment.join("templates");
        let visible = |path: &PathBuf| !path.file_name().unwrap().to_str().unwrap().starts_with('.');
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(templates).unwrap().map(|entry| entry.unwrap().path()).filter(visible).collect();
        assert_eq!(found.len(), 1);
        found.remove(0)
    }
}

fn notices(events: &[RunEvent]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| if let RunEvent::Notice(text) = event { Some(text.as_str()) } else { None })
        .collect()
}

#[tokio::test]
async fn the_first_run_makes_the_template_and_later_ones_use_it() {
    let world = world();
    let first = world.run("hello").await.unwrap();
    assert_eq!((first.start_mode, first.exit_code), (Some(StartMode::Cold), 0));
    let second = world.run("hello").await.unwrap();
    assert_eq!(second.start_mode, Some(StartMode::Template));
    assert_eq!((world.engine.boots(), world.engine.restores()), (1, 2));
    assert_ne!(first.vm_id, second.vm_id);
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn output_is_streamed_as_bytes_and_returned_as_text() {
    let (result, events) = world().run_request(request("hello")).await;
    let record = result.unwrap();
    assert_eq!((record.stdout.as_str(), record.stderr.as_str()), ("hello\n", "warn\u{fffd}\n"));
    assert!(events.contains(&RunEvent::Stderr(Bytes::from_static(b"warn\xff\n"))));
    assert_eq!(record.command, "hello");
    assert_eq!(record.execution_mode, "guest_agent");
    assert_eq!(record.cleanup.vm_id, record.vm_id);
}

#[tokio::test]
async fn the_payload_has_the_contracts_keys() {
    let record = serde_json::to_value(world().run("hello").await.unwrap()).unwrap();
    let keys: Vec<&String> = record.as_object().unwrap().keys().collect();
    insta::assert_debug_snapshot!(keys);
}

#[tokio::test]
async fn exit_codes_are_the_commands_own() {
    let world = world();
    assert_eq!(world.run("fail 7").await.unwrap().exit_code, 7);
    assert_eq!(world.run("signal 9").await.unwrap().exit_code, 137);
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn every_machine_is_somebody_else() {
    let world = world();
    for _ in 0..3 {
        world.run("hello").await.unwrap();
    }
    let identities = world.engine.identities();
    assert_eq!(identities.len(), 4, "the template's machine and three others");
    for (at, one) in identities.iter().enumerate() {
        assert_eq!((one.entropy.len(), one.machine_id.len(), one.host_name.len()), (64, 32, 12));
        assert!(one.wall_clock_ns > 0);
        for other in &identities[at + 1..] {
            assert!(
                one.entropy != other.entropy && one.machine_id != other.machine_id && one.host_name != other.host_name
            );
        }
    }
}

#[tokio::test]
async fn stdin_reaches_the_command() {
    let world = world();
    let (events, mut heard) = mpsc::channel(16);
    let (input, stdin) = mpsc::channel(1);
    tokio::spawn(async move { while heard.recv().await.is_some() {} });
    tokio::spawn(async move {
        for _ in 0..20 {
            input.send(Bytes::from(vec![b'x'; 50_000])).await.unwrap();
        }
    });
    let io = RunIo { events, stdin: Some(stdin), cancel: CancellationToken::new() };
    let record = world.pyro.run(request("cat"), io).await.unwrap();
    assert_eq!((record.stdout.len(), record.stdout_truncated), (1_000_000, false));
}

#[tokio::test]
async fn a_cancelled_run_leaves_nothing() {
    let world = world();
    let (events, mut heard) = mpsc::channel(16);
    let cancel = CancellationToken::new();
    let io = RunIo { events, stdin: None, cancel: cancel.clone() };
    let (result, ()) = tokio::join!(world.pyro.run(request("hang"), io), async {
        while let Some(event) = heard.recv().await {
            if matches!(event, RunEvent::Phase(pyro_manager::Phase::Execute { .. })) {
                cancel.cancel();
            }
        }
    });
    assert!(matches!(result, Err(Error::Cancelled)));
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn a_caller_that_stops_listening_has_given_up() {
    let world = world();
    world.run("hello").await.unwrap();
    let (events, mut heard) = mpsc::channel(1);
    let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
    let (result, ()) = tokio::join!(world.pyro.run(request("flood"), io), async move {
        while let Some(event) = heard.recv().await {
            if matches!(event, RunEvent::Stdout(_)) {
                return;
            }
        }
    });
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn a_machine_that_dies_under_a_command_invents_no_exit_code() {
    let world = world();
    let error = world.run("die").await.unwrap_err();
    assert_eq!(error.code(), "machine_lost");
    assert!(error.to_string().contains("the command's outcome is unknown"), "{error}");
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn a_guest_that_makes_no_sense_is_ended() {
    let world = world();
    assert_eq!(world.run("nonsense").await.unwrap_err().code(), "guest_nonsense");
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn a_refused_command_says_so() {
    let world = world();
    let error = world.run("missing").await.unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        ("command_refused", "the guest did not run the command: missing: not found")
    );
    world.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_command_that_outlives_its_guests_time_limit_is_ended_with_its_machine() {
    let world = world();
    let record = world.run("hang").await.unwrap();
    assert_eq!((record.exit_code, record.timed_out), (124, true));
    world.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_does_not_come_up_is_reported_with_its_console() {
    let world = world();
    world.engine.behave(|behaviour| behaviour.boot = Start::Silent);
    let error = world.run("hello").await.unwrap_err();
    assert_eq!(error.code(), "guest_not_up");
    assert!(error.to_string().ends_with("the last lines of its console:\n  the fake's console"), "{error}");
    world.engine.behave(|behaviour| behaviour.boot = Start::Dies);
    assert_eq!(world.run("hello").await.unwrap_err().code(), "guest_not_up");
    world.engine.behave(|behaviour| behaviour.boot = Start::Refused);
    assert_eq!(world.run("hello").await.unwrap_err().code(), "machine_not_started");
    world.assert_nothing_is_left();
    world.engine.behave(|behaviour| behaviour.boot = Start::Works);
    world.run("hello").await.expect("nothing of the failures is in the way");
}

#[tokio::test]
async fn an_agent_of_another_generation_is_named() {
    let world = world();
    world.engine.behave(|behaviour| behaviour.generation = 99);
    let error = world.run("hello").await.unwrap_err();
    assert_eq!(error.code(), "agent_generation");
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn a_template_that_cannot_be_saved_is_not_left_behind() {
    let world = world();
    world.engine.behave(|behaviour| behaviour.save_fails = true);
    assert_eq!(world.run("hello").await.unwrap_err().code(), "template_not_saved");
    world.assert_nothing_is_left();
    let left = std::fs::read_dir(world.environment.join("templates")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| name.starts_with(".lock-")), "{left:?}");
}

#[tokio::test]
async fn a_corrupted_template_is_said_dropped_and_made_again() {
    let world = world();
    world.run("hello").await.unwrap();
    std::fs::write(world.template().join("memory"), "something else").unwrap();
    let (result, events) = world.run_request(request("hello")).await;
    assert_eq!(result.unwrap().start_mode, Some(StartMode::Cold));
    let notices = notices(&events);
    assert!(notices.len() == 1 && notices[0].contains("memory has changed since it was saved"), "{notices:?}");
    assert_eq!(world.run("hello").await.unwrap().start_mode, Some(StartMode::Template));
}

#[tokio::test]
async fn a_template_that_cannot_be_restored_is_made_again_once() {
    let world = world();
    world.run("hello").await.unwrap();
    world.engine.behave(|behaviour| behaviour.restore = Start::Dies);
    let (result, events) = world.run_request(request("hello")).await;
    assert_eq!(result.unwrap_err().code(), "guest_not_up");
    assert_eq!(notices(&events).len(), 1, "said once");
    assert_eq!(world.engine.boots(), 2, "made again once");
    world.assert_nothing_is_left();
    world.engine.behave(|behaviour| behaviour.restore = Start::Works);
    world.run("hello").await.unwrap();
}

#[tokio::test]
async fn other_sizes_and_other_builds_get_templates_of_their_own() {
    let world = world();
    world.run("hello").await.unwrap();
    let mut larger = request("hello");
    larger.options.size = MachineSize::new(2, 512).unwrap();
    world.run_request(larger).await.0.unwrap();
    assert_eq!(world.engine.boots(), 2);
    world.engine.behave(|behaviour| behaviour.build = "2".into());
    world.run("hello").await.unwrap();
    assert_eq!(world.engine.boots(), 3);
    let pruned = world.pyro.prune_environments().await.unwrap();
    assert_eq!(pruned.count, 2, "the templates of the other build: {pruned:?}");
    world.run("hello").await.unwrap();
    assert_eq!(world.engine.boots(), 3, "the present one stays");
}

#[tokio::test]
async fn runs_at_once_share_one_template() {
    let world = world();
    let runs = (0..8).map(|_| world.run("hello"));
    let records = futures_join(runs.collect()).await;
    assert_eq!(records.len(), 8);
    assert_eq!((world.engine.boots(), world.engine.restores()), (1, 8));
    world.assert_nothing_is_left();
}

async fn futures_join<F: Future<Output = Result<RunRecord, Error>>>(runs: Vec<F>) -> Vec<RunRecord> {
    let mut runs: Vec<_> = runs.into_iter().map(Box::pin).collect();
    let mut records = Vec::new();
    std::future::poll_fn(|context| {
        runs.retain_mut(|run| match run.as_mut().poll(context) {
            std::task::Poll::Ready(record) => {
                records.push(record.unwrap());
                false
            }
            std::task::Poll::Pending => true,
        });
        if runs.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    records
}

#[tokio::test]
async fn what_a_killed_run_left_is_removed_by_the_next() {
    let world = world();
    let dead = world.base.path().join("data/vms/00000000dead");
    std::fs::create_dir_all(&dead).unwrap();
    std::fs::write(dead.join("lock"), "").unwrap();
    std::fs::write(dead.join("disk.qcow2"), "x").unwrap();
    world.run("hello").await.unwrap();
    assert!(dead.exists(), "nothing says that it was a run's");
    std::fs::write(dead.join("one-shot"), "").unwrap();
    std::fs::create_dir_all(world.base.path().join("data/vms/.new-00000001dead")).unwrap();
    world.run("hello").await.unwrap();
    world.assert_nothing_is_left();
}

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
    networked.options.network = NetworkPolicy::Egress;
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
    allowed.options.host_compat = pyro_manager::HostCompat::Allowed;
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
    stubborn.options.host_compat = pyro_manager::HostCompat::Allowed;
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
        request.options.host_compat = pyro_manager::HostCompat::Allowed;
        request.options.ttl = Duration::from_millis(200);
        let error = world.run_request(request).await.0.unwrap_err();
        assert_eq!(error.code(), "expired");
        assert!(error.to_string().contains("ttl"), "{error}");
        world.assert_nothing_is_left();
    }
}

#[tokio::test]
async fn runs_take_places_too_and_the_one_too_many_is_told_the_limit() {
    let mut world = world();
    let mut config = world.pyro.config().clone();
    config.max_active_vms = Some(1);
    world.pyro = Pyro::with_engine(config, Arc::new(world.engine.clone()));
    let (events, mut heard) = mpsc::channel(16);
    let cancel = CancellationToken::new();
    let io = RunIo { events, stdin: None, cancel: cancel.clone() };
    let (first, second) = tokio::join!(world.pyro.run(request("hang"), io), async {
        while let Some(event) = heard.recv().await {
            if matches!(event, RunEvent::Phase(pyro_manager::Phase::Execute { .. })) {
                break;
            }
        }
        let second = world.run("hello").await;
        cancel.cancel();
        while heard.recv().await.is_some() {}
        second
    });
    assert!(matches!(first, Err(Error::Cancelled)));
    let error = second.unwrap_err();
    assert_eq!((error.code(), error.means_no_guest()), ("max_active_vms", false));
    world.run("hello").await.expect("there is room again");
}

#[tokio::test]
async fn restores_take_turns_with_those_of_other_processes() {
    let world = world();
    world.run("hello").await.unwrap();
    let others = world.turns_of_others();
    let run = world.run("hello");
    tokio::pin!(run);
    // Once it has taken a number, nothing keeps it but those before it.
    let mut looks = 0;
    while looks < 100 {
        tokio::select! {
            biased;
            _ = &mut run => panic!("it did not wait for its turn"),
            () = tokio::task::yield_now() => looks += usize::from(world.arrivals() > others.arrivals),
        }
    }
    assert_eq!((world.engine.restores(), world.engine.alive()), (1, 0));
    drop(others);
    assert_eq!(run.await.unwrap().exit_code, 0);
    assert_eq!(world.engine.restores(), 2);
    world.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn those_that_keep_their_turn_for_ever_are_not_waited_for_that_long() {
    let world = world();
    let others = world.turns_of_others();
    assert_eq!(world.run("hello").await.unwrap().exit_code, 0);
    drop(others);
}

#[tokio::test]
async fn where_no_turns_can_be_taken_runs_go_on_without() {
    let world = world();
    std::fs::create_dir_all(world.base.path().join("data/turns")).unwrap();
    assert_eq!(world.run("hello").await.unwrap().exit_code, 0);
}

/// The turns of as many restores as may go on at once, and how many had come until then.
struct Others {
    arrivals: u64,
    _permits: Vec<Permit>,
}

impl World {
    fn turns_of_others(&self) -> Others {
        let data = self.base.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let processors = std::thread::available_parallelism().unwrap().get();
        let permits = (0..processors).map(|_| Permit::request(&data.join("turns")).unwrap().unwrap()).collect();
        Others { arrivals: self.arrivals(), _permits: permits }
    }

    fn arrivals(&self) -> u64 {
        let count = std::fs::read(self.base.path().join("data/turns")).unwrap();
        u64::from_le_bytes(count.try_into().unwrap())
    }
}

fn world_with_standby() -> World {
    let mut world = world();
    world.pyro = world.pyro.with_warm_pool();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_run_finds_its_machine_ready_and_no_machine_is_used_twice() {
    let world = world_with_standby();
    let mut ids = std::collections::BTreeSet::new();
    for turn in 0..5 {
        let record = world.run("echo hello").await.unwrap();
        assert_eq!((record.stdout.as_str(), record.exit_code), ("hello\n", 0));
        assert!(ids.insert(record.vm_id), "each run has a machine of its own");
        assert_eq!(record.timings_ms.create == 0.0, turn > 0, "made before it was asked for");
        world.standby_is_made().await;
    }
    world.pyro.end_warm_pool().await;
    world.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_waits_takes_no_place_and_gives_way() {
    let mut world = world();
    let config = Config { max_active_vms: Some(1), ..world.pyro.config().clone() };
    world.pyro = Pyro::with_engine(config, Arc::new(world.engine.clone())).with_warm_pool();
    world.run("true").await.unwrap();
    world.standby_is_made().await;
    let other = world.pyro.clone();
    let (events, _heard) = mpsc::channel(64);
    let session = other.session("debian:12", VmOptions::default(), &events).await.unwrap();
    let refused = world.run("true").await.unwrap_err();
    assert_eq!(refused.code(), "max_active_vms", "the place that was free is taken now");
    session.end().await.unwrap();
    world.pyro.end_warm_pool().await;
    world.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_is_of_the_size_and_the_environment_that_a_run_wants() {
    let world = world_with_standby();
    world.run("true").await.unwrap();
    world.standby_is_made().await;
    let mut larger = request("true");
    larger.options.size = MachineSize::new(2, 2048).unwrap();
    let (record, _) = world.run_request(larger).await;
    assert!(record.unwrap().timings_ms.create > 0.0, "one of another size is no use");
    world.pyro.end_warm_pool().await;
    world.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_while_it_waits_is_not_given_out() {
    let world = world_with_standby();
    world.run("true").await.unwrap();
    world.standby_is_made().await;
    world.engine.kill_all();
    let record = world.run("echo hello").await.unwrap();
    assert_eq!(record.stdout, "hello\n");
    world.pyro.end_warm_pool().await;
    world.assert_nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_before_it_is_ready_is_not_waited_for_for_ever() {
    let world = world_with_standby();
    let (events, _unheard) = mpsc::channel(64);
    let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
    world.pyro.run(request("echo hello"), io).await.unwrap();
    // The one that is to wait has not had its turn on this thread yet.
    assert_eq!(world.engine.restores(), 1);
    world.engine.behave(|behaviour| behaviour.restore = Start::Hangs);
    while world.engine.restores() < 2 {
        tokio::task::yield_now().await;
    }
    world.engine.behave(|behaviour| behaviour.restore = Start::Works);
    let record = world.run("echo hello").await.unwrap();
    assert_eq!(record.stdout, "hello\n");
    assert!(record.timings_ms.create > 0.0, "it got one of its own");
    world.pyro.end_warm_pool().await;
    world.assert_nothing_is_left();
}

impl World {
    /// Waits until a machine of this world takes no place.
    async fn standby_is_made(&self) {
        let vms = self.base.path().join("data/vms");
        let idle = || std::fs::read_dir(&vms).unwrap().flatten().any(|entry| entry.path().join("idle").exists());
        while !idle() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_template_of_a_newer_release_is_refused_and_left_alone() {
    let world = world();
    world.run("hello").await.unwrap();
    let mut templates = Vec::new();
    for environment in std::fs::read_dir(world.base.path().join("cache")).unwrap() {
        let Ok(entries) = std::fs::read_dir(environment.unwrap().path().join("templates")) else { continue };
        templates.extend(entries.map(|entry| entry.unwrap().path().join("template.json")).filter(|path| path.exists()));
    }
    let [template] = &templates[..] else { panic!("{templates:?}") };
    let text = std::fs::read_to_string(template).unwrap();
    let newer = text.replacen("\"format\": ", "\"format\": 9", 1);
    assert_ne!(newer, text);
    std::fs::write(template, &newer).unwrap();
    let boots = world.engine.boots();
    assert_eq!(world.run("hello").await.unwrap_err().code(), "newer_environment");
    world.pyro.prune_environments().await.unwrap();
    assert_eq!(std::fs::read_to_string(template).unwrap(), newer);
    // The host does not let it be read: neither is that damage.
    std::fs::remove_file(template).unwrap();
    std::fs::create_dir(template).unwrap();
    assert_eq!(world.run("hello").await.unwrap_err().code(), "host_refused");
    assert_eq!(world.engine.boots(), boots, "none is made again");
    std::fs::remove_dir(template).unwrap();
    std::fs::write(template, text).unwrap();
    world.run("hello").await.unwrap();
}

#[tokio::test]
async fn a_template_whose_guest_lost_its_clock_is_made_again() {
    let world = world();
    world.engine.behave(|behaviour| behaviour.unstable_clocks = 2);
    assert_eq!(world.run("hello").await.unwrap().exit_code, 0);
    assert_eq!(world.engine.boots(), 3);
    let record = std::fs::read_to_string(world.template().join("template.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["clock_source"], "tsc");
    world.assert_nothing_is_left();
}

#[tokio::test]
async fn nothing_runs_in_a_guest_that_could_not_take_its_identity() {
    let world = world();
    world.run("hello").await.unwrap();
    world.engine.behave(|behaviour| behaviour.loses_identity = true);
    let noted = world.base.path().join("noted");
    let error = world.run(&format!("note {}", noted.display())).await.unwrap_err();
    assert_eq!(error.code(), "not_identified");
    assert!(error.to_string().contains("reseed: the device refused"), "{error}");
    assert!(!noted.exists(), "the command was sent");
    world.assert_nothing_is_left();
    let boots = world.engine.boots();
    world.engine.behave(|behaviour| behaviour.loses_identity = false);
    world.run("hello").await.unwrap();
    assert_eq!(world.engine.boots(), boots, "its template is as good as before");
}

#[tokio::test]
async fn machines_of_a_template_have_mac_addresses_of_their_own() {
    let world = world();
    world.run("hello").await.unwrap();
    world.run("hello").await.unwrap();
    let addresses: Vec<Vec<u8>> = world.engine.identities().into_iter().map(|identity| identity.mac_address).collect();
    let mut different = addresses.clone();
    different.sort();
    different.dedup();
    assert_eq!((addresses.len(), different.len()), (3, 3), "the template's and both machines': {addresses:?}");
    assert!(addresses.iter().all(|address| address.len() == 6), "{addresses:?}");
}

#[tokio::test]
async fn a_host_on_which_no_guest_keeps_its_clock_says_so() {
    let world = world();
    world.engine.behave(|behaviour| behaviour.unstable_clocks = 3);
    let error = world.run("hello").await.unwrap_err();
    assert_eq!(error.code(), "clock_unstable");
    let templates = std::fs::read_dir(world.environment.join("templates")).unwrap();
    assert!(templates.flatten().all(|entry| entry.file_name().to_string_lossy().starts_with(".lock-")));
    world.assert_nothing_is_left();
    assert_eq!(world.run("hello").await.unwrap().exit_code, 0, "the next one tries again");
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
