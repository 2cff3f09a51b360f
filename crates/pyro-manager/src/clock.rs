//! The two clocks: the wall's, for what is written down, and one that nobody can set, for waiting.

pub use pyro_store::clock::now;

use std::io;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Milliseconds, to the microsecond.
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// A timer that also counts while the host sleeps, and that a change of the wall clock does not
/// touch.
pub struct Timer {
    descriptor: AsyncFd<std::os::fd::OwnedFd>,
}

impl Timer {
    /// A timer that rings after `left`.
    pub fn ringing_after(left: Duration) -> io::Result<Self> {
        let descriptor = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // Zero would mean never.
        let left = left.max(Duration::from_nanos(1));
        let value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&descriptor, TimerfdTimerFlags::empty(), &once)?;
        #[expect(deprecated, reason = "its successor is unsafe for types that may close early; an OwnedFd does not")]
        let descriptor = AsyncFd::new(descriptor)?;
        Ok(Self { descriptor })
    }

    /// Resolves when it has rung, every time it is asked.
    pub async fn rung(&self) {
        // Fails only where the runtime is shutting down.
        let _ = self.descriptor.readable().await;
    }
}
