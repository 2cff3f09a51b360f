//! Files of a task, the way a user types it, with real guests.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod world;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use world::{Ended, World};

struct Task {
    world: World,
    id: String,
}

impl Task {
    fn new(test: &str) -> Option<Self> {
        let world = World::with_guests(test)?;
        let created = world.run(&["task", "create", "debian:12", "--json"]);
        let id = created.json()["task_id"].as_str().unwrap_or_else(|| panic!("{}", created.stderr)).to_owned();
        Some(Self { world, id })
    }

    fn file(&self, words: &[&str]) -> Ended {
        let all: Vec<&str> = ["task", "file", words[0], &self.id].iter().chain(&words[1..]).copied().collect();
        self.world.run(&all)
    }

    fn write(&self, words: &[&str], content: &[u8]) -> Ended {
        let all: Vec<&str> = ["task", "file", "write", &self.id].iter().chain(words).copied().collect();
        self.world.run_with_input(&all, content.to_vec())
    }

    fn exec(&self, script: &str) -> Ended {
        self.world.run(&["task", "exec", &self.id, "--", "sh", "-c", script])
    }

    fn at(&self, path: &str) -> String {
        format!("{}:{path}", self.id)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let _ = self.world.run(&["task", "delete", &self.id]);
    }
}

fn git(directory: &Path, words: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(directory).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_file_is_written_read_found_and_removed() {
    let Some(task) = Task::new("a_file_is_written_read_found_and_removed") else { return };
    let bytes: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let written = task.write(&["a/b/bytes", "--mode", "0750", "--json"], &bytes);
    assert_eq!(written.json()["bytes"], 3_000_000, "{}", written.stderr);
    assert_eq!(task.file(&["read", "a/b/bytes"]).stdout, bytes);
    let part = task.file(&["read", "a/b/bytes", "--offset", "255", "--max-bytes", "3"]);
    assert_eq!(part.stdout, [255, 0, 1]);
    assert_eq!(task.exec("stat -c '%a %s %U' a/b/bytes").out(), "750 3000000 root\n");
    let entry = task.file(&["stat", "a/b/bytes", "--json"]).json();
    assert_eq!((&entry["kind"], &entry["mode"], &entry["size"]), (&"file".into(), &"0750".into(), &3_000_000.into()));
    assert_eq!(task.exec("mkdir c && printf 'one\\ntwo\\n' > c/text").code, 0);
    let listed = task.file(&["list", "--recursive"]).out();
    let names: Vec<&str> = listed.lines().map(|line| line.rsplit("  ").next().unwrap()).collect();
    assert_eq!(names, ["a", "a/b", "a/b/bytes", "c", "c/text"]);
    assert_eq!(task.file(&["find", "t*"]).out(), "c/text\n");
    assert_eq!(task.file(&["grep", "^t.o$"]).out(), "c/text:2:two\n");
    assert_eq!(task.file(&["mkdir", "d/e", "--parents"]).code, 0);
    assert_eq!(task.file(&["mv", "c/text", "d/e/text"]).code, 0);
    assert_eq!(task.exec("cat d/e/text").out(), "one\ntwo\n");
    let full = task.file(&["rm", "d", "--json"]);
    assert_eq!((full.code, full.json()["code"].as_str()), (1, Some("directory_not_empty")));
    assert_eq!(task.file(&["rm", "d", "--recursive"]).code, 0);
    assert_eq!(task.exec("ls").out(), "a\nc\n");
    let gone = task.file(&["stat", "d", "--json"]);
    assert_eq!((gone.code, gone.json()["code"].as_str()), (1, Some("file_not_found")));
    assert_eq!(task.world.run(&["task", "logs", &task.id, "--json"]).json()["entries"].as_array().unwrap().len(), 4);
}

#[test]
fn no_path_and_no_link_leads_out_of_the_root() {
    let Some(task) = Task::new("no_path_and_no_link_leads_out_of_the_root") else { return };
    assert_eq!(task.exec("ln -s /etc/passwd link; ln -s / slash; mkdir in; ln -s in way; echo x > in/x").code, 0);
    let before = task.exec("cat /etc/passwd").out();
    let code = |ended: Ended| ended.json()["code"].as_str().unwrap_or_default().to_owned();
    for path in ["link", "slash/etc/passwd", "../etc/passwd", "in/../../etc/passwd"] {
        assert_eq!(task.file(&["read", path]).code, 1, "{path}");
        assert_eq!(code(task.write(&[path, "--json"], b"no")), "outside_root", "{path}");
        assert_eq!(code(task.file(&["rm", "slash/tmp", "--recursive", "--json"])), "outside_root");
    }
    assert_eq!(task.exec("cat /etc/passwd").out(), before);
    assert_eq!(task.file(&["read", "way/x"]).out(), "x\n", "one that stays inside is followed");
    assert_eq!(task.file(&["read", "etc/hostname", "--root", "/"]).code, 0);
    assert_eq!(code(task.file(&["stat", "/etc/passwd", "--json"])), "invalid_argument");
    assert_eq!(task.file(&["stat", "link", "--json"]).json()["link_target"], "/etc/passwd");
}

#[test]
fn a_write_is_whole_or_not_at_all() {
    let Some(task) = Task::new("a_write_is_whole_or_not_at_all") else { return };
    let digest = task.write(&["f", "--json"], b"old").json()["digest"].as_str().unwrap().to_owned();
    let words = ["task", "file", "write", &task.id, "f"];
    let mut writing = task.world.pyro().args(words).stdin(Stdio::piped()).spawn().unwrap();
    writing.stdin.as_mut().unwrap().write_all(&vec![b'x'; 1 << 20]).unwrap();
    writing.kill().unwrap();
    writing.wait().unwrap();
    assert_eq!(task.file(&["read", "f"]).out(), "old", "a client that dies commits nothing");
    assert_eq!(task.exec("ls -A").out(), "f\n");
    let refused = task.write(&["f", "--if-digest", &"0".repeat(64), "--json"], b"new");
    assert_eq!((refused.code, refused.json()["code"].as_str()), (1, Some("file_changed")));
    assert_eq!(task.write(&["f", "--if-digest", &digest], b"new").code, 0);
    assert_eq!(task.write(&["f", "--offset", "1"], b"OW").code, 0);
    assert_eq!(task.file(&["read", "f"]).out(), "nOW");
    let there = task.write(&["f", "--if-digest", "absent", "--json"], b"other");
    assert_eq!(there.json()["code"], "file_changed");
}

#[test]
fn a_checkout_goes_in_and_comes_out_as_it_was() {
    let Some(task) = Task::new("a_checkout_goes_in_and_comes_out_as_it_was") else { return };
    let repository = task.world.base.path().join("repository");
    fs::create_dir_all(repository.join("src")).unwrap();
    git(&repository, &["init", "-q"]);
    fs::write(repository.join("src/tool"), "#!/bin/sh\necho tool\n").unwrap();
    fs::set_permissions(repository.join("src/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(repository.join(".gitignore"), "ignored\n").unwrap();
    fs::write(repository.join("ignored"), "not sent").unwrap();
    fs::write(repository.join("untracked näme"), "sent").unwrap();
    symlink("src/tool", repository.join("link")).unwrap();
    git(&repository, &["add", "src", ".gitignore", "link"]);
    git(&repository, &["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "first"]);
    let source = repository.to_str().unwrap();
    let pushed = task.world.run(&["task", "push", &task.id, source, "--dest", "/workspace/r"]);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let seen = task.exec("cd r && git status --short && git log --format=%s && ./link && ls");
    assert_eq!(
        seen.out(),
        "?? \"untracked n\\303\\244me\"\nfirst\ntool\nlink\nsrc\nuntracked näme\n",
        "{}",
        seen.stderr
    );
    let output = task.world.base.path().join("out");
    let exported = task.world.run(&["task", "export", &task.id, "r", "--output", output.to_str().unwrap()]);
    assert_eq!(exported.code, 0, "{}", exported.stderr);
    let words = ["-r", "--no-dereference", "--exclude=ignored", "--exclude=index"];
    let same = Command::new("diff").args(words).arg(&repository).arg(&output).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&same.stdout), "", "the trees are the same");
    assert_eq!(git(&output, &["status", "--short"]), git(&repository, &["status", "--short"]));
    let again = task.world.run(&["task", "export", &task.id, "r", "--output", output.to_str().unwrap(), "--json"]);
    assert_eq!((again.code, again.json()["code"].as_str()), (1, Some("export_refused")));
    let missing = task.world.run(&["task", "push", &task.id, "/nonexistent/x", "--json"]);
    assert_eq!((missing.code, missing.json()["code"].as_str()), (1, Some("source_unusable")));
}

#[test]
fn files_are_copied_between_host_and_tasks() {
    let Some(task) = Task::new("files_are_copied_between_host_and_tasks") else { return };
    let base = task.world.base.path().to_owned();
    let host = |name: &str| base.join(name).to_str().unwrap().to_owned();
    fs::write(base.join("one"), "from the host").unwrap();
    fs::set_permissions(base.join("one"), fs::Permissions::from_mode(0o700)).unwrap();
    let copy = |from: &str, to: &str| task.world.run(&["task", "cp", from, to]);
    assert_eq!(copy(&host("one"), &task.at("two")).code, 0);
    assert_eq!(copy(&host("one"), &task.at("/workspace/")).code, 0);
    assert_eq!(task.exec("cat two one; stat -c %a two").out(), "from the hostfrom the host700\n");
    assert_eq!(task.world.run_with_input(&["task", "cp", "-", &task.at("in")], b"stdin".to_vec()).code, 0);
    assert_eq!(copy(&task.at("in"), "-").out(), "stdin");
    assert_eq!(copy(&task.at("two"), &host("back")).code, 0);
    assert_eq!(fs::read(base.join("back")).unwrap(), b"from the host");
    assert_eq!(fs::metadata(base.join("back")).unwrap().permissions().mode() & 0o777, 0o700);
    fs::create_dir_all(base.join("tree/empty")).unwrap();
    fs::write(base.join("tree/file"), "f").unwrap();
    assert_eq!(copy(&host("tree"), &task.at("new")).code, 0);
    assert_eq!(copy(&host("tree"), &task.at(".")).code, 0);
    assert_eq!(task.exec("cat new/file tree/file; ls -d new/empty").out(), "ffnew/empty\n");
    assert_eq!(copy(&task.at("new"), &host("copied")).code, 0);
    assert!(base.join("copied/empty").is_dir() && base.join("copied/file").is_file());
    assert_eq!(copy(&task.at("two"), &task.at("three")).code, 0);
    assert_eq!(task.exec("cat three").out(), "from the host");
    assert_eq!(copy(&host("one"), &host("two")).code, 1, "one side is in a task");
}

/// A repository with a commit.
fn repository(base: &Path) -> std::path::PathBuf {
    let repository = base.join("project");
    fs::create_dir_all(repository.join("src/deep")).unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    for number in 0..40 {
        fs::write(repository.join(format!("src/file{number}")), format!("line\n{number}\nlast\n").repeat(5)).unwrap();
    }
    fs::write(repository.join("src/deep/one"), "one\n").unwrap();
    fs::write(repository.join("README"), "hello\nworld\n").unwrap();
    fs::write(repository.join("bytes"), [0, 1, 2, 255]).unwrap();
    git(&repository, &["add", "."]);
    git(&repository, &["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "first"]);
    repository
}

fn seeded(test: &str) -> Option<(Task, std::path::PathBuf)> {
    let world = World::with_guests(test)?;
    let repository = repository(world.base.path());
    let created = world.run(&["task", "create", "debian:12", "--seed", repository.to_str().unwrap(), "--json"]);
    let id = created.json()["task_id"].as_str().unwrap_or_else(|| panic!("{}", created.stderr)).to_owned();
    Some((Task { world, id }, repository))
}

const EDITS: &str = "sed -i s/world/guest/ README && rm -r src/deep && mv src/file3 moved && chmod +x src/file4 && \
    printf '\\0\\1\\2' > bytes && echo new > 'a name' && ln -s README link && printf 'no newline' > src/file5 && \
    git -c user.name=x -c user.email=x@x -c safe.directory=/workspace commit -qam inside";

#[test]
fn what_changed_is_shown_as_git_shows_it_and_taken_over() {
    let test = "what_changed_is_shown_as_git_shows_it_and_taken_over";
    let Some((task, repository)) = seeded(test) else { return };
    assert_eq!(task.world.run(&["task", "diff", &task.id]).out(), "", "nothing has changed");
    let edited = task.exec(EDITS);
    assert_eq!(edited.code, 0, "{}", edited.stderr);
    let diff = |words: &[&str]| {
        let all: Vec<&str> = ["task", "diff", &task.id].iter().chain(words).copied().collect();
        task.world.run(&all)
    };
    let patch = diff(&[]).stdout;
    assert_eq!(diff(&["--name-only"]).out().lines().count(), 8);
    assert!(diff(&["src", "--stat"]).out().contains("src/deep/one"));
    let to = repository.to_str().unwrap();
    let planned = task.world.run(&["task", "apply", &task.id, "--to", to, "--dry-run"]);
    assert!(planned.stderr.contains("write             README"), "{}", planned.stderr);
    assert_eq!(git(&repository, &["status", "--short"]), "", "a dry run changes nothing");
    let asked = task.world.run(&["task", "apply", &task.id, "--to", to]);
    assert_eq!(asked.code, 1, "nobody is there to be asked");
    let applied = task.world.run(&["task", "apply", &task.id, "--to", to, "--yes", "--json"]);
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    git(&repository, &["add", "-A"]);
    let theirs = Command::new("git").arg("-C").arg(&repository).args(["diff", "--cached"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&patch), String::from_utf8_lossy(&theirs.stdout), "byte for byte");
    git(&repository, &["reset", "-q"]);
    fs::write(repository.join("src/file5"), "changed since\n").unwrap();
    let undone = task.world.run(&["task", "apply", &task.id, "--undo", "--json"]);
    assert_eq!((undone.code, undone.json()["left"].as_array().unwrap().len()), (1, 1), "{}", undone.stderr);
    assert_eq!(git(&repository, &["status", "--short"]), " M src/file5\n", "what was changed since is left");
}

#[test]
fn what_is_not_the_seed_any_more_is_a_conflict_and_git_is_not_touched() {
    let Some((task, repository)) = seeded("what_is_not_the_seed_any_more_is_a_conflict_and_git_is_not_touched") else {
        return;
    };
    assert_eq!(task.exec("echo evil > .git/hooks/post-checkout; echo guest >> README; echo ok > fine").code, 0);
    fs::write(repository.join("README"), "host\nhello\nworld\n").unwrap();
    let to = repository.to_str().unwrap();
    let apply = |words: &[&str]| {
        let all: Vec<&str> = ["task", "apply", &task.id, "--to", to, "--yes"].iter().chain(words).copied().collect();
        task.world.run(&all)
    };
    let refused = apply(&["--json"]);
    assert_eq!((refused.code, refused.json()["code"].as_str()), (1, Some("apply_refused")), "{}", refused.stderr);
    assert!(!repository.join("fine").exists(), "all or nothing");
    assert_eq!(apply(&["--only", "fine"]).code, 0);
    assert_eq!(fs::read(repository.join("fine")).unwrap(), b"ok\n");
    assert_eq!(apply(&["--merge"]).code, 0);
    assert_eq!(fs::read(repository.join("README")).unwrap(), b"host\nhello\nworld\nguest\n");
    assert!(!repository.join(".git/hooks/post-checkout").exists());
    assert_eq!(apply(&["--only", ".git/**", "--allow", ".git/hooks/post-checkout"]).code, 0);
    assert!(repository.join(".git/hooks/post-checkout").exists(), "it was asked for by name");
}

#[test]
fn a_task_that_cannot_be_seeded_is_removed_and_a_repeated_attempt_is_not() {
    let test = "a_task_that_cannot_be_seeded_is_removed_and_a_repeated_attempt_is_not";
    let Some(world) = World::with_guests(test) else { return };
    let failed = world.run(&["task", "create", "debian:12", "--seed", "/nonexistent/x", "--json"]);
    assert_eq!((failed.code, failed.json()["code"].as_str()), (1, Some("source_unusable")));
    assert_eq!(world.machines(), [] as [&str; 0]);
    let repository = repository(world.base.path());
    let seed = repository.to_str().unwrap();
    let words = ["task", "create", "debian:12", "--seed", seed, "--attempt-id", "mine", "--json"];
    let first = world.run(&words).json()["task_id"].as_str().unwrap().to_owned();
    let task = Task { world, id: first };
    assert_eq!(task.exec("echo work > work").code, 0);
    let again = task.world.run(&words);
    assert_eq!(again.json()["task_id"].as_str(), Some(task.id.as_str()), "{}", again.stderr);
    assert_eq!(task.exec("cat work").out(), "work\n", "what was done in it is there");
}

#[test]
fn a_seeded_workspace_outlives_its_machine() {
    let Some((task, _)) = seeded("a_seeded_workspace_outlives_its_machine") else { return };
    assert_eq!(task.exec("echo kept > kept; rm README").code, 0);
    assert_eq!(task.world.run(&["task", "stop", &task.id]).code, 0);
    assert_eq!(task.file(&["read", "kept"]).code, 1, "it is stopped");
    let started = task.world.run(&["task", "start", &task.id]);
    assert_eq!(started.code, 0, "{}", started.stderr);
    assert_eq!(task.exec("cat kept; ls src | wc -l").out(), "kept\n41\n");
    assert_eq!(task.world.run(&["task", "diff", &task.id, "--name-only"]).out(), "README\nkept\n");
}
