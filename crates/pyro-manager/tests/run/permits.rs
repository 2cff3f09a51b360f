//! Capacity, and restores that take turns.

use std::sync::Arc;

use pyro_hostfs::permit::Permit;
use pyro_manager::{Error, Pyro, RunEvent, RunIo};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::world::{World, request, world};

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
