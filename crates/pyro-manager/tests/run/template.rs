//! Templates: when they are made, used, refused and replaced.

use pyro_manager::{Error, MachineSize, RunRecord, StartMode};
use pyro_testkit::Start;

use crate::world::{notices, request, world};

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
    let ours = serde_json::from_str::<serde_json::Value>(&text).unwrap()["format"].as_u64().unwrap();
    let newer = text.replacen(&format!("\"format\": {ours}"), &format!("\"format\": {}", ours + 1), 1);
    assert_ne!(newer, text);
    std::fs::write(template, &newer).unwrap();
    let boots = world.engine.boots();
    let refused = world.run("hello").await.unwrap_err();
    assert_eq!(refused.code(), "newer_environment");
    let numbers = format!("it has format {}; this release supports format {ours}", ours + 1);
    let said = format!("{} was written by a newer release of pyro: {numbers}", template.display());
    assert_eq!(refused.to_string(), said);
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
