//! Beginning a seed and mounting it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use pyro_protocol::files::reason;

use pyro_protocol::files::{BeginSeed, Changes, MountWorkspace, Operation};
use tempfile::TempDir;

use crate::seeded::{World, with_mounts};
use crate::worker::ask;

#[test]
fn a_begun_seed_is_empty_and_private_and_may_be_begun_again() {
    with_mounts("seed::a_begun_seed_is_empty_and_private_and_may_be_begun_again", || {
        let world = World::new();
        fs::set_permissions(world.workspace(), Permissions::from_mode(0o1777)).unwrap();
        world.begin().done();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(world.layers()), mode(world.root().join("var/lib/pyro"))), (0o700, 0o700));
        fs::create_dir(world.seed().join("half")).unwrap();
        fs::write(world.seed().join("half/a"), "of a client that died").unwrap();
        world.begin().done();
        assert_eq!(fs::read_dir(world.seed()).unwrap().count(), 0);
        world.mount().done();
        assert_eq!(mode(world.workspace()), 0o1777, "it looks as it did before");
    });
}

#[test]
fn a_workspace_that_has_something_is_not_seeded() {
    with_mounts("seed::a_workspace_that_has_something_is_not_seeded", || {
        let world = World::new();
        fs::write(world.workspace().join("mine"), "mine").unwrap();
        assert_eq!(world.begin().reason(), reason::NOT_EMPTY);
        assert_eq!(world.mount().reason(), reason::NOT_FOUND, "no seed was begun");
        assert_eq!(fs::read_to_string(world.workspace().join("mine")).unwrap(), "mine");
    });
}

#[test]
fn a_mounted_seed_is_the_workspace_and_is_never_begun_again() {
    with_mounts("seed::a_mounted_seed_is_the_workspace_and_is_never_begun_again", || {
        let world = World::seeded(|seed| fs::write(seed.join("a"), "seed").unwrap());
        let file = world.workspace().join("a");
        assert_eq!(fs::read_to_string(&file).unwrap(), "seed");
        assert_eq!(world.begin().reason(), reason::EXISTS);
        fs::write(&file, "changed").unwrap();
        assert_eq!(world.mount().done().entries, 0, "it is mounted");
        assert_eq!(fs::read_to_string(world.seed().join("a")).unwrap(), "seed");
        // As a worker leaves it that was killed before it had marked what it mounted.
        fs::remove_file(world.layers().join("seeded")).unwrap();
        assert_eq!(world.changes(), ["~ a"]);
        assert_eq!(world.begin().reason(), reason::EXISTS);
        world.mount().done();
        // The machine is booted again.
        world.unmount();
        assert_eq!(world.begin().reason(), reason::EXISTS);
        let unmounted = world.ask(&[], 0);
        assert_eq!((unmounted.output.len(), unmounted.reason().as_str()), (0, reason::FAILED));
        assert_eq!(world.mount().done().entries, 1);
        assert_eq!(fs::read_to_string(&file).unwrap(), "changed");
        assert_eq!(world.changes(), ["~ a"]);
        world.unmount();
        assert_eq!(fs::read_dir(world.workspace()).unwrap().count(), 0, "it was mounted once");
    });
}

/// An overlay cannot be the upper layer of another one.
#[test]
fn a_disk_that_cannot_hold_layers_is_said_and_the_workspace_stays_as_it_is() {
    with_mounts("seed::a_disk_that_cannot_hold_layers_is_said_and_the_workspace_stays_as_it_is", || {
        let directory = TempDir::new().unwrap();
        let script = "mkdir lower upper work root && \
            mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay root && mkdir root/workspace";
        let made = Command::new("sh").args(["-c", script]).current_dir(directory.path()).status().unwrap();
        assert!(made.success());
        let root = directory.path().join("root");
        let begin = || ask(&root, Operation::BeginSeed(BeginSeed {}));
        begin().done();
        let failed = ask(&root, Operation::MountWorkspace(MountWorkspace {})).end.unwrap_err();
        assert_eq!(failed.reason, reason::FAILED);
        let expected =
            "the root file system cannot hold the layers of an overlay, see the kernel's log: Invalid argument";
        assert_eq!(failed.message, expected);
        fs::write(root.join("workspace/new"), "").unwrap();
        let changes = ask(&root, Operation::Changes(Changes::default())).changes();
        assert_eq!(changes.len(), 1, "it goes on without a seed: {changes:?}");
        fs::remove_file(root.join("workspace/new")).unwrap();
        begin().done();
        let unmounted = Command::new("umount").arg(&root).status().unwrap();
        assert!(unmounted.success());
    });
}
