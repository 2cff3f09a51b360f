//! What the agent says of itself: lines for the guest's console, and errors that name what was tried.

/// Writes a line to the guest's console.
#[expect(clippy::print_stderr, reason = "standard error is the guest's console here")]
pub fn log(line: &str) {
    eprintln!("pyro-agent: {line}");
}

/// An error that names what was tried, and every cause.
pub fn failed<E: std::error::Error>(what: &str) -> impl FnOnce(E) -> std::io::Error {
    let what = what.to_owned();
    move |error| {
        let mut text = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        std::io::Error::other(text)
    }
}
