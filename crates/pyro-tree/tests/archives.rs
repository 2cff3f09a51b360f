//! Archives of the user's, in three forms, and what other programs make of ours.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]
#![expect(clippy::print_stdout, reason = "a skipped test says why")]

mod world;

use std::fs;
use std::path::Path;
use std::process::Command;

use pyro_tree::pack::{PackError, Source};
use world::{archive, directory, file, hard_link, names, options, pack, pax, put, raw, symlink, take, tree};

/// A tree with something of everything.
fn sample(home: &Path) -> std::path::PathBuf {
    use std::os::unix::fs::FileExt;
    let from = home.join("from");
    put(&from, "directory/file", "content");
    put(&from, &format!("{}/file", "long".repeat(40)), "x");
    fs::create_dir(from.join("empty")).unwrap();
    fs::hard_link(from.join("directory/file"), from.join("directory/second")).unwrap();
    std::os::unix::fs::symlink("t".repeat(150), from.join("link")).unwrap();
    let disk = fs::File::create(from.join("disk")).unwrap();
    disk.set_len(8 << 20).unwrap();
    for piece in 0..30 {
        disk.write_all_at(b"piece", piece * 256 * 1024).unwrap();
    }
    from
}

#[test]
fn an_archive_of_each_form_is_received_and_sent_again() {
    let home = tempfile::tempdir().unwrap();
    let from = sample(home.path());
    let (bytes, packed) = pack(&from, &options());
    for name in ["a.tar", "a.tar.gz", "a.tgz", "a.tar.zst"] {
        let path = home.path().join(name);
        assert_eq!(take(&bytes, &path).manifest.entries(), packed.manifest.entries(), "{name}");
        let (again, resent) = pack(&path, &options());
        assert!(again == bytes, "{name}: the same stream");
        assert_eq!((resent.manifest.entries(), resent.notices), (packed.manifest.entries(), vec![]), "{name}");
    }
}

/// Runs a program of the host's; `false` when it is not there.
fn run(program: &str, arguments: &[&str]) -> bool {
    match Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: {program} is not there");
            false
        }
        output => {
            let output = output.unwrap();
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            true
        }
    }
}

#[test]
fn gnu_tar_reads_ours() {
    let home = tempfile::tempdir().unwrap();
    let from = sample(home.path());
    let (bytes, _) = pack(&from, &options());
    let to = home.path().join("to");
    fs::create_dir(&to).unwrap();
    for name in ["a.tar", "a.tar.gz", "a.tar.zst"] {
        let path = home.path().join(name);
        take(&bytes, &path);
        if run("tar", &["--no-same-owner", "-C", to.to_str().unwrap(), "-xpf", path.to_str().unwrap()]) {
            let without_link_times = |root: &Path| {
                let mut tree = tree(root);
                tree.get_mut(&b"link"[..]).unwrap().1 = 0;
                tree
            };
            assert_eq!(without_link_times(&to), without_link_times(&from), "{name}");
        }
        fs::remove_dir_all(&to).unwrap();
        fs::create_dir(&to).unwrap();
    }
}

#[test]
fn the_tar_crate_reads_ours() {
    let home = tempfile::tempdir().unwrap();
    let from = sample(home.path());
    let (bytes, _) = pack(&from, &options());
    let to = home.path().join("to");
    tar::Archive::new(&bytes[..]).unpack(&to).unwrap();
    let contents =
        |root: &Path| -> Vec<_> { tree(root).into_iter().map(|(path, facts)| (path, facts.2, facts.3)).collect() };
    assert_eq!(contents(&to), contents(&from));
}

#[test]
fn we_read_gnu_tars_forms() {
    let home = tempfile::tempdir().unwrap();
    let from = sample(home.path());
    for (format, sparse) in [("gnu", "-S"), ("gnu", "-b20"), ("pax", "-S"), ("pax", "-b20")] {
        let path = home.path().join("theirs.tar");
        let format = format!("--format={format}");
        let (from_text, path_text) = (from.to_str().unwrap(), path.to_str().unwrap());
        if !run("tar", &[&format, sparse, "-C", from_text, "-cf", path_text, "."]) {
            return;
        }
        let to = home.path().join("to");
        let received = take(&fs::read(&path).unwrap(), &to);
        let contents = |root: &Path| -> Vec<_> {
            tree(root).into_iter().map(|(path, facts)| (path, facts.0, facts.2, facts.3)).collect()
        };
        assert_eq!(contents(&to), contents(&from), "{format} {sparse}");
        if format == "--format=pax" {
            assert_eq!(tree(&to), tree(&from), "pax has the times");
        }
        assert_eq!(received.notices, []);
        let (_, resent) = pack(&path, &options());
        assert_eq!(resent.manifest.entries(), received.manifest.entries());
        fs::remove_dir_all(&to).unwrap();
    }
}

fn resend(bytes: &[u8], name: &str) -> Result<Vec<String>, PackError> {
    let home = tempfile::tempdir().unwrap();
    let path = put(home.path(), name, bytes);
    let packed = Source::open(&path, &options()).unwrap().write(&mut Vec::new(), &mut |_| {})?;
    Ok(names(&packed.manifest))
}

#[test]
fn a_users_archive_may_be_untidy() {
    let members =
        [symlink("l", "/outside"), file("a/b", "old"), directory("a/"), file("./a/b", "new"), hard_link("h", "a/b")];
    assert_eq!(resend(&archive(&members), "x.tar").unwrap(), ["a", "a/b", "h", "l"]);
}

#[test]
fn a_broken_archive_is_named_and_so_is_an_entry_that_leads_outside() {
    let good = archive(&[file("a", vec![7; 3000])]);
    let text = |error: &PackError| format!("{error}: {}", std::error::Error::source(error).unwrap());
    for (member, word) in
        [(file("/etc/x", ""), "name_absolute"), (file("a/../../x", ""), "name_parent"), (raw(b'3', "a"), "device")]
    {
        let error = resend(&archive(&[file("ok", ""), member.clone()]), "bad.tar").unwrap_err();
        let text = text(&error);
        assert!(text.contains("bad.tar") && text.contains(word), "{text}");
        assert!(text.contains(&*String::from_utf8_lossy(&member.name)), "{text}");
    }
    for (bytes, name) in
        [(&good[..2000], "cut.tar"), (b"\x1f\x8bnot gzip", "x.tgz"), (b"not zstd", "x.tar.zst"), (b"", "x.tar.gz")]
    {
        let error = resend(bytes, name).unwrap_err();
        assert!(
            matches!(error, PackError::Archive { .. }) && error.hint().is_some() && text(&error).contains(name),
            "{error:?}"
        );
    }
    let broken = archive(&[pax(&[("path", b"")]), file("a", "")]);
    assert!(resend(&broken, "x.tar").is_err());
}

#[test]
fn what_is_no_tree_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = put(home.path(), "a.zip", "x");
    assert!(matches!(Source::open(&path, &options()).unwrap_err(), PackError::Unknown(_)));
    assert!(matches!(Source::open(&home.path().join("no"), &options()).unwrap_err(), PackError::Source { .. }));
}
