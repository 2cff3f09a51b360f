//! Other releases: clients at a supervisor's socket, and what they have left.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use crate::attacked::{answer, message};
use crate::world::{World, exec, kill, request};

const COMMAND: &str = r#"{"ask":"exec","command":"hello","cwd":"/","environment":[],"timeout_us":30000000,
    "attempt_id":null,"attached":false,"stdin":false,"then_delete":false}"#;

fn hello(generation: u32, release: &str, needs: u32) -> String {
    format!(r#"{{"ask":"hello","generation":{generation},"release":"{release}","needs":{needs}}}"#)
}

/// What the supervisor answers to these messages, written at once.
fn answers(world: &World, id: &str, messages: &[&str]) -> Vec<Value> {
    let bytes: Vec<u8> = messages.iter().flat_map(|text| message(text.as_bytes())).collect();
    let said = answer(world, id, &bytes);
    let texts = said.match_indices("{\"say\"").map(|(at, _)| &said[at..]);
    texts.map(|text| serde_json::Deserializer::from_str(text).into_iter().next().unwrap().unwrap()).collect()
}

fn says(answers: &[Value]) -> Vec<&str> {
    answers.iter().map(|answer| answer["say"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_client_that_says_hello_hears_one_and_a_client_of_the_first_generation_does_not() {
    let world = World::new();
    let id = world.create().await.task_id;
    let first = answers(&world, &id, &[COMMAND]);
    assert_eq!((says(&first), &first[0]["sequence"]), (vec!["accepted"], &1.into()));
    let second = answers(&world, &id, &[&hello(2, "2.2.0", 1), COMMAND]);
    assert_eq!((says(&second), &second[1]["sequence"]), (vec!["hello", "accepted"], &2.into()));
    assert_eq!((&second[0]["generation"], &second[0]["release"]), (&2.into(), &env!("CARGO_PKG_VERSION").into()));
    world.pyro.delete_task(&id).await.unwrap();
}

#[tokio::test]
async fn a_later_client_is_served_or_told_what_cannot_be_done_and_nothing_is_half_done() {
    let world = World::new();
    let id = world.create().await.task_id;
    let served = answers(&world, &id, &[&hello(9, "9.0.0", 2), COMMAND]);
    assert_eq!(says(&served), ["hello", "accepted"]);
    let ours = env!("CARGO_PKG_VERSION");
    for (what, messages) in [
        ("the supervisor cannot do what is asked", [hello(9, "9.0.0", 9), COMMAND.to_owned()]),
        ("the supervisor does not understand the request", [hello(9, "9.0.0", 2), r#"{"ask":"fly"}"#.to_owned()]),
    ] {
        let said = answers(&world, &id, &[&messages[0], &messages[1]]);
        assert_eq!(says(&said), ["hello", "failed"]);
        let failure = &said[1]["failure"];
        assert_eq!(failure["code"], "other_release");
        assert_eq!(
            failure["error"],
            format!("{what}: its supervisor is of pyro {ours}, and the client is of pyro 9.0.0")
        );
        assert_eq!(failure["hint"], format!("use pyro {ours} for it, or delete it and create another"));
    }
    assert_eq!(exec(&world.pyro, &id, "hello").await.unwrap().sequence, 2, "nothing else was run");
    world.pyro.delete_task(&id).await.unwrap();
}

#[tokio::test]
async fn a_hello_comes_once() {
    let world = World::new();
    let id = world.create().await.task_id;
    let greeting = hello(2, "2.2.0", 1);
    let twice = answers(&world, &id, &[&greeting, &greeting, COMMAND]);
    assert_eq!((says(&twice), &twice[1]["failure"]["code"]), (vec!["hello", "failed"], &"invalid_argument".into()));
    assert_eq!(exec(&world.pyro, &id, "hello").await.unwrap().sequence, 1, "nothing else was run");
    world.pyro.delete_task(&id).await.unwrap();
}

/// The digest that release 2.1.0 notes of a VM's environment: templates have it, too.
fn digest_with_agent(world: &World) -> Value {
    let inside = |path: std::path::PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
    let environments = inside(world.config.cache.clone());
    let templates = environments.flat_map(|environment| inside(environment.path().join("templates")));
    let records = templates.filter_map(|template| std::fs::read(template.path().join("template.json")).ok());
    let digests: Vec<Value> =
        records.map(|text| serde_json::from_slice::<Value>(&text).unwrap()["environment"].clone()).collect();
    assert_eq!(digests.len(), 1);
    digests[0].clone()
}

#[tokio::test]
async fn a_vm_starts_again_over_what_its_disk_was_made_over_with_any_agent() {
    let world = World::new();
    let (events, _heard) = mpsc::channel(16);
    let id = world.pyro.create_vm(request(None, Duration::from_secs(600)), &events).await.unwrap().vm_id;
    world.pyro.start_vm(&id).await.unwrap();
    let record: Value =
        serde_json::from_slice(&std::fs::read(world.directory(&id).join("record.json")).unwrap()).unwrap();
    let (noted, of_2_1_0) = (record["environment_digest"].clone(), digest_with_agent(&world));
    assert_ne!(noted, of_2_1_0, "what this release notes has no agent in it");
    for digest in [noted, of_2_1_0] {
        kill(world.supervisor_of(&id).unwrap());
        world.wait_for_supervisors();
        world.change_the_books(&id, "environment_digest", digest);
        assert_eq!(world.pyro.start_vm(&id).await.unwrap().life.state, "started");
    }
    kill(world.supervisor_of(&id).unwrap());
    world.wait_for_supervisors();
    world.change_the_books(&id, "environment_digest", "sha256:00".into());
    assert_eq!(world.pyro.start_vm(&id).await.unwrap_err().code(), "environment_changed");
    world.pyro.delete_vm(&id).await.unwrap();
}
