use super::*;
use crate::UnpackFailure;
use crate::UnpackJob;
use crate::manifest::{FORMAT, FileRecord, KernelRecord};
use crate::partial::SCRATCH_NOTE;
use std::future::Future;
use std::pin::Pin;

const AGENT: Agent = Agent { program: b"agent", digest: "sha256:0123456789abcdef00" };

fn store(base: &Path) -> Store {
    let tools = Tools { search_path: vec![base.join("bin")], scratch: base.to_owned() };
    Store::new(base.join("cache"), tools, AGENT)
}

/// An installed `debian:12` made of small files.
fn install_small(store: &Store) -> PathBuf {
    let entry = store.entry("debian:12").unwrap();
    let directory = store.install_directory(entry);
    fs::create_dir_all(directory.join(MODULES)).unwrap();
    fs::write(directory.join(KERNEL), "kernel").unwrap();
    fs::write(directory.join(ROOTFS), "rootfs").unwrap();
    fs::write(directory.join(MODULES).join(initramfs::ORDER), "").unwrap();
    let record = |name: &str| {
        let path = directory.join(name);
        FileRecord {
            name: name.into(),
            digest: digest_of(&path).unwrap(),
            fingerprint: fingerprint::of(&path).unwrap().to_string(),
        }
    };
    let manifest = Manifest {
        format: FORMAT,
        name: "debian:12".into(),
        version: entry.version.into(),
        catalog_version: "2.1.0".into(),
        installed_by: "2.1.0".into(),
        installed_at: 1.0,
        suite: "bookworm".into(),
        source_digest: "sha256:00".into(),
        kernel: KernelRecord { release: "6.12".into(), image: record(KERNEL) },
        rootfs: record(ROOTFS),
        modules: vec![],
        packages: vec![],
    };
    manifest::write(&directory, &manifest).unwrap();
    directory
}

struct NoUnpacker;
impl Unpacker for NoUnpacker {
    fn unpack<'a>(
        &'a self,
        _: UnpackJob<'a>,
        _: &'a mut (dyn FnMut(u64) + Send),
    ) -> Pin<Box<dyn Future<Output = Result<(), UnpackFailure>> + Send + 'a>> {
        panic!("nothing is unpacked in these tests")
    }
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let base = tempfile::tempdir().unwrap();
    let error = store(base.path()).installed("debian:99").unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown environment \"debian:99\"; the environments are debian:12, debian:12-base, debian:12-build"
    );
}

#[test]
fn what_is_not_there_is_not_installed() {
    let base = tempfile::tempdir().unwrap();
    assert!(matches!(store(base.path()).installed("debian:12"), Err(EnvironmentError::NotInstalled { .. })));
}

#[test]
fn a_changed_file_is_damage_even_when_its_size_is_the_same() {
    let base = tempfile::tempdir().unwrap();
    let store = store(base.path());
    let directory = install_small(&store);
    store.installed("debian:12").unwrap();
    fs::write(directory.join(ROOTFS), "rootfz").unwrap();
    let error = store.installed("debian:12").unwrap_err();
    assert_eq!(
        error.to_string(),
        "environment debian:12 is damaged: rootfs.ext4 has changed since it was installed (its digest differs)"
    );
    fs::remove_file(directory.join(KERNEL)).unwrap();
    assert!(matches!(store.installed("debian:12"), Err(EnvironmentError::Damaged { .. })));
}

#[test]
fn a_file_that_only_moved_is_looked_at_once_and_kept() {
    let base = tempfile::tempdir().unwrap();
    let store = store(base.path());
    let directory = install_small(&store);
    let copy = directory.join("copy");
    fs::copy(directory.join(ROOTFS), &copy).unwrap();
    fs::rename(copy, directory.join(ROOTFS)).unwrap();
    let before = manifest::read(&directory, "debian:12").unwrap();
    let installed = store.installed("debian:12").unwrap();
    assert_ne!(installed.manifest.rootfs.fingerprint, before.rootfs.fingerprint);
    assert_eq!(manifest::read(&directory, "debian:12").unwrap(), installed.manifest);
}

#[test]
fn another_agent_makes_another_digest_of_the_same_system() {
    let base = tempfile::tempdir().unwrap();
    let mut store = store(base.path());
    install_small(&store);
    let one = store.installed("debian:12").unwrap();
    store.agent = Agent { program: b"newer", digest: "sha256:fedcba987654321000" };
    let other = store.installed("debian:12").unwrap();
    assert_ne!(other.digest, one.digest);
    assert_eq!(other.system_digest, one.system_digest);
    assert!(![&one.digest, &other.digest].contains(&&one.system_digest));
}

#[tokio::test]
async fn a_pull_without_tools_fails_cleanly_and_leaves_nothing_installed() {
    let base = tempfile::tempdir().unwrap();
    let store = store(base.path());
    let error = store.pull("debian:12", &NoUnpacker, &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::MissingTool { .. }), "{error}");
    assert!(matches!(store.installed("debian:12"), Err(EnvironmentError::NotInstalled { .. })));
    let left: Vec<_> = fs::read_dir(store.cache()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".lock-debian_12"]);
    assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1, "no scratch directory is left");
}

#[tokio::test]
async fn what_an_interrupted_pull_left_is_removed_by_the_next_and_by_prune() {
    let base = tempfile::tempdir().unwrap();
    let store = store(base.path());
    let partial = store.cache().join(".partial-debian_12");
    let leave = || {
        fs::create_dir_all(&partial).unwrap();
        let scratch = partial::make_scratch(&store.tools, &partial).unwrap();
        fs::write(scratch.join("half"), "x").unwrap();
        scratch
    };
    let scratch = leave();
    let _ = store.pull("debian:12", &NoUnpacker, &mut |_| {}).await;
    assert!(!scratch.exists() && !partial.exists());
    let scratch = leave();
    fs::create_dir_all(store.cache().join("debian_11-1.0.0")).unwrap();
    install_small(&store);
    let pruned = store.prune().await.unwrap();
    assert_eq!(pruned.deleted, [".partial-debian_12", "debian_11-1.0.0"]);
    assert!(!scratch.exists() && !partial.exists());
    store.installed("debian:12").expect("an installed environment of this release stays");
}

#[tokio::test]
async fn prune_leaves_a_pull_that_is_under_way_alone() {
    let base = tempfile::tempdir().unwrap();
    let store = store(base.path());
    let partial = store.cache().join(".partial-debian_12");
    fs::create_dir_all(&partial).unwrap();
    let _pull = lock::exclusive(&store.lock_path("debian_12")).unwrap();
    assert_eq!(store.prune().await.unwrap(), Pruned::default());
    assert!(partial.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_pull_waits_and_finds_it_installed() {
    let base = tempfile::tempdir().unwrap();
    let store = store(base.path());
    fs::create_dir_all(store.cache()).unwrap();
    let first = lock::exclusive(&store.lock_path("debian_12")).unwrap();
    let (waiting, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let second = tokio::spawn({
        let store = store.clone();
        async move { store.pull("debian:12", &NoUnpacker, &mut |progress| waiting.send(progress.step).unwrap()).await }
    });
    assert_eq!(heard.recv().await, Some(Step::Waiting));
    install_small(&store);
    drop(first);
    second.await.unwrap().expect("the second pull finds what the first one installed");
}

#[tokio::test]
async fn a_damaged_environment_is_kept_where_another_cannot_be_made() {
    let base = tempfile::tempdir().unwrap();
    let store = store(base.path());
    let directory = install_small(&store);
    fs::write(directory.join(KERNEL), "karnel").unwrap();
    store.pull("debian:12", &NoUnpacker, &mut |_| {}).await.unwrap_err();
    assert_eq!(fs::read(directory.join(KERNEL)).unwrap(), b"karnel");
}

#[tokio::test]
async fn a_pull_without_room_says_how_much_is_missing_and_starts_nothing() {
    let base = tempfile::tempdir().unwrap();
    let mut store = store(base.path());
    store.available_bytes = |_| Ok(100 << 20);
    let error = store.pull("debian:12", &NoUnpacker, &mut |_| {}).await.unwrap_err();
    let shown = error.to_string();
    assert!(shown.ends_with("cache has 100 MiB free; pulling debian:12 needs 1600 MiB"), "{shown}");
    assert!(error.is_out_of_space());
}

#[tokio::test]
async fn a_disk_that_ran_full_meanwhile_is_the_reason_that_is_told() {
    let base = tempfile::tempdir().unwrap();
    let mut store = store(base.path());
    // Room enough while nothing is made yet, none afterwards.
    store.available_bytes = |path| {
        let partial = path.join(".partial-debian_12");
        Ok(if partial.exists() { 0 } else { 1 << 40 })
    };
    let error = store.pull("debian:12", &NoUnpacker, &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::NoSpace { available_mib: 0, .. }), "{error}");
    assert!(matches!(store.installed("debian:12"), Err(EnvironmentError::NotInstalled { .. })));
}

#[tokio::test]
async fn a_newer_environment_is_refused_and_neither_pulled_again_nor_pruned() {
    let base = tempfile::tempdir().unwrap();
    let store = store(base.path());
    let directory = install_small(&store);
    let newer =
        fs::read_to_string(directory.join("environment.json")).unwrap().replace("\"format\": 1", "\"format\": 2");
    fs::write(directory.join("environment.json"), &newer).unwrap();
    let other = store.cache().join("debian_12-9.0.0");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("environment.json"), &newer).unwrap();
    for error in [
        store.installed("debian:12").unwrap_err(),
        store.pull("debian:12", &NoUnpacker, &mut |_| {}).await.unwrap_err(),
    ] {
        let said = format!(
            "{} was written by a newer release of pyro: it has format 2; this release supports format 1",
            directory.join("environment.json").display()
        );
        assert_eq!(error.to_string(), said);
    }
    assert_eq!(store.prune().await.unwrap(), Pruned::default());
    assert_eq!(fs::read_to_string(directory.join("environment.json")).unwrap(), newer);
    assert!(directory.join(ROOTFS).exists() && other.exists());
}

#[tokio::test]
async fn what_cannot_be_read_is_not_taken_for_damage() {
    let base = tempfile::tempdir().unwrap();
    let store = store(base.path());
    let directory = install_small(&store);
    fs::remove_file(directory.join(KERNEL)).unwrap();
    fs::create_dir(directory.join(KERNEL)).unwrap();
    let error = store.pull("debian:12", &NoUnpacker, &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::Host { .. }), "{error}");
    assert!(directory.join(ROOTFS).exists());
}

#[tokio::test]
async fn a_note_that_names_anything_but_a_scratch_directory_removes_nothing() {
    let base = tempfile::tempdir().unwrap();
    let store = store(base.path());
    let partial = store.cache().join(".partial-debian_12");
    let precious = base.path().join("precious");
    for note in [precious.clone(), base.path().to_owned(), base.path().join("pyro-0123456789abcdeg"), "".into()] {
        fs::create_dir_all(&precious).unwrap();
        fs::create_dir_all(&partial).unwrap();
        fs::write(partial.join(SCRATCH_NOTE), note.as_os_str().as_encoded_bytes()).unwrap();
        store.prune().await.unwrap();
        assert!(precious.exists() && !partial.exists());
    }
}
