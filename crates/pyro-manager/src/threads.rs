//! Work that waits for files, locks or the registry: on threads of its own, so that nobody else waits with it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Error;

/// Runs what waits for files or the registry on a thread of its own.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(crate::error::host("finish the work")(std::io::Error::other(error))))
}

/// Locks a mutex whose content is changed in single steps: a panic elsewhere leaves it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
