//! What this host can do, and skipping what it cannot.

use std::path::{Path, PathBuf};

/// Where the environments are that tests with real guests share, or why there are none: the one
/// command that runs all tests pulls `debian:12` there and names the place.
///
/// # Errors
/// The reason to skip with.
pub fn real_guests() -> Result<PathBuf, String> {
    let place = std::env::var_os("PYRO_TEST_CACHE").map(PathBuf::from);
    let place = place.ok_or("PYRO_TEST_CACHE names no cache with debian:12 in it (make check does)")?;
    if place.join("debian_12-1.0.0/environment.json").exists() {
        Ok(place)
    } else {
        Err(format!("{} has no debian:12 in it", place.display()))
    }
}

/// Says that a test is skipped, and why; the one command that runs all tests counts these.
#[expect(clippy::print_stderr, reason = "for the person who runs the tests")]
pub fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
    let Some(log) = std::env::var_os("PYRO_TEST_SKIPS") else { return };
    append(Path::new(&log), &format!("{test}: {why}\n"));
}

fn append(path: &Path, line: &str) {
    use std::io::Write;
    let file = std::fs::File::options().create(true).append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.expect("the log of skipped tests can be written");
}
