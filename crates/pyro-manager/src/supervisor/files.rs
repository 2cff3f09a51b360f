//! The supervisor's own files, watched: whoever removes its directory, or a file that it cannot do without, ends it.
//!
//! The kernel tells of it (inotify(7)). A machine whose directory is gone could be reached by nobody, and one whose
//! socket is gone by no client: both would run until they expire.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pyro_store::journal;
use pyro_store::record::RECORD;
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use tokio::io::unix::AsyncFd;

/// The socket's name in the machine's directory.
pub const SOCKET: &str = "socket";
/// What the supervisor complains about, in the machine's directory.
pub const LOG: &str = "supervisor.log";

/// Files without which a supervisor has nothing to supervise with. A record that is replaced is moved over the old
/// one, which is no removal.
const NEEDED: [&str; 4] = ["lock", RECORD, journal::LOG, SOCKET];

/// How often they are looked at where they cannot be watched.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The watch.
pub struct Files {
    directory: PathBuf,
    /// None where this user may have no more watches: the files are looked at now and then.
    notifications: Option<AsyncFd<OwnedFd>>,
}

impl Files {
    /// Watches a directory in which all of them are. A user may have some 128 watches (`max_user_instances` in
    /// inotify(7)) and more tasks than that.
    pub fn watch(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), notifications: notifications(directory).ok() }
    }

    /// Resolves with the name of what is missing: a file, or the directory itself. Cancel safe.
    pub async fn missing(&self) -> String {
        loop {
            self.something_changed().await;
            if let Some(missing) = self.look() {
                return missing;
            }
        }
    }

    /// Whether nothing is missing but the socket: what is left is worth keeping.
    pub fn only_the_socket_is_missing(&self) -> bool {
        NEEDED.iter().filter(|name| **name != SOCKET).all(|name| self.is_there(name))
    }

    fn look(&self) -> Option<String> {
        if !self.directory.try_exists().unwrap_or(true) {
            return Some("its directory".into());
        }
        let missing = NEEDED.iter().find(|name| !self.is_there(name));
        missing.map(|name| format!("the file {name} in its directory"))
    }

    /// What cannot be looked at is taken to be there: nothing is ended for want of an answer.
    fn is_there(&self, name: &str) -> bool {
        self.directory.join(name).try_exists().unwrap_or(true)
    }

    /// What was told is of no interest: a look decides.
    async fn something_changed(&self) {
        let Some(notifications) = &self.notifications else { return tokio::time::sleep(LOOK_INTERVAL).await };
        match notifications.readable().await {
            Ok(mut ready) => {
                ready.clear_ready();
                let mut buffer = [MaybeUninit::uninit(); 4096];
                let mut reader = Reader::new(notifications.get_ref(), &mut buffer);
                while reader.next().is_ok() {}
            }
            // Fails only where the runtime is shutting down.
            Err(_) => std::future::pending().await,
        }
    }
}

fn notifications(directory: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let what = WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
    inotify::add_watch(&descriptor, directory, what | WatchFlags::ONLYDIR)?;
    #[expect(deprecated, reason = "its successor is unsafe for types that may close early; an OwnedFd does not")]
    AsyncFd::new(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        NEEDED.iter().for_each(|name| fs::write(directory.path().join(name), "").unwrap());
        directory
    }

    #[tokio::test]
    async fn a_replaced_record_is_no_removal_and_a_removed_socket_is() {
        let directory = directory();
        let files = Files::watch(directory.path());
        fs::write(directory.path().join("new"), "new").unwrap();
        fs::rename(directory.path().join("new"), directory.path().join(RECORD)).unwrap();
        fs::write(directory.path().join("creating"), "").unwrap();
        fs::remove_file(directory.path().join("creating")).unwrap();
        assert_eq!(files.look(), None);
        fs::remove_file(directory.path().join(SOCKET)).unwrap();
        assert_eq!(files.missing().await, "the file socket in its directory");
        assert!(files.only_the_socket_is_missing());
    }

    #[tokio::test]
    async fn a_removed_or_renamed_directory_is_missing() {
        for remove in [true, false] {
            let directory = directory();
            let files = Files::watch(directory.path());
            let elsewhere = directory.path().with_extension("elsewhere");
            if remove { fs::remove_dir_all(&directory) } else { fs::rename(&directory, &elsewhere) }.unwrap();
            assert!(!files.missing().await.is_empty());
            assert!(!files.only_the_socket_is_missing());
            let _ = fs::remove_dir_all(elsewhere);
        }
    }
}
