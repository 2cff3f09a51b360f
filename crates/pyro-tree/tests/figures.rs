//! How long it takes. `cargo test --release -p pyro-tree --locked --test figures -- --ignored --nocapture`
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]
#![expect(clippy::print_stdout, reason = "figures are printed")]

mod world;

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use pyro_tree::entry::{Entry, Kind};
use pyro_tree::manifest::Manifest;
use pyro_tree::pack::Source;

fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = act();
    println!("{what}: {} ms", start.elapsed().as_millis());
    result
}

/// Bytes that do not compress to nothing, always the same.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 58) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn measure(what: &str, home: &Path, from: &Path) {
    let source = timed(&format!("{what}: listed"), || Source::open(from, &world::options()).unwrap());
    let packed = timed(&format!("{what}: packed to nowhere"), || source.write(&mut io::sink(), &mut |_| {}).unwrap());
    assert_eq!(packed.notices, []);
    let (bytes, _) = timed(&format!("{what}: packed to memory"), || world::pack(from, &world::options()));
    for name in ["to", "to.tar", "to.tar.zst", "to.tar.gz"] {
        timed(&format!("{what}: received as {name}"), || world::take(&bytes, &home.join(name)));
    }
}

#[test]
#[ignore = "prints figures"]
fn many_files() {
    let home = tempfile::tempdir().unwrap();
    let many = home.path().join("many/from");
    for number in 0..10_000 {
        world::put(&many, &format!("d{}/{number}", number / 100), noise(6000, number));
    }
    measure("10,000 files of 60 MB", &home.path().join("many"), &many);
}

#[test]
#[ignore = "prints figures, and needs 5 GiB of disk and memory"]
fn large_files() {
    let home = tempfile::tempdir().unwrap();
    let one = home.path().join("one/from");
    world::put(&one, "file", noise(1 << 30, 0));
    measure("one file of 1 GiB", &home.path().join("one"), &one);
    let sparse = home.path().join("sparse/from");
    fs::File::options().write(true).open(world::put(&sparse, "file", "x")).unwrap().set_len(1 << 30).unwrap();
    measure("one hole of 1 GiB", &home.path().join("sparse"), &sparse);
}

#[test]
#[ignore = "prints figures"]
fn a_large_manifest() {
    let home = tempfile::tempdir().unwrap();
    let entry = |number: u32| Entry {
        path: format!("src/{}/{number}.rs", number / 100).into_bytes(),
        kind: Kind::File,
        mode: 0o644,
        size: 7,
        digest: "0123456789abcdef".repeat(4),
        mtime_ns: 1_700_000_000_123_456_789,
    };
    let manifest = Manifest::new("large".into(), (0..200_000).map(entry).collect());
    let path = home.path().join("manifest");
    timed("manifest of 200,000 entries: written", || manifest.write(&path).unwrap());
    timed("manifest of 200,000 entries: read", || Manifest::read(&path).unwrap());
}
