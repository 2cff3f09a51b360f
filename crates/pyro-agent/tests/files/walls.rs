//! Nothing leads out of the root.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pyro_protocol::files::{
    Digest, Find, Grep, List, MakeDirectory, Move, Operation, Pack, Read, Remove, Stat, Unpack, Write, reason,
};
use tempfile::TempDir;

use crate::worker::{Said, ask, ask_with};

const SECRET: &str = "secret of the world outside";

/// A root, and beside it what must be neither read nor changed.
struct World {
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let world = Self { directory };
        fs::create_dir(world.root()).unwrap();
        fs::create_dir(world.outside()).unwrap();
        fs::write(world.outside().join("secret"), SECRET).unwrap();
        world
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    fn outside(&self) -> PathBuf {
        self.directory.path().join("outside")
    }

    fn link(&self, name: &str, target: impl AsRef<Path>) {
        symlink(target, self.root().join(name)).unwrap();
    }

    /// Tries everything that follows a path to a file, and wants to be told why not.
    fn refuses_file(&self, path: &str, why: &str) {
        let bytes = || path.as_bytes().to_vec();
        let read = Operation::Read(Read { path: bytes(), ..Read::default() });
        let digest = Operation::Digest(Digest { path: bytes() });
        let grep = Operation::Grep(Grep { path: bytes(), pattern: b"s".to_vec(), ..Grep::default() });
        for operation in [read, digest, grep] {
            self.refuses(ask(&self.root(), operation.clone()), why, &format!("{operation:?}"));
        }
        for offset in [None, Some(0)] {
            let write = Write { path: bytes(), create_parents: true, offset, ..Write::default() };
            self.refuses(ask_with(&self.root(), Operation::Write(write), b"x"), why, &format!("write {path}"));
        }
        self.is_untouched();
    }

    /// Tries everything that goes into a directory.
    fn refuses_directory(&self, path: &str, why: &str) {
        let bytes = || path.as_bytes().to_vec();
        let below = || [path.as_bytes(), b"/secret"].concat();
        let operations = [
            Operation::List(List { path: bytes(), ..List::default() }),
            Operation::Find(Find { path: bytes(), ..Find::default() }),
            Operation::Stat(Stat { path: below() }),
            Operation::Read(Read { path: below(), ..Read::default() }),
            Operation::Remove(Remove { path: below(), recursive: true }),
            Operation::MakeDirectory(MakeDirectory { path: below(), parents: true, mode: None }),
            Operation::Move(Move { from: below(), to: b"stolen".to_vec(), replace: true }),
            Operation::Unpack(Unpack { path: bytes(), keep_owners: false }),
        ];
        for operation in operations {
            self.refuses(ask(&self.root(), operation.clone()), why, &format!("{operation:?}"));
        }
        fs::write(self.root().join("mine"), "mine").unwrap();
        let out = Operation::Move(Move { from: b"mine".to_vec(), to: below(), replace: true });
        self.refuses(ask(&self.root(), out), why, "move out");
        self.refuses_file(&format!("{path}/secret"), why);
    }

    fn refuses(&self, said: Said, why: &str, what: &str) {
        assert!(!String::from_utf8_lossy(&said.output).contains("secret"), "{what}: {said:?}");
        assert_eq!(said.reason(), why, "{what}");
    }

    fn is_untouched(&self) {
        assert_eq!(fs::read_to_string(self.outside().join("secret")).unwrap(), SECRET);
        assert_eq!(fs::read_dir(self.outside()).unwrap().count(), 1);
        assert_eq!(fs::read_dir(self.directory.path()).unwrap().count(), 2);
    }
}

#[test]
fn two_dots_lead_nowhere() {
    let world = World::new();
    fs::create_dir(world.root().join("d")).unwrap();
    world.refuses_file("../outside/secret", reason::OUTSIDE_ROOT);
    world.refuses_file("d/../../outside/secret", reason::OUTSIDE_ROOT);
    world.refuses_directory("..", reason::OUTSIDE_ROOT);
    world.refuses_directory("../outside", reason::OUTSIDE_ROOT);
}

#[test]
fn an_absolute_path_is_outside() {
    let world = World::new();
    let outside = world.outside().to_str().unwrap().to_owned();
    world.refuses_directory(&outside, reason::OUTSIDE_ROOT);
    world.refuses_directory("/", reason::OUTSIDE_ROOT);
    // Even one that leads back.
    fs::write(world.root().join("inside"), "x").unwrap();
    world.refuses_file(world.root().join("inside").to_str().unwrap(), reason::OUTSIDE_ROOT);
}

#[test]
fn an_absolute_link_is_not_followed_out() {
    let world = World::new();
    world.link("file", world.outside().join("secret"));
    world.link("directory", world.outside());
    world.refuses_file("file", reason::OUTSIDE_ROOT);
    world.refuses_directory("directory", reason::OUTSIDE_ROOT);
}

#[test]
fn a_relative_link_is_not_followed_out() {
    let world = World::new();
    world.link("file", "../outside/secret");
    world.link("directory", "../outside");
    world.refuses_file("file", reason::OUTSIDE_ROOT);
    world.refuses_directory("directory", reason::OUTSIDE_ROOT);
}

#[test]
fn a_chain_of_links_is_not_followed_out() {
    let world = World::new();
    fs::create_dir(world.root().join("d")).unwrap();
    world.link("d/up", "..");
    world.link("one", "d/up/two");
    world.link("two", "three");
    world.link("three", "../outside");
    world.refuses_directory("one", reason::OUTSIDE_ROOT);
}

#[test]
fn a_link_out_that_comes_back_in_is_out() {
    let world = World::new();
    fs::create_dir(world.root().join("d")).unwrap();
    fs::write(world.root().join("d/secret"), "inside").unwrap();
    world.link("there_and_back", "../root/d");
    world.refuses_directory("there_and_back", reason::OUTSIDE_ROOT);
}

#[test]
fn a_link_to_nothing_outside_makes_nothing_there() {
    let world = World::new();
    world.link("new", "../outside/new");
    let write = Write { path: b"new".to_vec(), create_parents: true, ..Write::default() };
    world.refuses(ask_with(&world.root(), Operation::Write(write), b"x"), reason::OUTSIDE_ROOT, "write");
    let make = MakeDirectory { path: b"new/x".to_vec(), parents: true, mode: None };
    world.refuses(ask(&world.root(), Operation::MakeDirectory(make)), reason::OUTSIDE_ROOT, "make a directory");
    world.is_untouched();
}

#[test]
fn links_of_the_kernel_are_not_followed() {
    for path in ["self/root/etc/passwd", "self/cwd/Cargo.toml", "self/exe", "self/fd/0"] {
        for root in ["/proc", "/"] {
            let path = if root == "/" { format!("proc/{path}") } else { path.to_owned() };
            let said = ask(Path::new(root), Operation::Read(Read { path: path.clone().into(), ..Read::default() }));
            assert_eq!((said.output.len(), said.reason().as_str()), (0, reason::FAILED), "{path} below {root}");
        }
    }
}

#[test]
fn links_are_carried_as_they_are_by_what_does_not_follow_them() {
    let world = World::new();
    world.link("out", "../outside/secret");
    let said = ask(&world.root(), Operation::Stat(Stat { path: b"out".to_vec() }));
    assert_eq!(said.entries()[0].link_target, b"../outside/secret");
    let said = ask(&world.root(), Operation::List(List { recursive: true, ..List::default() }));
    assert_eq!(said.paths(), ["out"]);
    let said = ask(&world.root(), Operation::Pack(Pack { paths: vec![Vec::new()] }));
    assert!(!String::from_utf8_lossy(&said.output).contains(SECRET));
    ask(&world.root(), Operation::Move(Move { from: b"out".to_vec(), to: b"moved".to_vec(), replace: false })).done();
    ask(&world.root(), Operation::Remove(Remove { path: b"moved".to_vec(), recursive: true })).done();
    world.is_untouched();
}

#[test]
fn searches_do_not_go_through_links() {
    let world = World::new();
    fs::create_dir(world.root().join("d")).unwrap();
    world.link("d/directory", world.outside());
    world.link("d/file", "../../outside/secret");
    let grep = Grep { pattern: b"secret".to_vec(), ..Grep::default() };
    assert_eq!(ask(&world.root(), Operation::Grep(grep)).matches(), []);
    let find = Find { glob: b"secret".to_vec(), ..Find::default() };
    assert_eq!(ask(&world.root(), Operation::Find(find)).entries(), []);
    assert_eq!(ask(&world.root(), Operation::Digest(Digest::default())).entries(), []);
}

#[test]
fn a_directory_that_is_swapped_for_a_link_all_the_time_leads_nowhere() {
    let world = World::new();
    let (root, outside) = (world.root(), world.outside());
    fs::create_dir(root.join("real")).unwrap();
    fs::write(root.join("real/secret"), "inside").unwrap();
    symlink(&outside, root.join("false")).unwrap();
    fs::rename(root.join("real"), root.join("d")).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                fs::rename(root.join("d"), root.join("real")).unwrap();
                fs::rename(root.join("false"), root.join("d")).unwrap();
                fs::rename(root.join("d"), root.join("false")).unwrap();
                fs::rename(root.join("real"), root.join("d")).unwrap();
            }
        });
        for round in 0..60 {
            let said = match round % 3 {
                0 => ask(&root, Operation::Read(Read { path: b"d/secret".to_vec(), ..Read::default() })),
                1 => ask(&root, Operation::Pack(Pack { paths: vec![Vec::new()] })),
                _ => {
                    let write = Write { path: b"d/secret".to_vec(), ..Write::default() };
                    ask_with(&root, Operation::Write(write), b"inside")
                }
            };
            assert!(!String::from_utf8_lossy(&said.output).contains(SECRET), "{said:?}");
            world.is_untouched();
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn overlong_names_and_zero_bytes_are_bad_requests() {
    let world = World::new();
    for path in [vec![b'x'; 256], vec![b'x'; 5000], b"a\0b".to_vec(), [b"x/".repeat(3000), b"y".to_vec()].concat()] {
        let stat = ask(&world.root(), Operation::Stat(Stat { path: path.clone() }));
        assert_eq!(stat.reason(), reason::BAD_REQUEST);
        let write = Write { path, create_parents: true, ..Write::default() };
        let reason = ask_with(&world.root(), Operation::Write(write), b"x").reason();
        assert_eq!(reason, reason::BAD_REQUEST);
    }
}

#[test]
fn below_the_whole_machine_absolute_paths_and_links_are_what_they_are() {
    let world = World::new();
    let link = world.root().join("link");
    symlink(world.outside().join("secret"), &link).unwrap();
    for path in [link.to_str().unwrap(), &link.to_str().unwrap()[1..]] {
        let said = ask(Path::new("/"), Operation::Read(Read { path: path.into(), ..Read::default() }));
        assert_eq!(String::from_utf8(said.output).unwrap(), SECRET);
        let write = Write { path: path.into(), ..Write::default() };
        ask_with(Path::new("/"), Operation::Write(write), SECRET.as_bytes()).done();
    }
    assert!(link.is_symlink());
    let up = format!("{}/../../../../../../../..{}", world.root().display(), link.display());
    let said = ask(Path::new("/"), Operation::Read(Read { path: up.into(), ..Read::default() }));
    assert_eq!(String::from_utf8(said.output).unwrap(), SECRET);
}

#[test]
fn a_root_that_is_a_link_is_followed() {
    let world = World::new();
    let link = world.directory.path().join("root/to_root");
    symlink(world.outside(), &link).unwrap();
    assert_eq!(ask(&link, Operation::List(List::default())).paths(), ["secret"]);
}
