//! How fast the processor's time stamp counter runs.

use std::time::{Duration, Instant};

/// Counts the time stamp counter against the monotonic clock for `window`, and returns kilohertz,
/// or `None` on a processor whose counter stands still.
///
/// With a window of 50 ms the error is some tens of parts per million.
#[must_use]
pub fn measure_khz(window: Duration) -> Option<u64> {
    let (start, first) = (Instant::now(), read());
    std::thread::sleep(window);
    let (last, elapsed) = (read(), start.elapsed());
    let khz = u128::from(last.checked_sub(first)?) * 1_000_000 / elapsed.as_nanos();
    u64::try_from(khz).ok().filter(|khz| *khz > 0)
}

fn read() -> u64 {
    // SAFETY: RDTSC is there on every x86_64 processor, and Linux leaves it open to programs.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_measurements_agree() {
        let measure = || super::measure_khz(std::time::Duration::from_millis(20)).unwrap();
        let (one, two) = (measure() as f64, measure() as f64);
        assert!((one / two - 1.0).abs() < 0.05, "{one} kHz, then {two} kHz");
    }
}
