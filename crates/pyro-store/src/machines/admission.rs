//! Whether there is room for one more machine.

use std::fs;

/// Whether a new machine may be refused for want of capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is pyro's own, and short.
    Always,
    /// There may be so many at once.
    Limit(usize),
    /// As many as the host's available memory bears.
    ByMemory {
        /// Memory of one, in MiB.
        mem_mib: u32,
    },
}

/// Memory that new processes may use without swapping, in MiB; see proc_meminfo(5).
pub fn available_memory_mib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
