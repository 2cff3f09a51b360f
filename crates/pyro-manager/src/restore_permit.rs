//! Restores take turns: no more of them at once than there are processors, in the order of their coming.
//!
//! ```text
//! arrived ──one of those before it is over──▶ up ──its command is over, or runs for a while──▶ over
//!    └──────────MAX_WAIT──────────────────────▶ up all the same
//! ```
//!
//! Under software emulation a restore and its first command keep a processor busy from beginning to end.
//! More of them than processors only drive each other out of the caches (decision 0012).

use std::sync::OnceLock;
use std::time::Duration;

use pyro_hostfs::permit::Permit;
use tokio::sync::oneshot;

use crate::Pyro;

const FILE: &str = "turns";
/// How long one waits for those before it; one of them may have been stopped.
const MAX_WAIT: Duration = Duration::from_secs(10);

impl Pyro {
    /// Resolves when it is this restore's turn. `None` where no turns can be taken: that is no reason not
    /// to go on.
    pub(crate) async fn restore_permit(&self) -> Option<Permit> {
        let arrived = self.off_thread(|pyro| Ok(Permit::request(&pyro.config.data.join(FILE)).ok().flatten())).await;
        let permit = arrived.ok().flatten()?;
        let width = processors();
        if !permit.is_granted(width).ok()? {
            let waiting = permit.waiting(width);
            let (done, is_granted) = oneshot::channel();
            // A thread of its own, and not one that the runtime waits for at its end.
            let _ = std::thread::Builder::new().spawn(move || drop(done.send(waiting())));
            let _ = tokio::time::timeout(MAX_WAIT, is_granted).await;
        }
        Some(permit)
    }
}

/// How many this process may use.
fn processors() -> u64 {
    static PROCESSORS: OnceLock<u64> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, |count| count.get() as u64))
}
