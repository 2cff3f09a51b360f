//! What cannot be read is kept and reported, and who only reads needs no right to write.

use pyro_manager::{LogsRequest, Pyro, RepairMode, RepairReport, RepairRequest};
use serde_json::{Value, json};

use crate::world::{World, command, exec, exec_request, kill, listening};

/// A task that ran two commands and whose supervisor was killed.
async fn stopped(world: &World) -> String {
    let id = started(world).await;
    kill(world.supervisor_of(&id).unwrap());
    world.wait_for_end_of(&id);
    id
}

async fn started(world: &World) -> String {
    let task = world.create().await;
    for text in ["hello", "fail 7"] {
        exec(&world.pyro, &task.task_id, text).await.unwrap();
    }
    task.task_id
}

async fn list(pyro: &Pyro) -> Value {
    serde_json::to_value(pyro.list_tasks().await.unwrap()).unwrap()
}

fn states(list: &Value) -> Vec<(&str, &str)> {
    let word =
        |task: &'_ Value, key: &str| -> &str { Box::leak(task[key].as_str().unwrap().to_owned().into_boxed_str()) };
    list["tasks"].as_array().unwrap().iter().map(|task| (word(task, "task_id"), word(task, "state"))).collect()
}

fn problems(list: &Value) -> Vec<String> {
    list["problems"].as_array().unwrap().iter().map(|problem| problem["code"].as_str().unwrap().to_owned()).collect()
}

async fn repair(pyro: &Pyro, mode: RepairMode, delete: &[&str]) -> RepairReport {
    let delete = delete.iter().map(|id| (*id).to_owned()).collect();
    pyro.repair(RepairRequest { mode, delete }).await.unwrap()
}

fn actions(report: &RepairReport) -> Vec<(&str, bool)> {
    assert!(report.findings.iter().all(|finding| finding.failed.is_none()), "{report:?}");
    report.findings.iter().map(|finding| (finding.action, finding.done)).collect()
}

fn rewrite(path: &std::path::Path, change: impl FnOnce(&mut Value)) {
    let mut record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    record.as_object_mut().unwrap().remove("crc32");
    change(&mut record);
    std::fs::write(path, serde_json::to_string_pretty(&record).unwrap()).unwrap();
}

fn registry(world: &World) -> rusqlite::Connection {
    rusqlite::Connection::open(world.config.data.join("registry.sqlite")).unwrap()
}

#[tokio::test]
async fn a_task_of_a_newer_release_is_kept_and_reported() {
    let world = World::new();
    let (id, other) = (stopped(&world).await, stopped(&world).await);
    rewrite(&world.directory(&id).join("record.json"), |record| record["format"] = 2.into());
    for _ in 0..2 {
        world.pyro.recover();
        let list = list(&world.pyro).await;
        assert!(world.directory(&id).join("journal.log").exists(), "recovery removes nothing that it cannot read");
        assert_eq!(
            (problems(&list), states(&list)),
            (vec!["newer_record".to_owned()], vec![(other.as_str(), "stopped")])
        );
    }
    assert_eq!(world.pyro.status_task(&id).await.unwrap_err().code(), "newer_record");
    assert_eq!(world.pyro.delete_task(&id).await.unwrap_err().code(), "newer_record");
    rewrite(&world.directory(&id).join("record.json"), |record| record["format"] = 1.into());
    assert_eq!(world.pyro.status_task(&id).await.unwrap().command_count, 2);
}

#[tokio::test]
async fn a_newer_registry_is_refused_before_anything_is_touched() {
    let world = World::new();
    let id = stopped(&world).await;
    std::fs::remove_file(world.directory(&id).join("record.json")).unwrap();
    let other = stopped(&world).await;
    let before = std::fs::read(world.directory(&other).join("record.json")).unwrap();
    registry(&world).pragma_update(None, "user_version", 2).unwrap();
    world.pyro.recover();
    assert_eq!(world.pyro.list_tasks().await.unwrap_err().code(), "newer_registry");
    assert_eq!(world.pyro.status_task(&other).await.unwrap_err().code(), "newer_registry");
    assert!(world.directory(&id).exists());
    assert_eq!(std::fs::read(world.directory(&other).join("record.json")).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_record_costs_nothing_while_the_registry_has_it() {
    let world = World::new();
    let id = stopped(&world).await;
    let path = world.directory(&id).join("record.json");
    let whole = std::fs::read(&path).unwrap();
    for at in [0, whole.len() / 2, whole.len() - 12] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        world.pyro.recover();
        let list = list(&world.pyro).await;
        assert_eq!(
            (problems(&list), states(&list)),
            (vec!["record_damaged".to_owned()], vec![(id.as_str(), "stopped")])
        );
        let status = serde_json::to_value(world.pyro.status_task(&id).await.unwrap()).unwrap();
        assert_eq!((&status["command_count"], &status["problems"][0]["code"]), (&json!(2), &json!("record_damaged")));
        assert_eq!(world.pyro.logs_task(&id, LogsRequest::default()).await.unwrap().count, 2);
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "nobody who looks changes it");
    }
    std::fs::remove_file(&path).unwrap();
    world.pyro.recover();
    assert_eq!(problems(&list(&world.pyro).await), ["record_missing"]);
    world.pyro.delete_task(&id).await.unwrap();
    assert_eq!(world.vms(), [] as [&str; 0], "who says so may delete it all the same");
}

#[tokio::test]
async fn a_broken_row_is_reported_and_the_others_are_listed() {
    let world = World::new();
    let (id, other) = (stopped(&world).await, stopped(&world).await);
    let changed = registry(&world).execute("UPDATE machines SET record = substr(record, 9) WHERE id = ?1", [&id]);
    assert_eq!(changed.unwrap(), 1);
    let list = list(&world.pyro).await;
    let mut expected = [(id.as_str(), "stopped"), (other.as_str(), "stopped")];
    if states(&list)[0].0 == other {
        expected.reverse();
    }
    assert_eq!((problems(&list), states(&list)), (vec!["registry_unusable".to_owned()], expected.to_vec()));
    assert_eq!(world.pyro.status_task(&id).await.unwrap().command_count, 2);
}

#[tokio::test]
async fn few_descriptors_delete_nothing() {
    let world = World::new();
    let id = stopped(&world).await;
    let files = || {
        let names = std::fs::read_dir(world.directory(&id)).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    let before = files();
    for descriptors in 8..40 {
        // One that cannot even start tells nothing.
        let script =
            format!("for name in list status logs; do echo \"$name {{}}\"; done; ulimit -n {descriptors}; exec \"$@\"");
        let told = world.looked(&id, &script);
        assert!(
            told["status"]["error"]["code"] != "unknown_task" && told["status"]["error"]["code"] != "deleted",
            "{told}"
        );
        assert_eq!(files().iter().filter(|name| before.contains(name)).count(), before.len(), "{descriptors}: {told}");
    }
    assert_eq!(world.pyro.status_task(&id).await.unwrap().command_count, 2);
}

#[tokio::test]
async fn who_only_looks_needs_no_right_to_write() {
    let world = World::new();
    let id = stopped(&world).await;
    let settled = stopped(&world).await;
    world.pyro.status_task(&settled).await.unwrap();
    let read_only = r#"mount --bind "$DATA" "$DATA" && mount -o remount,bind,ro "$DATA" && "#;
    let full = r#"cp -a "$DATA/." "$DATA-copy" && mount -t tmpfs -o size=4m none "$DATA" && cp -a "$DATA-copy/." "$DATA" &&
        { dd if=/dev/zero of="$DATA/filler" bs=4096 2>/dev/null; ! echo more >"$DATA/more"; } 2>/dev/null && "#;
    for (name, place) in [("read-only", read_only), ("full", full)] {
        let script = format!("exec unshare --user --map-root-user --mount sh -c '{place} exec \"$@\"' sh \"$@\"");
        if !std::process::Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/tmp"])
            .status()
            .is_ok_and(|status| status.success())
        {
            pyro_testkit::skip("who_only_looks_needs_no_right_to_write", "no file systems may be mounted here");
            return;
        }
        for id in [&id, &settled] {
            let told = world.looked(id, &script);
            assert_eq!(told["list"]["count"], 2, "{name}: {told}");
            assert_eq!(
                (&told["status"]["state"], &told["status"]["command_count"]),
                (&json!("stopped"), &json!(2)),
                "{name}"
            );
            assert_eq!(told["logs"]["entries"][1]["exit_code"], 7, "{name}: {told}");
        }
    }
}

#[tokio::test]
async fn a_registry_that_is_gone_or_damaged_keeps_nobody_from_reading() {
    let world = World::new();
    let id = stopped(&world).await;
    let path = world.config.data.join("registry.sqlite");
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len() * 8).step_by(whole.len() * 8 / 97) {
        let mut bytes = whole.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        let _ = std::fs::remove_file(world.config.data.join("registry.sqlite-journal"));
        std::fs::write(&path, &bytes).unwrap();
        world.pyro.recover();
        match world.pyro.status_task(&id).await {
            Ok(status) => assert_eq!(status.command_count, 2, "bit {at}"),
            Err(error) => assert_eq!(error.code(), "newer_registry", "bit {at}: {error}"),
        }
        assert!(world.directory(&id).join("record.json").exists(), "bit {at}");
    }
}

#[tokio::test]
async fn a_damaged_journal_is_read_around_the_damage_and_says_so() {
    let world = World::new();
    let id = started(&world).await;
    let path = world.directory(&id).join("journal.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|word| word == b"hello").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    for state in ["started", "stopped"] {
        let status = serde_json::to_value(world.pyro.status_task(&id).await.unwrap()).unwrap();
        assert_eq!((&status["command_count"], &status["state"]), (&json!(2), &json!(state)));
        assert_eq!(status["problems"][0]["code"], "journal_damaged");
        let logs = serde_json::to_value(world.pyro.logs_task(&id, LogsRequest::default()).await.unwrap()).unwrap();
        assert_eq!(
            (&logs["problems"][0]["code"], &logs["entries"][1]["exit_code"]),
            (&json!("journal_damaged"), &json!(7))
        );
        let hit = &logs["entries"][0];
        assert_eq!(
            (&hit["sequence"], &hit["stdout"], &hit["status"]),
            (&json!(1), &json!("hello\n"), &json!("finished"))
        );
        assert!(hit["reason"].as_str().unwrap().contains("the journal is damaged at the start"), "{hit}");
        assert_eq!(problems(&list(&world.pyro).await), ["journal_damaged"]);
        if state == "started" {
            kill(world.supervisor_of(&id).unwrap());
            world.wait_for_end_of(&id);
        }
    }
    assert_eq!(&std::fs::read(&path).unwrap()[..bytes.len()], &bytes[..], "nothing behind the damage is cut");
}

#[tokio::test]
async fn a_damaged_end_is_no_running_command_and_a_running_one_is() {
    let world = World::new();
    let id = started(&world).await;
    let hanging = world.pyro.start_task_command(&id, command("hang")).await.unwrap();
    exec(&world.pyro, &id, "hello").await.unwrap();
    let path = world.directory(&id).join("journal.log");
    let mut bytes = std::fs::read(&path).unwrap();
    // The end of the second command and that of the fourth.
    for at in [7, bytes.len() - 9] {
        let at = if at == 7 { bytes.windows(13).position(|word| word == b"\"exit_code\":7").unwrap() } else { at };
        bytes[at] ^= 1;
    }
    std::fs::write(&path, &bytes).unwrap();
    let logs = world.pyro.logs_task(&id, LogsRequest::default()).await.unwrap();
    let statuses: Vec<_> = logs.entries.iter().map(|entry| (entry.status, entry.exit_code)).collect();
    assert_eq!(statuses, [("finished", Some(0)), ("lost", None), ("running", None), ("lost", None)]);
    // Its beginning, too: that it runs is what its supervisor says.
    let at = bytes.windows(6).rposition(|word| word == b"\"hang\"").unwrap();
    bytes[at + 2] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let logs = world.pyro.logs_task(&id, LogsRequest::default()).await.unwrap();
    assert_eq!((logs.entries[2].sequence, logs.entries[2].status, logs.count), (3, "running", 4));
    world.pyro.cancel_task(&id, hanging.sequence).await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_is_over_has_its_result_although_the_supervisor_died() {
    let world = World::new();
    let id = world.create().await.task_id;
    let mut request = command("hello");
    request.attempt_id = Some("a".into());
    let first = exec_request(&world.pyro, &id, request.clone()).await.unwrap();
    let again = world.pyro.start_task_command(&id, request.clone()).await.unwrap();
    assert_eq!((again.sequence, again.status), (1, "finished"), "while it lives");
    let mut hanging = command("hang");
    hanging.attempt_id = Some("b".into());
    assert_eq!(world.pyro.start_task_command(&id, hanging.clone()).await.unwrap().status, "running");
    kill(world.supervisor_of(&id).unwrap());
    for _ in 0..2 {
        let (io, output) = listening();
        let again = world.pyro.exec_task(&id, request.clone(), io).await.unwrap();
        assert_eq!((again.sequence, again.exit_code, &again.stdout), (1, 0, &first.stdout));
        assert_eq!(output.await.unwrap(), b"hello\n");
    }
    let again = world.pyro.start_task_command(&id, request.clone()).await.unwrap();
    assert_eq!((again.sequence, again.status), (1, "finished"));
    assert_eq!(world.pyro.start_task_command(&id, hanging.clone()).await.unwrap().status, "lost");
    assert_eq!(exec_request(&world.pyro, &id, hanging).await.unwrap_err().code(), "command_lost");
    request.command = "fail 7".into();
    assert_eq!(exec_request(&world.pyro, &id, request.clone()).await.unwrap_err().code(), "attempt_conflict");
    request.attempt_id = Some("new".into());
    assert_eq!(exec_request(&world.pyro, &id, request).await.unwrap_err().code(), "task_stopped");
}

#[tokio::test]
async fn repair_restores_what_it_can_and_keeps_what_it_replaces() {
    let world = World::new();
    let (id, broken) = (stopped(&world).await, stopped(&world).await);
    world.pyro.recover();
    let path = world.directory(&id).join("record.json");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let changed = registry(&world).execute("UPDATE machines SET record = substr(record, 9) WHERE id = ?1", [&broken]);
    assert_eq!(changed.unwrap(), 1);
    let journal = world.directory(&broken).join("journal.log");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&journal, &bytes).unwrap();
    let looked = repair(&world.pyro, RepairMode::Look, &[]).await;
    let mut expected = vec![("restore_record", false), ("write_row", false), ("keep_journal_aside", false)];
    assert_eq!((actions(&looked), looked.applied), (expected.clone(), false));
    assert_eq!(std::fs::read(&path).unwrap(), whole[..whole.len() / 2], "a look changes nothing");
    let applied = repair(&world.pyro, RepairMode::Apply, &[]).await;
    expected.iter_mut().for_each(|(_, done)| *done = true);
    assert_eq!((actions(&applied), applied.applied), (expected, true));
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    let aside = world.directory(&id).join("record.damaged-1.json");
    assert_eq!(std::fs::read(aside).unwrap(), whole[..whole.len() / 2]);
    let again = repair(&world.pyro, RepairMode::Apply, &[]).await;
    assert_eq!(actions(&again), [("keep", false)], "what was damaged of the journal stays so");
    assert_eq!(problems(&list(&world.pyro).await), ["journal_damaged"]);
}

#[tokio::test]
async fn repair_makes_a_damaged_registry_anew_after_it_has_taken_from_it_what_it_can() {
    let world = World::new();
    let (id, other) = (stopped(&world).await, stopped(&world).await);
    world.pyro.recover();
    std::fs::write(world.directory(&id).join("record.json"), "{").unwrap();
    // An index that does not match its table: every row can be read.
    registry(&world)
        .execute_batch(
            "PRAGMA writable_schema = on; DELETE FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'gone'",
        )
        .unwrap();
    let report = repair(&world.pyro, RepairMode::Apply, &[]).await;
    assert_eq!(actions(&report), [("restore_record", true), ("make_registry", true)], "{report:?}");
    assert!(world.config.data.join("registry.damaged.sqlite").exists());
    let list = list(&world.pyro).await;
    assert_eq!(problems(&list), [] as [&str; 0]);
    assert!([id, other].iter().all(|id| states(&list).iter().any(|(listed, _)| listed == id)));
    assert_eq!(repair(&world.pyro, RepairMode::Look, &[]).await.count, 0);
}

#[tokio::test]
async fn repair_removes_only_what_is_named_and_nothing_that_lives() {
    let world = World::new();
    let (newer, nameless, living) = (stopped(&world).await, stopped(&world).await, started(&world).await);
    rewrite(&world.directory(&newer).join("record.json"), |record| record["format"] = 2.into());
    std::fs::remove_file(world.directory(&nameless).join("record.json")).unwrap();
    registry(&world).execute("DELETE FROM machines WHERE id = ?1", [&nameless]).unwrap();
    assert_eq!(actions(&repair(&world.pyro, RepairMode::Apply, &[]).await), [("keep", false), ("keep", false)]);
    assert_eq!(world.vms().len(), 3);
    let refused = world.pyro.repair(RepairRequest { mode: RepairMode::Apply, delete: vec![living.clone()] }).await;
    assert!(refused.unwrap_err().to_string().contains("is running"));
    let unknown = world.pyro.repair(RepairRequest { mode: RepairMode::Apply, delete: vec!["00".into()] }).await;
    assert_eq!(unknown.unwrap_err().code(), "unknown_task");
    let row = "INSERT INTO machines VALUES ('00000000dead', 'task', 1.0, NULL, 'x')";
    registry(&world).execute(row, []).unwrap();
    assert_eq!(repair(&world.pyro, RepairMode::Look, &[]).await.count, 3);
    let removed = repair(&world.pyro, RepairMode::Apply, &["00000000dead"]).await;
    assert_eq!(actions(&removed), [("keep", false), ("keep", false), ("delete", true)]);
    assert_eq!(repair(&world.pyro, RepairMode::Look, &[]).await.count, 2);
    let looked = repair(&world.pyro, RepairMode::Look, &[&newer, &nameless]).await;
    assert_eq!((actions(&looked), world.vms().len()), (vec![("delete", false); 2], 3));
    let applied = repair(&world.pyro, RepairMode::Apply, &[&newer, &nameless]).await;
    assert_eq!((actions(&applied), world.vms()), (vec![("delete", true); 2], vec![living]));
}

#[tokio::test]
async fn repair_removes_what_lives_where_nobody_can_read_what_it_is() {
    let world = World::new();
    let (newer, damaged) = (started(&world).await, started(&world).await);
    rewrite(&world.directory(&newer).join("record.json"), |record| record["format"] = 2.into());
    std::fs::write(world.directory(&damaged).join("record.json"), "{").unwrap();
    registry(&world).execute("UPDATE machines SET record = 'x' WHERE id = ?1", [&damaged]).unwrap();
    assert_eq!(world.pyro.delete_task(&newer).await.unwrap_err().code(), "newer_record");
    assert_eq!(world.pyro.delete_task(&damaged).await.unwrap_err().code(), "record_damaged");
    let looked = repair(&world.pyro, RepairMode::Look, &[&newer, &damaged]).await;
    assert_eq!((actions(&looked), world.vms().len()), (vec![("delete", false); 2], 2));
    let applied = repair(&world.pyro, RepairMode::Apply, &[&newer, &damaged]).await;
    assert_eq!((actions(&applied), world.vms().len()), (vec![("delete", true); 2], 0));
    assert_eq!(repair(&world.pyro, RepairMode::Look, &[]).await.count, 0);
}

/// Every file of a stopped task, the registry, the environment and its template, one bit at a time.
#[tokio::test]
async fn a_flipped_bit_loses_nothing_and_is_said() {
    let world = World::new();
    let id = stopped(&world).await;
    world.pyro.recover();
    let installed = world.config.cache.join(
        std::fs::read_dir(&world.config.cache)
            .unwrap()
            .find_map(|entry| {
                let name = entry.unwrap().file_name();
                name.to_str().unwrap().starts_with("debian_12-").then_some(name)
            })
            .unwrap(),
    );
    let template = std::fs::read_dir(installed.join("templates"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("template.json"));
    let template = template.into_iter().find(|path| path.exists()).unwrap();
    // A fingerprint that has moved makes it write the manifest itself, with a checksum.
    let disk = std::fs::File::options().write(true).open(installed.join("rootfs.ext4")).unwrap();
    disk.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert!(world.pyro.inspect_environment("debian:12").unwrap().installed);
    let record = world.directory(&id).join("record.json");
    let journal = world.directory(&id).join("journal.log");
    let there = |path: &std::path::Path| assert!(path.exists(), "{}", path.display());
    for path in [&record, &journal, &installed.join("environment.json"), &template] {
        let whole = std::fs::read(path).unwrap();
        for bit in (0..whole.len() * 8).step_by(whole.len() * 8 / 61) {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(path, &bytes).unwrap();
            let list = list(&world.pyro).await;
            let said = problems(&list);
            let place = format!("bit {bit} of {}: {said:?}", path.display());
            if path == &record || path == &journal {
                let is_as_before = path == &record && said.is_empty() && is_same_object(&whole, &bytes);
                assert!(is_as_before || said.len() == 1, "{place}");
                assert!(list["count"] == 1 || said == ["newer_record"], "{place}");
            }
            if path == &journal {
                let task = &list["tasks"][0];
                assert!(task["command_count"] == 2 || said == ["newer_journal"], "{place}");
            }
            if path == &template || path.ends_with("environment.json") {
                let environment = serde_json::to_value(world.pyro.inspect_environment("debian:12").unwrap()).unwrap();
                let is_said = environment["problem"].is_string() || is_same_object(&whole, &bytes);
                assert!(path == &template || is_said, "{place}");
                there(&installed.join("rootfs.ext4"));
            }
            [&record, &journal, &template].into_iter().for_each(|path| there(path));
            assert_eq!(std::fs::read(path).unwrap(), bytes, "{place}");
            std::fs::write(path, &whole).unwrap();
        }
    }
    assert_eq!(problems(&list(&world.pyro).await), [] as [&str; 0]);
    assert_eq!(world.pyro.status_task(&id).await.unwrap().command_count, 2);
}

/// Whether every field but the checksum is as it was.
fn is_same_object(whole: &[u8], bytes: &[u8]) -> bool {
    let mut known: serde_json::Map<String, Value> = serde_json::from_slice(whole).unwrap();
    known.remove("crc32");
    let object: Option<Value> = serde_json::from_slice(bytes).ok();
    object.is_some_and(|object| known.iter().all(|(key, value)| object.get(key) == Some(value)))
}

#[tokio::test]
async fn output_that_was_changed_on_the_disk_is_said_to_be_damaged() {
    let world = World::new();
    let task = world.create().await;
    let id = task.task_id.as_str();
    exec(&world.pyro, id, "hello").await.unwrap();
    let logs = world.pyro.logs_task(id, LogsRequest::default()).await.unwrap();
    assert_eq!(logs.entries[0].stdout_cut, None);
    std::fs::write(&logs.entries[0].stdout_file, "hellO\n").unwrap();
    let logs = world.pyro.logs_task(id, LogsRequest::default()).await.unwrap();
    assert!(logs.entries[0].stdout_cut.as_ref().unwrap().contains("damaged"), "{:?}", logs.entries[0]);
    world.pyro.delete_task(id).await.unwrap();
}
