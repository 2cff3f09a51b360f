//! Machines that wait for the next run.

use std::sync::Arc;

use pyro_manager::{Config, MachineSize, Pyro, RunIo, VmOptions};
use pyro_testkit::Start;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::world::{World, request, world};

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
    world.end_warm_pool().await;
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
    world.end_warm_pool().await;
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
    world.end_warm_pool().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_while_it_waits_is_not_given_out() {
    let world = world_with_standby();
    world.run("true").await.unwrap();
    world.standby_is_made().await;
    world.engine.kill_all();
    let record = world.run("echo hello").await.unwrap();
    assert_eq!(record.stdout, "hello\n");
    world.end_warm_pool().await;
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
    world.end_warm_pool().await;
}

impl World {
    /// Ends the waiting machines, and waits until nothing is left. A machine that was being made is given up; a thread
    /// may still be at its directory, and removes it.
    async fn end_warm_pool(&self) {
        self.pyro.end_warm_pool().await;
        while self.directories() > 0 {
            tokio::task::yield_now().await;
        }
        self.assert_nothing_is_left();
    }

    /// Waits until a machine of this world takes no place.
    async fn standby_is_made(&self) {
        let vms = self.base.path().join("data/vms");
        let idle = || std::fs::read_dir(&vms).unwrap().flatten().any(|entry| entry.path().join("idle").exists());
        while !idle() {
            tokio::task::yield_now().await;
        }
    }
}
