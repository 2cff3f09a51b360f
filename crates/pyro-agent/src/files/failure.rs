//! Why an operation failed, as the host will hear it.

use std::io;

use pyro_protocol::files::reason;
use rustix::io::Errno;

/// The end of an operation, a bad one.
#[derive(Debug)]
pub struct Failure {
    /// A word of [`reason`].
    pub reason: &'static str,
    pub path: Vec<u8>,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(reason: &'static str, path: &[u8], message: impl Into<String>) -> Self {
        Self { reason, path: path.to_vec(), message: message.into() }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(reason::BAD_REQUEST, b"", message)
    }
}

/// Says at which path a system call failed.
pub trait At<T> {
    fn at(self, path: &[u8]) -> Result<T>;
}

impl<T> At<T> for std::result::Result<T, Errno> {
    fn at(self, path: &[u8]) -> Result<T> {
        self.map_err(|error| Failure::new(word(error), path, text(error)))
    }
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &[u8]) -> Result<T> {
        self.map_err(|error| match Errno::from_io_error(&error) {
            Some(errno) => Failure::new(word(errno), path, text(errno)),
            None => {
                let reason = match error.kind() {
                    io::ErrorKind::UnexpectedEof => reason::INCOMPLETE,
                    io::ErrorKind::InvalidData => reason::BAD_REQUEST,
                    _ => reason::FAILED,
                };
                Failure::new(reason, path, error.to_string())
            }
        })
    }
}

/// What the kernel's error means to who asked.
fn word(error: Errno) -> &'static str {
    match error {
        Errno::NOENT => reason::NOT_FOUND,
        Errno::NOTDIR => reason::NOT_A_DIRECTORY,
        Errno::ISDIR => reason::IS_A_DIRECTORY,
        Errno::EXIST => reason::EXISTS,
        Errno::NOTEMPTY => reason::NOT_EMPTY,
        // From openat2(2). Operations that cross file systems say so themselves.
        Errno::XDEV => reason::OUTSIDE_ROOT,
        Errno::NOSPC | Errno::DQUOT => reason::NO_SPACE,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => reason::PERMISSION,
        Errno::INVAL | Errno::NAMETOOLONG => reason::BAD_REQUEST,
        _ => reason::FAILED,
    }
}

/// The error for people.
pub fn text(error: Errno) -> String {
    match error {
        Errno::XDEV => "it leads out of the root".into(),
        Errno::LOOP => "too many symbolic links, or one of the kernel's own".into(),
        // Rust's text ends with the number, which says nothing to anybody.
        error => {
            let text = io::Error::from(error).to_string();
            text.split(" (os error").next().unwrap_or_default().to_owned()
        }
    }
}
