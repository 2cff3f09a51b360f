//! The two clocks: the wall's, for what is written down, and one that nobody can set, for waiting.

pub use pyro_store::clock::now;

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Milliseconds, to the microsecond.
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Nanoseconds since 1970-01-01 UTC.
pub fn wall_clock_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Hears when the wall clock was set, by a person, by a time service, or because the host has slept: guests count
/// on without all of that.
pub struct WallClock {
    descriptor: AsyncFd<std::os::fd::OwnedFd>,
}

impl WallClock {
    /// Listens from now on.
    ///
    /// # Errors
    /// Those of timerfd_create(2) and timerfd_settime(2).
    pub fn listen() -> io::Result<Self> {
        let descriptor = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // It rings never: it is there to be cancelled, as timerfd_create(2) says of TFD_TIMER_CANCEL_ON_SET.
        let never = Timespec { tv_sec: i64::MAX / 1_000_000_000, tv_nsec: 0 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&descriptor, flags, &once)?;
        Ok(Self { descriptor: watched(descriptor)? })
    }

    /// Resolves each time the clock was set. Cancel safe.
    pub async fn was_set(&self) {
        loop {
            // Fails only where the runtime is shutting down.
            let Ok(mut ready) = self.descriptor.readable().await else { return std::future::pending().await };
            match rustix::io::read(&self.descriptor, &mut [0; 8]) {
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(rustix::io::Errno::CANCELED) => return ready.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                // Nothing else is heard of this timer; whoever waits must not spin over it.
                _ => return std::future::pending().await,
            }
        }
    }
}

#[expect(deprecated, reason = "its successor is unsafe for types that may close early; an OwnedFd does not")]
fn watched(descriptor: std::os::fd::OwnedFd) -> io::Result<AsyncFd<std::os::fd::OwnedFd>> {
    AsyncFd::new(descriptor)
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
        Ok(Self { descriptor: watched(descriptor)? })
    }

    /// Resolves when it has rung, every time it is asked.
    pub async fn rung(&self) {
        // Fails only where the runtime is shutting down.
        let _ = self.descriptor.readable().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clock_that_was_set_is_heard_of() {
        let wall_clock = WallClock::listen().unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(1), wall_clock.was_set());
        assert!(quiet.await.is_err(), "nobody has set it yet");
        // To what it says already: that counts as well, and harms nobody.
        let clock = rustix::time::ClockId::Realtime;
        let set = || rustix::time::clock_settime(clock, rustix::time::clock_gettime(clock));
        for _ in 0..2 {
            if let Err(error) = set() {
                return pyro_testkit::skip(
                    "a_clock_that_was_set_is_heard_of",
                    &format!("the clock may not be set: {error}"),
                );
            }
            wall_clock.was_set().await;
        }
    }
}
