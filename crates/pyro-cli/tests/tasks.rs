//! Tasks with real guests, the way a user types it, and whatever dies.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod world;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use pyro_manager::{Config, CreateRequest, ExecRequest, Naming, Pyro, RunIo, VmOptions};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use world::{Ended, World, kill};

fn create(world: &World) -> String {
    let ended = world.run(&["task", "create", "debian:12", "--json"]);
    ended.json()["task_id"].as_str().unwrap_or_else(|| panic!("{}", ended.stderr)).to_owned()
}

fn exec(world: &World, id: &str, script: &str) -> Ended {
    world.run(&["task", "exec", id, "--timeout-seconds", "120", "--", "sh", "-c", script])
}

fn logs(world: &World, id: &str) -> Vec<Value> {
    world.run(&["task", "logs", id, "--json"]).json()["entries"].as_array().unwrap().clone()
}

#[test]
fn the_first_story() {
    let Some(world) = World::with_guests("the_first_story") else { return };
    let created = world.run(&["task", "create", "debian:12"]);
    let lines: Vec<String> = created.out().lines().map(str::to_owned).collect();
    let id = lines[0].strip_prefix("Task: ").unwrap().to_owned();
    let expected = [
        "Environment: debian:12",
        "State: started",
        "Workspace: /workspace",
        "Execution mode: guest_agent",
        "Resources: 1 vCPU / 1024 MiB",
        "Command count: 0",
    ];
    assert_eq!(lines[1..], expected);
    let written = exec(&world, &id, "echo hello > greeting; pwd; echo err >&2; exit 7");
    assert_eq!((written.out().as_str(), written.code), ("/workspace\n", 7));
    let summary: Vec<&str> = written.stderr.lines().collect();
    assert_eq!(summary[0], "err");
    let line = format!("[task-exec] task_id={id} sequence=1 cwd=/workspace execution_mode=guest_agent exit_code=7 ");
    assert!(summary[1].starts_with(&format!("{line}duration_ms=")), "{}", summary[1]);
    let read = world.run(&["task", "exec", &id[..6], "--", "cat", "greeting"]);
    assert_eq!((read.out().as_str(), read.code), ("hello\n", 0));
    let bytes = exec(&world, &id, r#"printf "\377\000x""#);
    assert_eq!(bytes.stdout, b"\xff\0x");
    let echoed = world.run_with_input(&["task", "exec", &id, "--", "tr", "a-z", "A-Z"], b"input".to_vec());
    assert_eq!(echoed.stdout, b"INPUT");
    let elsewhere =
        world.run(&["task", "exec", &id, "--cwd", "/etc", "--env", "A=b c", "--", "sh", "-c", "pwd; echo $A"]);
    assert_eq!(elsewhere.out(), "/etc\nb c\n");
    let logs = world.run(&["task", "logs", &id]);
    assert!(logs.out().starts_with("#1 exit_code=7 duration_ms="), "{}", logs.out());
    assert!(
        logs.out().contains("cwd=/workspace\n$ sh -c 'echo hello > greeting; pwd; echo err >&2; exit 7'\n/workspace\n")
    );
    assert!(logs.stderr.contains("err"));
    let status = world.run(&["task", "status", &id]).out();
    assert!(status.contains("Command count: 5\nLast command: sh -c 'pwd; echo $A' (exit_code=0)\n"), "{status}");
    assert!(world.run(&["task", "list"]).out().contains(&id));
    assert_eq!(world.run(&["task", "delete", &id]).out(), format!("Deleted task: {id}\n"));
    assert_eq!(world.machines(), [] as [&str; 0]);
    let gone = world.run(&["task", "exec", &id, "--json", "--", "true"]);
    assert_eq!((gone.code, gone.json()["code"].as_str()), (125, Some("deleted")));
}

#[test]
fn a_named_task_is_stopped_and_goes_on_with_its_files_and_its_journal() {
    let Some(world) = World::with_guests("a_named_task_is_stopped") else { return };
    let named = ["task", "create", "debian:12", "--name", "build-1", "--label", "team=core", "--json"];
    let created = world.run(&named).json();
    let id = created["task_id"].as_str().unwrap().to_owned();
    assert_eq!((&created["name"], &created["labels"]["team"]), (&"build-1".into(), &"core".into()));
    let taken = world.run(&named);
    assert_eq!((taken.code, taken.json()["code"].as_str()), (1, Some("name_taken")));
    assert_eq!(exec(&world, "build-1", "echo kept > file; mkdir -p /root/x; hostname").out(), format!("{id}\n"));
    let stopped = world.run(&["task", "stop", "build-1", "--ttl-seconds", "0", "--json"]).json();
    assert_eq!((stopped["state"].as_str(), stopped["ttl_seconds"].as_u64()), (Some("stopped"), Some(0)));
    assert!(stopped["expires_at"].is_null() && stopped["last_error"].is_null(), "{stopped}");
    let refused = world.run(&["task", "exec", "build-1", "--json", "--", "true"]);
    assert_eq!((refused.code, refused.json()["code"].as_str()), (125, Some("task_stopped")));
    assert!(refused.json()["hint"].as_str().unwrap().contains("pyro task start"));
    let listed = world.run(&["task", "list", "--label", "team=core"]).out();
    assert!(listed.lines().nth(1).unwrap().ends_with("never         build-1"), "{listed}");
    assert!(world.run(&["task", "list", "--label", "team=web"]).out().starts_with("No tasks with these labels"));
    // Once with the supervisor that stopped it, and once as after a new start of the host.
    for host_restarts in [false, true] {
        if host_restarts {
            world.run(&["task", "stop", "build-1", "--ttl-seconds", "0"]);
            kill(world.processes_of(&id)[0]);
        }
        let started = world.run(&["task", "start", "build-1", "--json"]);
        assert_eq!(started.json()["state"].as_str(), Some("started"), "{}", started.out());
        assert_eq!((&started.json()["ttl_seconds"], started.json()["expires_at"].is_number()), (&600.into(), true));
        let read = exec(&world, "build-1", "cat file; ls -d /root/x; hostname; pwd; echo more >> file");
        let kept = if host_restarts { "kept\nmore" } else { "kept" };
        assert_eq!(read.out(), format!("{kept}\n/root/x\n{id}\n/workspace\n"), "{}", read.stderr);
    }
    let sequences: Vec<u64> = logs(&world, &id).iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, [1, 2, 3], "the journal goes on");
    let updated =
        world.run(&["task", "update", "build-1", "--no-name", "--label", "stage=x", "--remove-label", "team"]);
    assert!(updated.out().contains("Label: stage=x") && !updated.out().contains("Name:"), "{}", updated.out());
    assert_eq!(world.run(&["task", "status", "build-1", "--json"]).json()["code"].as_str(), Some("unknown_task"));
    world.run(&["task", "delete", &id[..6]]);
    assert_eq!(world.machines(), [] as [&str; 0]);
}

#[test]
fn thirty_commands_from_six_processes_at_once() {
    let Some(world) = World::with_guests("thirty_commands_from_six_processes") else { return };
    let id = create(&world);
    let results: Vec<Value> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..6)
            .map(|worker| {
                let (world, id) = (&world, &id);
                scope.spawn(move || {
                    let number = |turn| format!("echo {worker}.{turn}");
                    (0..5)
                        .map(|turn| {
                            let words = ["task", "exec", id, "--json", "--", "sh", "-c", &number(turn)];
                            let record = world.run(&words).json();
                            assert_eq!(record["stdout"], format!("{worker}.{turn}\n"));
                            record
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let sequences: BTreeSet<u64> = results.iter().map(|record| record["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=30).collect());
    let entries = logs(&world, &id);
    assert!(entries.len() == 30 && entries.iter().all(|entry| entry["status"] == "finished"));
}

#[test]
fn a_quick_command_answers_while_a_long_one_runs() {
    let Some(world) = World::with_guests("a_quick_command_answers") else { return };
    let id = create(&world);
    let mut long = world
        .pyro()
        .args(["task", "exec", &id, "--", "sh", "-c", "echo on; cat; echo off"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(long.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "on\n");
    assert_eq!(exec(&world, &id, "echo quick").out(), "quick\n");
    assert_eq!(logs(&world, &id)[0]["status"], "running");
    drop(long.stdin.take());
    assert!(long.wait().unwrap().success());
    assert_eq!(logs(&world, &id)[0]["stdout"], "on\noff\n");
}

#[test]
fn a_killed_clients_command_is_finished_and_journaled() {
    let Some(world) = World::with_guests("a_killed_clients_command") else { return };
    let id = create(&world);
    let script = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done";
    let mut client = world
        .pyro()
        .args(["task", "exec", &id, "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(client.stdout.take().unwrap()).read_line(&mut line).unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
    let waited = world.run(&["task", "wait", &id, "1"]);
    assert_eq!((waited.out().as_str(), waited.code), ("1\n2\n3\n4\n5\n6\n", 0));
    assert_eq!(logs(&world, &id)[0]["stdout"], "1\n2\n3\n4\n5\n6\n");
}

#[test]
fn commands_that_behave_badly_do_not_hurt_their_task() {
    let Some(world) = World::with_guests("commands_that_behave_badly") else { return };
    let id = create(&world);
    let silent = exec(&world, &id, "echo a; exec >&- 2>&-; sleep 0.3; exit 4");
    assert_eq!((silent.out().as_str(), silent.code), ("a\n", 4));
    let forked = exec(&world, &id, "(setsid sleep 300 >/dev/null 2>&1 &); echo started");
    assert_eq!((forked.out().as_str(), forked.code), ("started\n", 0));
    assert_eq!(exec(&world, &id, "pgrep -x -c sleep").out(), "1\n", "a server in the background lives on");
    let timed = world.run(&[
        "task",
        "exec",
        &id,
        "--timeout-seconds",
        "1",
        "--",
        "sh",
        "-c",
        "echo a; (sleep 301 &); sleep 301",
    ]);
    assert_eq!((timed.out().as_str(), timed.code), ("a\n", 124));
    assert_eq!(exec(&world, &id, "pgrep -x -c sleep").out(), "1\n", "nothing of the timed-out one is left");
    let hungry = world.run(&["task", "exec", &id, "--json", "--timeout-seconds", "120", "--", "tail", "/dev/zero"]);
    let record = hungry.json();
    assert_eq!((record["out_of_memory"].as_bool(), record["exit_code"].as_i64()), (Some(true), Some(137)));
    assert_eq!(exec(&world, &id, "echo alive").out(), "alive\n");
}

#[test]
fn two_hundred_mebibytes_are_cut_in_the_journal_and_the_supervisor_stays_small() {
    let Some(world) = World::with_guests("two_hundred_mebibytes") else { return };
    let id = create(&world);
    let ended = exec(&world, &id, "head -c 209715200 /dev/zero");
    assert_eq!((ended.stdout.len(), ended.code), (209_715_200, 0), "who listens gets all of it");
    let entry = &logs(&world, &id)[0];
    assert_eq!((entry["stdout_bytes"].as_u64(), entry["stdout_truncated"].as_bool()), (Some(209_715_200), Some(true)));
    assert_eq!(entry["stdout_cut"], "the journal keeps 67108864 bytes of each stream");
    assert_eq!(std::fs::metadata(entry["stdout_file"].as_str().unwrap()).unwrap().len(), 64 << 20);
    let supervisor = world.processes_of(&id)[0];
    let status = std::fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches("kB").trim().parse().unwrap();
    assert!(peak < 40 * 1024, "the supervisor took {peak} KiB");
}

#[test]
fn killing_the_supervisor_or_the_machine_under_a_command_invents_nothing() {
    let Some(world) = World::with_guests("killing_the_supervisor_or_the_machine") else { return };
    for victim in ["supervisor", "machine", "guest"] {
        let id = create(&world);
        let mut client = world
            .pyro()
            .args(["task", "exec", &id, "--", "sh", "-c", "echo before; sleep 60; echo after"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(client.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        match victim {
            "supervisor" => kill(world.processes_of(&id)[0]),
            "machine" => kill(world.processes_of(&format!("pyro-{id}"))[0]),
            _ => drop(exec(&world, &id, "echo c > /proc/sysrq-trigger")),
        }
        let ended = Ended::from(client.wait_with_output().unwrap());
        assert_eq!(ended.code, 125, "{victim}: {}", ended.stderr);
        assert!(ended.stderr.contains("was lost; its outcome is unknown"), "{victim}: {}", ended.stderr);
        let entry = logs(&world, &id)[0].clone();
        assert_eq!((entry["status"].as_str(), entry["exit_code"].clone()), (Some("lost"), Value::Null), "{victim}");
        assert_eq!(entry["stdout"], "before\n", "{victim}");
        let status = loop {
            let status = world.run(&["task", "status", &id, "--json"]).json();
            if status["state"] == "stopped" {
                break status;
            }
        };
        assert!(status["last_error"].is_string(), "{victim}");
        let refused = world.run(&["task", "exec", &id, "--json", "--", "true"]);
        assert_eq!((refused.code, refused.json()["code"].as_str()), (125, Some("task_stopped")), "{victim}");
        assert_eq!(world.processes_of(&format!("pyro-{id}")), [] as [i32; 0], "{victim}: no machine is left");
        assert_eq!(world.run(&["task", "delete", &id]).code, 0);
    }
    assert_eq!(world.machines(), [] as [&str; 0]);
}

#[test]
fn a_creation_that_is_killed_with_its_whole_group_leaves_nothing() {
    use std::os::unix::process::CommandExt;
    let Some(world) = World::with_guests("a_creation_that_is_killed") else { return };
    for delay in [1, 5, 15, 30, 60, 100, 150] {
        let mut client = world.pyro();
        client.args(["task", "create", "debian:12"]).process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        let mut client = client.spawn().unwrap();
        // The moment is what differs from turn to turn; nothing waits for anything here.
        std::thread::sleep(Duration::from_millis(delay));
        let group = format!("-{}", client.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        client.wait().unwrap();
    }
    world.settle();
    let tasks = world.run(&["task", "list", "--json"]).json();
    for task in tasks["tasks"].as_array().unwrap() {
        let id = task["task_id"].as_str().unwrap();
        assert_eq!(task["state"], "started", "one that was finished before it was killed works");
        assert_eq!(world.run(&["task", "delete", id]).code, 0);
    }
    assert_eq!(world.machines(), [] as [&str; 0]);
    assert_eq!(world.all_processes(), [] as [String; 0]);
}

#[test]
fn twelve_creations_at_once_with_room_for_four_make_four() {
    let Some(world) = World::with_guests("twelve_creations_at_once") else { return };
    let results: Vec<Ended> = std::thread::scope(|scope| {
        let create = || {
            let output =
                world.pyro().args(["task", "create", "debian:12", "--json"]).env("PYRO_MAX_ACTIVE_VMS", "4").output();
            Ended::from(output.unwrap())
        };
        let creations: Vec<_> = (0..12).map(|_| scope.spawn(create)).collect();
        creations.into_iter().map(|creation| creation.join().unwrap()).collect()
    });
    let (made, refused): (Vec<&Ended>, Vec<&Ended>) = results.iter().partition(|ended| ended.code == 0);
    assert_eq!((made.len(), refused.len()), (4, 8));
    for ended in refused {
        assert_eq!((ended.code, ended.json()["code"].as_str()), (1, Some("max_active_vms")));
        assert!(ended.stderr.contains("the limit is 4"), "{}", ended.stderr);
    }
    let run = world.pyro().args(["run", "debian:12", "--", "true"]).env("PYRO_MAX_ACTIVE_VMS", "4").output().unwrap();
    assert_eq!(run.status.code(), Some(125), "a run needs a place, too");
    for ended in made {
        let id = ended.json()["task_id"].as_str().unwrap().to_owned();
        assert_eq!(world.run(&["task", "delete", &id]).code, 0);
    }
    assert_eq!(world.machines(), [] as [&str; 0]);
}

/// Numbers that differ from run to run, and are the same again for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn whoever_is_killed_at_a_random_moment_the_journal_tells_what_the_guest_did() {
    let Some(world) = World::with_guests("whoever_is_killed_at_a_random_moment") else { return };
    let seed = std::env::var("PYRO_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| std::process::id().into());
    println!("PYRO_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    for round in 0..10 {
        let id = create(&world);
        // What the guest itself says of each command; the workspace is read only while it lives.
        let clients: Vec<_> = (0..3)
            .map(|number| {
                let script = format!("echo {number} >> /workspace/ran; sleep 0.0{number}; echo {number}");
                let words = ["task", "exec", &id, "--attempt-id", &number.to_string(), "--", "sh", "-c", &script];
                world.pyro().args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        std::thread::sleep(Duration::from_millis(dice.roll(120)));
        let victim = dice.roll(3);
        let victims = match victim {
            0 => vec![clients[0].id() as i32, clients[2].id() as i32],
            1 => world
                .processes_of(&id)
                .into_iter()
                .filter(|pid| !clients.iter().any(|it| it.id() as i32 == *pid))
                .collect(),
            _ => world.processes_of(&format!("pyro-{id}")),
        };
        victims.into_iter().for_each(kill);
        let told: Vec<Ended> =
            clients.into_iter().map(|client| Ended::from(client.wait_with_output().unwrap())).collect();
        let context = format!("seed {seed}, round {round}, victim {victim}");
        let entries = logs(&world, &id);
        let numbers: Vec<u64> = entries.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{context}");
        for (number, ended) in told.iter().enumerate().filter(|(_, ended)| ended.code == 0) {
            let entry =
                entries.iter().find(|entry| entry["attempt_id"].as_str() == Some(&*number.to_string())).unwrap();
            assert_eq!(
                (entry["status"].as_str(), entry["stdout"].as_str()),
                (Some("finished"), Some(ended.out().as_str())),
                "{context}"
            );
        }
        if victim == 0 {
            // The machine lives: each command ran once, or was never sent.
            for entry in &entries {
                world.run(&["task", "wait", &id, &entry["sequence"].to_string()]);
            }
            let ran = exec(&world, &id, "sort /workspace/ran").out();
            let mut known: Vec<String> = logs(&world, &id)
                .iter()
                .filter_map(|entry| {
                    assert!(entry["attempt_id"].is_null() || entry["status"] == "finished", "{context}: {entry}");
                    entry["attempt_id"].as_str().map(str::to_owned)
                })
                .collect();
            known.sort_unstable();
            assert_eq!(ran.lines().collect::<Vec<_>>(), known, "{context}");
        } else {
            let settled = logs(&world, &id);
            assert!(
                settled.iter().all(|entry| matches!(entry["status"].as_str(), Some("finished" | "lost"))),
                "{context}"
            );
            assert!(world.processes_of(&format!("pyro-{id}")).is_empty(), "{context}");
        }
        assert_eq!(world.run(&["task", "delete", &id]).code, 0, "{context}");
    }
    assert_eq!(world.machines(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_vm_keeps_its_disk_when_it_is_stopped_and_started() {
    let Some(world) = World::with_guests("a_vm_keeps_its_disk") else { return };
    let search_path = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    let mut config = Config::new(world.data(), world.cache().to_owned(), search_path);
    config.supervisor.program = env!("CARGO_BIN_EXE_pyro").into();
    let pyro = Pyro::new(config);
    let (events, mut heard) = mpsc::channel(16);
    tokio::spawn(async move { while heard.recv().await.is_some() {} });
    let request = CreateRequest {
        environment: "debian:12".into(),
        options: VmOptions::default(),
        naming: Naming::default(),
        attempt_id: None,
    };
    let vm = pyro.create_vm(request, &events).await.unwrap();
    let id = vm.vm_id.as_str();
    assert_eq!(pyro.start_vm(id).await.unwrap().life.metadata["start_mode"], "template");
    // A VM's one command would delete it, so the machine itself is asked to leave something behind.
    let stopped = pyro.stop_vm(id).await.unwrap();
    assert_eq!((stopped.life.state, stopped.life.last_error), ("stopped", None));
    let again = pyro.start_vm(id).await.unwrap();
    assert_eq!((again.life.state, again.life.metadata["start_mode"].as_str()), ("started", "cold"));
    let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
    let command = ExecRequest::new("hostname; ls -d /workspace; git --version", Duration::from_secs(60));
    let record = pyro.exec_vm(id, command, io).await.unwrap();
    assert_eq!(record.exit_code, 0, "{}", record.stderr);
    assert!(record.stdout.starts_with(&format!("{id}\n/workspace\ngit version")), "{}", record.stdout);
    assert_eq!(world.machines(), [] as [&str; 0]);
}

#[test]
fn a_client_that_reads_late_gets_every_byte_that_the_journal_has() {
    let Some(world) = World::with_guests("a_client_that_reads_late_gets_every_byte") else { return };
    let id = create(&world);
    let script = "while :; do echo 0123456789012345678901234567890123456789012345678901234567890; done";
    let mut command = world.pyro();
    command.args(["task", "exec", &id, "--timeout-seconds", "1", "--", "sh", "-c", script]);
    let mut client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Nobody reads until the command is over and its time was up.
    let entry = loop {
        match logs(&world, &id).pop() {
            Some(entry) if entry["status"] != "running" => break entry,
            _ => std::thread::yield_now(),
        }
    };
    assert_eq!((entry["status"].as_str(), entry["stdout_cut"].as_str()), (Some("timed_out"), None));
    let passed_on = std::io::copy(client.stdout.as_mut().unwrap(), &mut std::io::sink()).unwrap();
    assert_eq!(passed_on, entry["stdout_bytes"].as_u64().unwrap());
    assert_eq!(client.wait().unwrap().code(), Some(124));
    world.run(&["task", "delete", &id]);
}

#[test]
fn a_machine_that_was_killed_is_said_to_have_been_killed() {
    let Some(world) = World::with_guests("a_machine_that_was_killed_is_said_to_have_been_killed") else { return };
    let id = create(&world);
    kill(world.processes_of(&format!("pyro-{id}"))[0]);
    let lost = world.run(&["task", "exec", &id, "--json", "--", "sleep", "60"]).json();
    assert!(["task_stopped", "command_lost"].contains(&lost["code"].as_str().unwrap()), "{lost}");
    let status = world.run(&["task", "status", &id, "--json"]).json();
    assert_eq!(status["state"], "stopped", "whoever heard of the end sees it");
    let why = status["last_error"].as_str().unwrap();
    assert!(why.starts_with("the machine ended: QEMU ended with signal: 9"), "{why}");
    assert!(!why.contains("hub"), "{why}");
    world.run(&["task", "delete", &id]);
}
