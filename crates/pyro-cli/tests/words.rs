//! What the command line says without any guest: help, usage, errors, doctor on a bare host.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod world;

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use world::World;

#[test]
fn every_help_text_is_what_it_was_and_ends_in_an_example() {
    let world = World::empty();
    let commands: &[&[&str]] = &[
        &["--help"],
        &["env", "--help"],
        &["env", "list", "--help"],
        &["env", "pull", "--help"],
        &["env", "inspect", "--help"],
        &["env", "prune", "--help"],
        &["run", "--help"],
        &["task", "--help"],
        &["task", "create", "--help"],
        &["task", "exec", "--help"],
        &["task", "status", "--help"],
        &["task", "list", "--help"],
        &["task", "logs", "--help"],
        &["task", "wait", "--help"],
        &["task", "cancel", "--help"],
        &["task", "extend", "--help"],
        &["task", "delete", "--help"],
        &["mcp", "--help"],
        &["mcp", "serve", "--help"],
        &["mcp", "install", "--help"],
        &["demo", "ollama", "--help"],
        &["completions", "--help"],
        &["man", "--help"],
        &["doctor", "--help"],
        &["repair", "--help"],
        &["demo", "--help"],
    ];
    let mut all = String::new();
    for words in commands {
        let ended = world.run(words);
        assert_eq!(ended.code, 0);
        let text = ended.out();
        let last = text.trim_end().lines().last().unwrap().trim();
        assert!(last.contains("pyro "), "{words:?} ends with {last:?}");
        all.push_str(&format!("$ pyro {}\n{text}\n", words.join(" ")));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn version_is_the_release() {
    assert_eq!(World::empty().run(&["--version"]).out(), "pyro 2.2.0-dev\n");
}

#[test]
fn wrong_usage_says_what_to_do() {
    let world = World::empty();
    let cases: &[&[&str]] = &[
        &["frobnicate"],
        &["run"],
        &["run", "debian:12"],
        &["run", "debian:12", "--"],
        &["run", "debian:12", "git", "--version"],
        &["run", "debian:12", "--mem-mib", "lots", "--", "true"],
        &["run", "--json", "debian:12"],
        &["env", "pull"],
        &["task"],
        &["task", "create"],
        &["task", "exec", "0123"],
        &["task", "exec", "0123", "git", "status"],
        &["task", "wait", "0123", "first"],
        &["task", "extend", "0123"],
        &["task", "logs", "0123", "--follow", "--json"],
        &["env", "inspect", "debian:12", "--frob", "--json"],
    ];
    let mut all = String::new();
    for words in cases {
        let ended = world.run(words);
        assert_eq!(ended.code, 2, "{words:?}");
        all.push_str(&format!("$ pyro {}\n{}{}\n", words.join(" "), ended.stderr, ended.out()));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn refused_values_and_names_are_errors_in_words_and_in_json() {
    let world = World::empty();
    let cases: &[(&[&str], i32)] = &[
        (&["run", "debian:12", "--vcpu-count", "0", "--", "true"], 125),
        (&["run", "debian:12", "--vcpu-count", "-3", "--", "true"], 125),
        (&["run", "debian:12", "--mem-mib", "100", "--", "true"], 125),
        (&["run", "debian:12", "--ttl-seconds", "1", "--", "true"], 125),
        (&["run", "debian:12", "--timeout-seconds", "0", "--", "true"], 125),
        (&["run", "debian:12", "--network", "--", "true"], 125),
        (&["run", "debian:99", "--", "true"], 125),
        (&["run", "debian:99", "--json", "--", "true"], 125),
        (&["env", "inspect", "debian:99", "--json"], 1),
        (&["env", "pull", "debian:99"], 1),
    ];
    let mut all = String::new();
    for (words, code) in cases {
        let ended = world.run(words);
        assert_eq!(ended.code, *code, "{words:?}: {}", ended.stderr);
        let stderr: String =
            ended.stderr.lines().filter(|line| !line.starts_with("[run] phase")).collect::<Vec<_>>().join("\n");
        all.push_str(&format!("$ pyro {}\n{stderr}\n{}\n", words.join(" "), ended.out()));
    }
    insta::assert_snapshot!(all);
    assert!(!world.cache().exists(), "nothing was made for a refused request");
}

#[test]
fn an_empty_host_lists_what_could_be_installed() {
    let world = World::empty();
    let text = world.run(&["env", "list"]).out();
    assert!(text.starts_with("Catalog version: 2.1.0\ndebian:12 [not installed] "), "{text}");
    let json = world.run(&["env", "list", "--json"]).json();
    assert_eq!(json["environments"].as_array().unwrap().len(), 3);
    assert_eq!(json["environments"][0]["installed"], false);
    let inspected = world.run(&["env", "inspect", "debian:12-build"]).out();
    assert!(inspected.contains("Default packages: git, gcc, make, cmake, python3\n"), "{inspected}");
    assert_eq!(world.run(&["env", "prune"]).out(), "Deleted 0 cached environment entries.\n");
}

#[test]
fn doctor_tells_the_truth_on_a_machine_with_nothing_installed() {
    let world = World::empty();
    let ended =
        world.pyro().env("PATH", "/nonexistent").env("PYRO_QEMU", "no-such-qemu").args(["doctor", "--json"]).output();
    let ended = world::Ended::from(ended.unwrap());
    assert_eq!(ended.code, 1);
    let report = ended.json();
    assert_eq!(report["runtime_ok"], false);
    let qemu = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "qemu").unwrap();
    assert_eq!((qemu["status"].as_str(), qemu["detail"].as_str()), (Some("fail"), Some("no-such-qemu was not found")));
    assert!(report["issues"][0].as_str().unwrap().starts_with("qemu: "), "{report}");
}

#[test]
fn doctor_tells_a_missing_kvm_device_from_a_forbidden_one() {
    let world = World::empty();
    let reason = |device: &std::path::Path| {
        let output = world.pyro().env("PYRO_KVM_DEVICE", device).args(["doctor", "--json"]).output().unwrap();
        let report = world::Ended::from(output).json();
        assert_eq!(report["kvm"]["usable"], false);
        report["kvm"]["reason"].as_str().unwrap().to_owned()
    };
    let missing = world.base.path().join("kvm");
    assert_eq!(reason(&missing), format!("{} does not exist", missing.display()));
    // A directory can be opened for writing by nobody, not even by root.
    assert_eq!(
        reason(world.base.path()),
        format!("this user may not open {} for reading and writing", world.base.path().display())
    );
}

#[test]
fn a_qemu_that_is_too_old_is_refused_before_anything_is_fetched() {
    let world = World::empty();
    let old = world.base.path().join("old-qemu");
    std::fs::write(&old, "#!/bin/sh\necho 'QEMU emulator version 7.2.19'\n").unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = world.pyro().env("PYRO_QEMU", &old).args(["env", "pull", "debian:12", "--json"]).output().unwrap();
    let ended = world::Ended::from(output);
    assert_eq!((ended.code, ended.json()["code"].as_str().unwrap().to_owned()), (1, "qemu_too_old".into()));
    let output =
        world.pyro().env("PYRO_QEMU", &old).args(["run", "debian:12", "--json", "--", "true"]).output().unwrap();
    let ended = world::Ended::from(output);
    assert_eq!((ended.code, ended.json()["code"].as_str().unwrap().to_owned()), (125, "qemu_too_old".into()));
    let output = world.pyro().env("PYRO_QEMU", &old).args(["doctor"]).output().unwrap();
    assert!(world::Ended::from(output).out().contains("is QEMU 7.2.19; pyro needs 8.2 or newer"));
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let world = World::empty();
    let file = world.base.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output =
        world.pyro().env("PYRO_ENVIRONMENT_CACHE_DIR", file.join("below")).args(["env", "pull", "debian:12"]).output();
    let ended = world::Ended::from(output.unwrap());
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("[error] could not make "), "{}", ended.stderr);
}

#[test]
fn tasks_that_are_not_there_are_errors_in_words_and_in_json() {
    let world = World::empty();
    let cases: &[(&[&str], i32)] = &[
        (&["task", "status", "0123456789ab"], 1),
        (&["task", "status", "nothing"], 1),
        (&["task", "delete", "0123", "--json"], 1),
        (&["task", "logs", "0123456789ab", "--follow"], 1),
        (&["task", "cancel", "0123456789ab", "1"], 1),
        (&["task", "extend", "0123456789ab", "--ttl-seconds", "59"], 1),
        (&["task", "exec", "0123456789ab", "--", "true"], 125),
        (&["task", "exec", "0123456789ab", "--env", "A", "--", "true"], 125),
        (&["task", "exec", "0123456789ab", "--timeout-seconds", "0", "--json", "--", "true"], 125),
        (&["task", "wait", "0123456789ab", "1"], 125),
        (&["task", "create", "debian:99"], 1),
        (&["task", "create", "debian:12", "--ttl-seconds", "1"], 1),
        (&["task", "create", "debian:12", "--network"], 1),
    ];
    let mut all = String::new();
    for (words, code) in cases {
        let ended = world.run(words);
        assert_eq!(ended.code, *code, "{words:?}");
        all.push_str(&format!("$ pyro {}\n{}{}\n", words.join(" "), ended.stderr, ended.out()));
    }
    insta::assert_snapshot!(all);
    assert_eq!(world.run(&["task", "list"]).out(), "No tasks. `pyro task create debian:12` makes one.\n");
}

#[test]
fn a_limit_that_is_no_number_is_refused_and_not_guessed() {
    let world = World::empty();
    for value in ["0", "-1", "many", "1.5"] {
        let ended = world.pyro().args(["task", "list"]).env("PYRO_MAX_ACTIVE_VMS", value).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{value}");
        let text = String::from_utf8(ended.stderr).unwrap();
        assert!(text.starts_with(&format!("[error] PYRO_MAX_ACTIVE_VMS is {value:?}; it must be")), "{text}");
    }
}

#[test]
fn a_supervisor_that_nobody_started_says_what_to_do() {
    let ended = World::empty().run(&["supervise", "0123456789ab"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("use `pyro task create`"), "{}", ended.stderr);
}

#[test]
fn completions_and_manual_pages_name_every_command_but_the_hidden_one() {
    let world = World::empty();
    for shell in ["bash", "zsh", "fish"] {
        let text = world.run(&["completions", shell]).out();
        assert!(text.contains("extend") && text.contains("attempt-id"), "{shell}");
    }
    let directory = world.base.path().join("man/man1");
    assert_eq!(world.run(&["man", &directory.display().to_string()]).code, 0);
    let mut pages: Vec<String> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    pages.sort_unstable();
    assert!(pages.contains(&"pyro-task-exec.1".to_owned()), "{pages:?}");
    assert!(!pages.iter().any(|page| page.contains("supervise")), "{pages:?}");
    let refused = world.run(&["man", "/proc/nowhere"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.starts_with("[error] the manual pages could not be written into /proc/nowhere"));
}

#[test]
fn what_a_client_has_already_stays_and_a_broken_configuration_is_left_alone() {
    let world = World::empty();
    let path = world.base.path().join(".claude.json");
    std::fs::write(&path, "{\"theme\": \"dark\"}").unwrap();
    let shown = world.run(&["mcp", "install", "claude-code"]);
    assert!(shown.out().contains("+  \"mcpServers\""), "{}", shown.out());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"theme\": \"dark\"}", "nothing is written unasked");
    assert_eq!(world.run(&["mcp", "install", "claude-code", "--write"]).code, 0);
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written.contains("\"theme\": \"dark\"") && written.contains("\"serve\""), "{written}");
    assert!(world.run(&["mcp", "install", "claude-code"]).out().ends_with("already has the entry.\n"));
    std::fs::write(&path, "{broken").unwrap();
    let refused = world.run(&["mcp", "install", "claude-code", "--write"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("nothing was changed"), "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{broken");
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_never_a_panic() {
    let world = World::empty();
    let commands: &[&[&str]] = &[
        &["--help"],
        &["--version"],
        &["env", "list"],
        &["env", "list", "--json"],
        &["task", "list", "--json"],
        &["task", "status", "0123456789ab", "--json"],
        &["doctor"],
        &["completions", "bash"],
    ];
    for words in commands {
        let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
        let unwritten = world.pyro().args(*words).stdout(full()).output().unwrap();
        let said = String::from_utf8_lossy(&unwritten.stderr);
        assert_eq!(unwritten.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains("[error] the output could not be written: No space left"), "{words:?}: {said}");
        let plain = world.run(words);
        let unsaid = world.pyro().args(*words).stderr(full()).output().unwrap();
        // What is free of memory and disk is another number each time.
        let but_numbers =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(|character: char| character.is_ascii_digit(), "");
        let (said, expected) = (but_numbers(&unsaid.stdout), but_numbers(&plain.stdout));
        assert_eq!((unsaid.status.code(), said), (Some(plain.code), expected), "{words:?}");
        let neither = world.pyro().args(*words).stdout(full()).stderr(full()).output().unwrap();
        assert_eq!(neither.status.code(), Some(1), "{words:?}");
    }
}

#[test]
fn a_program_that_may_open_too_few_files_says_so_and_does_nothing() {
    let world = World::empty();
    let json: &[&[&str]] = &[
        &["env", "list", "--json"],
        &["env", "prune", "--json"],
        &["doctor", "--json"],
        &["task", "list", "--json"],
        &["run", "debian:12", "--json", "--", "true"],
        &["task", "exec", "0123456789ab", "--json", "--", "true"],
    ];
    for words in json {
        // Below four the system's loader cannot open a library.
        for limit in [4, 5, 10, 13, 32, 48] {
            let pyro = world.pyro();
            let mut command = std::process::Command::new("sh");
            command.args(["-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh"]).arg(pyro.get_program()).args(*words);
            command.env_clear().envs(pyro.get_envs().filter_map(|(key, value)| Some((key, value?))));
            let ended = world::Ended::from(command.stdin(Stdio::null()).output().unwrap());
            assert_eq!(ended.json()["code"], "out_of_descriptors", "{words:?} with {limit}: {}", ended.stderr);
            assert_eq!(ended.code, if matches!(words[0], "run") || words[1] == "exec" { 125 } else { 1 });
        }
    }
    assert!(!world.data().exists(), "nothing was made");
}

#[test]
fn what_cannot_be_read_is_listed_as_a_problem_and_kept() {
    let world = World::empty();
    let directory = world.data().join("vms/0123456789ab");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("record.json"), "{\"format\": 2}").unwrap();
    std::fs::write(directory.join("lock"), "").unwrap();
    let ended = world.run(&["task", "list"]);
    assert_eq!((ended.code, ended.out()), (0, String::new()));
    let said = ended.stderr.replace(&world.data().display().to_string(), "DATA");
    assert_eq!(
        said,
        "[task-list] warning: 0123456789ab: DATA/vms/0123456789ab/record.json was written by a newer release of \
         pyro: it has format 2; this release supports format 1\n[hint] use the newer pyro, or set PYRO_HOME to another directory\n"
    );
    let list = world.run(&["task", "list", "--json"]).json();
    assert_eq!((&list["count"], &list["problems"][0]["code"]), (&0.into(), &"newer_record".into()));
    let repair = world.run(&["repair"]);
    assert!(repair.code == 0 && repair.out().contains("kept as it is"), "{}", repair.out());
    assert_eq!(world.run(&["task", "status", "0123"]).code, 1);
    assert!(directory.join("record.json").exists());
    let deleted = world.run(&["repair", "--apply", "--delete", "0123456789ab", "--json"]).json();
    assert_eq!((&deleted["findings"][0]["action"], &deleted["findings"][0]["done"]), (&"delete".into(), &true.into()));
    assert!(!directory.exists());
    assert_eq!(world.run(&["repair"]).out(), "Nothing is damaged.\n");
}

#[test]
fn a_path_that_is_not_utf8_is_refused_in_words() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::empty();
    let odd = std::ffi::OsStr::from_bytes(b"/tmp/\xff");
    for variable in ["PYRO_HOME", "PYRO_ENVIRONMENT_CACHE_DIR", "TMPDIR"] {
        let refused =
            world::Ended::from(world.pyro().args(["task", "list", "--json"]).env(variable, odd).output().unwrap());
        assert_eq!((refused.code, &refused.json()["code"]), (2, &"usage".into()), "{}", refused.stderr);
        assert!(refused.stderr.contains(variable) && refused.stderr.contains("not UTF-8"), "{}", refused.stderr);
    }
}
