//! Names and labels of tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use pyro_manager::{CreateRequest, NameChange, Naming, NamingChange, Stream};
use tokio::sync::mpsc;

use crate::world::{World, create_named, exec, kill, lines, request};

fn labels(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn named(name: &str) -> NamingChange {
    NamingChange { name: NameChange::Set(name.into()), ..NamingChange::default() }
}

fn kill_and_wait(world: &World, id: &str) {
    kill(world.supervisor_of(id).unwrap());
    world.wait_for_end_of(id);
}

#[tokio::test]
async fn a_name_stands_wherever_an_id_does() {
    let world = World::new();
    let task = create_named(&world.pyro, "build-1").await.unwrap();
    assert_eq!(task.name.as_deref(), Some("build-1"));
    let id = task.task_id.as_str();
    assert_eq!(world.pyro.complete_task_id("build-1").await.unwrap(), id);
    let ran = exec(&world.pyro, "build-1", "hello").await.unwrap();
    assert_eq!((ran.task_id.as_str(), ran.sequence), (id, 1));
    assert_eq!(world.pyro.logs_task("build-1", pyro_manager::LogsRequest::default()).await.unwrap().task_id, id);
    let piece = world.pyro.read_output("build-1", 1, Stream::Stdout, 0, 100).await.unwrap();
    assert_eq!(piece.bytes, b"hello\n");
    assert_eq!(world.pyro.extend_task("build-1", 700).await.unwrap().task_id, id);
    assert_eq!(world.pyro.cancel_task("build-1", 1).await.unwrap().status, "finished");
    assert_eq!(world.pyro.stop_task("build-1", None).await.unwrap().task_id, id);
    assert_eq!(world.pyro.start_task("build-1", None).await.unwrap().name.as_deref(), Some("build-1"));
    assert_eq!(world.pyro.status_vm("build-1").await.unwrap_err().code(), "unknown_vm", "tasks alone have names");
    assert_eq!(world.pyro.delete_task("build-1").await.unwrap().task_id, id);
    assert_eq!(world.pyro.status_task("build-1").await.unwrap_err().code(), "unknown_task");
    let again = create_named(&world.pyro, "build-1").await.unwrap();
    assert_ne!(again.task_id, id, "the name of one that is gone is free");
}

#[tokio::test]
async fn of_many_who_want_a_name_one_gets_it() {
    let world = World::new();
    let mut creations = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let pyro = world.pyro.clone();
        creations.spawn(async move { create_named(&pyro, "mine").await });
    }
    let (made, refused): (Vec<_>, Vec<_>) = creations.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (1, 5));
    let id = made.into_iter().next().unwrap().unwrap().task_id;
    for error in refused.into_iter().map(Result::unwrap_err) {
        assert_eq!((error.code(), error.to_string()), ("name_taken", format!("the name mine is taken by task {id}")));
    }
    assert_eq!(world.vms(), [id], "nothing is left of the others");
    let (one, other) = (world.create().await.task_id, world.create().await.task_id);
    let (first, second) =
        tokio::join!(world.pyro.update_task(&one, named("yours")), world.pyro.update_task(&other, named("yours")));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    let taken = first.err().or(second.err()).unwrap();
    assert_eq!(taken.code(), "name_taken");
    assert_eq!(world.pyro.list_tasks().await.unwrap().tasks.iter().filter(|task| task.name.is_some()).count(), 2);
}

#[tokio::test]
async fn a_task_is_called_otherwise_with_and_without_its_supervisor() {
    let world = World::new();
    let other = create_named(&world.pyro, "other").await.unwrap().task_id;
    let id = create_named(&world.pyro, "first").await.unwrap().task_id;
    for dead in [false, true] {
        if dead {
            kill_and_wait(&world, &id);
        }
        let set = NamingChange { labels: labels(&[("team", "core"), ("stage", "one")]), ..named("second") };
        let updated = world.pyro.update_task(&id, set).await.unwrap();
        assert_eq!((updated.name.as_deref(), updated.labels.len()), (Some("second"), 2));
        assert_eq!(world.pyro.status_task("first").await.unwrap_err().code(), "unknown_task");
        assert_eq!(world.pyro.status_task("second").await.unwrap().task_id, id);
        assert_eq!(world.pyro.update_task("second", named("other")).await.unwrap_err().code(), "name_taken");
        for unfit in ["beef", "a b", ""] {
            assert_eq!(world.pyro.update_task(&id, named(unfit)).await.unwrap_err().code(), "invalid_argument");
        }
        let nothing = world.pyro.update_task(&id, NamingChange::default()).await.unwrap_err();
        assert_eq!(nothing.code(), "invalid_argument");
        let seen = world.pyro.status_task(&id).await.unwrap();
        assert_eq!(
            (seen.name.as_deref(), &seen.labels),
            (Some("second"), &updated.labels),
            "what failed changed nothing"
        );
        let back = NamingChange { remove_labels: vec!["stage".into()], ..named("first") };
        assert_eq!(world.pyro.update_task(&id, back).await.unwrap().labels, labels(&[("team", "core")]));
    }
    let remove = NamingChange { name: NameChange::Remove, ..NamingChange::default() };
    assert_eq!(world.pyro.update_task(&id, remove).await.unwrap().name, None);
    world.pyro.update_task(&other, named("first")).await.expect("it is free");
    world.pyro.start_task(&id, None).await.unwrap();
    assert_eq!(world.pyro.status_task(&id).await.unwrap().labels, labels(&[("team", "core")]), "they stay");
}

#[tokio::test]
async fn a_supervisor_may_be_killed_at_any_step_of_an_update() {
    for step in 1.. {
        assert!(step < 100, "the update ends");
        let world = World::new();
        let (pyro, steps) = world.killing_supervisors_at(step);
        let Ok(task) = create_named(&pyro, "before").await else { continue };
        let updated = pyro.update_task("before", named("after")).await;
        // Whoever did it, it is done, and twice is as good as once.
        assert_eq!(updated.unwrap().name.as_deref(), Some("after"));
        assert_eq!(world.pyro.status_task("after").await.unwrap().task_id, task.task_id);
        assert_eq!(world.pyro.status_task("before").await.unwrap_err().code(), "unknown_task");
        create_named(&world.pyro, "before").await.unwrap();
        if lines(&steps) < step {
            assert!(std::fs::read_to_string(steps).unwrap().contains("update.after"));
            return;
        }
    }
}

#[tokio::test]
async fn tasks_are_listed_by_their_labels() {
    let world = World::new();
    let (events, _heard) = mpsc::channel(64);
    let mut ids = Vec::new();
    for (team, stage) in [("core", "test"), ("core", "build"), ("web", "test")] {
        let naming = Naming { name: None, labels: labels(&[("team", team), ("stage", stage)]) };
        let asked = CreateRequest { naming, ..request(None, Duration::from_secs(600)) };
        ids.push(world.pyro.create_task(asked, &events).await.unwrap().task_id);
    }
    world.create().await;
    let listed = async |wanted: &[(&str, &str)]| {
        let list = world.pyro.list_labelled_tasks(&labels(wanted)).await.unwrap();
        assert_eq!(list.count, list.tasks.len());
        list.tasks.into_iter().map(|task| task.task_id).collect::<Vec<_>>()
    };
    assert_eq!(listed(&[("team", "core")]).await, ids[..2]);
    assert_eq!(listed(&[("team", "core"), ("stage", "build")]).await, [ids[1].clone()]);
    assert_eq!(listed(&[("team", "")]).await, [] as [&str; 0]);
    assert_eq!(listed(&[]).await.len(), 4);
}

#[tokio::test]
async fn an_attempt_with_another_name_is_another_request() {
    let world = World::new();
    let (events, _heard) = mpsc::channel(64);
    let asked = |name: &str| CreateRequest {
        naming: Naming { name: Some(name.into()), ..Naming::default() },
        ..request(Some("attempt"), Duration::from_secs(600))
    };
    let first = world.pyro.create_task(asked("one"), &events).await.unwrap();
    let again = world.pyro.create_task(asked("one"), &events).await.unwrap();
    assert_eq!(first.task_id, again.task_id, "its own name is not taken from it");
    assert_eq!(world.pyro.create_task(asked("two"), &events).await.unwrap_err().code(), "attempt_conflict");
    assert_eq!(world.pyro.create_task(asked("a b"), &events).await.unwrap_err().code(), "invalid_argument");
}
