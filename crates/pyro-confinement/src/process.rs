//! A confined program that runs.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use pyro_sys::launch::Child;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::cgroup::Group;
use crate::layer::Missing;

/// Killed when it is dropped.
#[derive(Debug)]
struct Owned(Child);

/// A confined program that was started. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: AsyncFd<Owned>,
    layers: Vec<&'static str>,
    missing: Vec<Missing>,
    ended: Option<String>,
    // After the process that is in it.
    _group: Option<Group>,
}

impl Process {
    pub(crate) fn new(
        child: Child,
        group: Option<Group>,
        layers: Vec<&'static str>,
        missing: Vec<Missing>,
    ) -> io::Result<Self> {
        #[expect(deprecated, reason = "its successor is unsafe; here the descriptor stays open, and the same")]
        let child = AsyncFd::with_interest(Owned(child), Interest::READABLE)?;
        Ok(Self { child, layers, missing, ended: None, _group: group })
    }

    /// The layers in force around it.
    #[must_use]
    pub fn layers(&self) -> &[&'static str] {
        &self.layers
    }

    /// The layers that are not, and why.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Its process id, in this process's namespace.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.child.get_ref().0.id()
    }

    /// Waits for its end, and returns how it ended, as text.
    ///
    /// # Errors
    /// When the host does not let it be waited for.
    pub async fn wait(&mut self) -> io::Result<String> {
        loop {
            if let Some(ended) = &self.ended {
                return Ok(ended.clone());
            }
            let mut ready = self.child.readable().await?;
            match ready.get_inner().0.try_wait()? {
                Some(status) => self.ended = Some(status),
                None => ready.clear_ready(),
            }
        }
    }

    /// Kills it, and waits until it is gone.
    pub async fn kill(&mut self) {
        if self.ended.is_none() {
            self.child.get_ref().0.kill();
            // A failed wait means that it is gone.
            let _ = self.wait().await;
        }
    }
}

impl AsRawFd for Owned {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.kill();
        // Fails when it was waited for already.
        let _ = self.0.wait();
    }
}
