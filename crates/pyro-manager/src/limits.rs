//! The contract's limits and defaults (section 2), and the one place that checks them.

use std::time::Duration;

use pyro_store::{Record, Settings, Wanted};

use crate::error::Error;

/// A closed range of whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The field's name, as every front end spells it.
    pub field: &'static str,
    /// The smallest value.
    pub min: i64,
    /// The largest value.
    pub max: i64,
}

/// Virtual processors.
pub const VCPU_COUNT: Bounds = Bounds { field: "vcpu_count", min: 1, max: 8 };
/// Memory in MiB.
pub const MEM_MIB: Bounds = Bounds { field: "mem_mib", min: 256, max: 32768 };
/// Life of a machine in seconds, from its creation.
pub const TTL_SECONDS: Bounds = Bounds { field: "ttl_seconds", min: 60, max: 604_800 };
/// What a run may take beside its command, where nobody said how long it may live.
const RUN_GRACE: Duration = Duration::from_secs(60);
/// The longest time limit, in seconds: a year. Larger ones would overflow somebody's clock.
const MAX_TIMEOUT_SECONDS: f64 = 31_536_000.0;

/// How long the host waits for the end of a command with this time limit. The guest enforces the limit; its clock may
/// be slow, and a busy host lets it begin late, so this is more, and in proportion.
pub(crate) fn host_time_limit(timeout: Duration) -> Duration {
    timeout.saturating_add(timeout / 10).saturating_add(Duration::from_secs(10))
}

impl Bounds {
    fn check(self, value: i64) -> Result<i64, Error> {
        if (self.min..=self.max).contains(&value) {
            return Ok(value);
        }
        let bounds = format!("{} to {}", self.min, self.max);
        Err(Error::OutOfRange { field: self.field, value: value.to_string(), bounds })
    }
}

/// The size of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineSize {
    vcpus: u8,
    memory_mib: u32,
}

impl Default for MachineSize {
    fn default() -> Self {
        Self { vcpus: 1, memory_mib: 1024 }
    }
}

impl MachineSize {
    /// A size within the contract's bounds.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with field, value and bounds.
    pub fn new(vcpu_count: i64, mem_mib: i64) -> Result<Self, Error> {
        let vcpus = VCPU_COUNT.check(vcpu_count)? as u8;
        Ok(Self { vcpus, memory_mib: MEM_MIB.check(mem_mib)? as u32 })
    }

    /// The size that a record says.
    pub(crate) fn of(record: &Record) -> Self {
        Self::new(i64::from(record.vcpu_count), i64::from(record.mem_mib)).unwrap_or_default()
    }

    /// Virtual processors.
    #[must_use]
    pub fn vcpus(self) -> u8 {
        self.vcpus
    }

    /// Memory in MiB.
    #[must_use]
    pub fn memory_mib(self) -> u32 {
        self.memory_mib
    }
}

/// What a guest may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NetworkPolicy {
    /// Nothing.
    #[default]
    Off,
    /// Outgoing connections.
    Egress,
}

impl NetworkPolicy {
    /// The policy that a caller has chosen.
    pub(crate) fn of(settings: Settings) -> Self {
        if settings.network { Self::Egress } else { Self::Off }
    }
}

/// What a caller may choose about a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmOptions {
    /// Its size.
    pub size: MachineSize,
    /// How long it may live.
    pub ttl: Duration,
    /// All else. It goes into the record as it is.
    pub settings: Settings,
}

impl Default for VmOptions {
    fn default() -> Self {
        Self { size: MachineSize::default(), ttl: Duration::from_secs(600), settings: Settings::default() }
    }
}

impl From<VmOptions> for Wanted {
    fn from(options: VmOptions) -> Self {
        let VmOptions { size, ttl, settings } = options;
        Self { vcpu_count: size.vcpus(), mem_mib: size.memory_mib(), ttl, settings }
    }
}

/// A machine's life within the contract's bounds.
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn ttl(seconds: i64) -> Result<Duration, Error> {
    TTL_SECONDS.check(seconds).map(|seconds| Duration::from_secs(seconds as u64))
}

/// The life of a stopped task: 0 is one without an end.
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn stopped_ttl(seconds: i64) -> Result<Duration, Error> {
    match ttl(seconds) {
        _ if seconds == 0 => Ok(Duration::ZERO),
        Err(Error::OutOfRange { field, value, bounds }) => {
            Err(Error::OutOfRange { field, value, bounds: format!("{bounds}, or 0 for no end") })
        }
        ttl => ttl,
    }
}

/// The life of a task that is started: what was asked for, or what it had, or where it had no end, the default.
pub(crate) fn started_ttl(asked: Option<Duration>, record: &Record) -> Duration {
    let had = Duration::from_secs(record.ttl_seconds);
    asked.unwrap_or(if had.is_zero() { VmOptions::default().ttl } else { had })
}

/// The life of a one-shot run's machine: what was asked for, or long enough for the command's time limit.
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn run_ttl(seconds: Option<i64>, timeout: Duration) -> Result<Duration, Error> {
    match seconds {
        Some(seconds) => ttl(seconds),
        None => Ok(VmOptions::default().ttl.max(timeout + RUN_GRACE)),
    }
}

/// A command's time limit: above 0 and finite, in seconds.
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn timeout(seconds: f64) -> Result<Duration, Error> {
    if seconds > 0.0 && seconds <= MAX_TIMEOUT_SECONDS {
        return Ok(Duration::from_secs_f64(seconds).max(Duration::from_micros(1)));
    }
    let bounds = format!("above 0, at most {MAX_TIMEOUT_SECONDS}");
    Err(Error::OutOfRange { field: "timeout_seconds", value: seconds.to_string(), bounds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_value_out_of_range_names_field_value_and_bounds() {
        assert_eq!(message(MachineSize::new(0, 1024)), "vcpu_count is 0; it must be 1 to 8");
        assert_eq!(message(MachineSize::new(9, 1024)), "vcpu_count is 9; it must be 1 to 8");
        assert_eq!(message(MachineSize::new(1, 255)), "mem_mib is 255; it must be 256 to 32768");
        assert_eq!(message(MachineSize::new(1, 32769)), "mem_mib is 32769; it must be 256 to 32768");
        assert_eq!(message(MachineSize::new(-1, 1024)), "vcpu_count is -1; it must be 1 to 8");
        assert_eq!(message(ttl(59)), "ttl_seconds is 59; it must be 60 to 604800");
        assert_eq!(message(ttl(604_801)), "ttl_seconds is 604801; it must be 60 to 604800");
        assert_eq!(message(timeout(0.0)), "timeout_seconds is 0; it must be above 0, at most 31536000");
        assert!(message(timeout(f64::NAN)).starts_with("timeout_seconds is NaN"));
        assert!(message(timeout(f64::INFINITY)).starts_with("timeout_seconds is inf"));
        assert!(message(timeout(-1.0)).starts_with("timeout_seconds is -1"));
    }

    #[test]
    fn only_a_stopped_task_lives_without_an_end() {
        assert_eq!(stopped_ttl(0).unwrap(), Duration::ZERO);
        assert_eq!(stopped_ttl(60).unwrap(), Duration::from_secs(60));
        assert_eq!(message(stopped_ttl(59)), "ttl_seconds is 59; it must be 60 to 604800, or 0 for no end");
        assert_eq!(message(stopped_ttl(-1)), "ttl_seconds is -1; it must be 60 to 604800, or 0 for no end");
        assert_eq!(message(ttl(0)), "ttl_seconds is 0; it must be 60 to 604800");
    }

    #[test]
    fn a_started_task_gets_what_was_asked_for_or_what_it_had() {
        let id = pyro_store::VmId::parse("0123456789ab").unwrap();
        let options = VmOptions { ttl: Duration::from_secs(7200), ..VmOptions::default() };
        let mut record = Record::new(id, pyro_store::Kind::Task, "debian:12", "1", options.into(), 1000.0);
        assert_eq!(started_ttl(Some(Duration::from_secs(60)), &record), Duration::from_secs(60));
        assert_eq!(started_ttl(None, &record), Duration::from_secs(7200));
        record.live_for(Duration::ZERO, 1000.0);
        assert_eq!(started_ttl(None, &record), Duration::from_secs(600));
    }

    #[test]
    fn the_bounds_themselves_are_allowed() {
        assert!(MachineSize::new(1, 256).is_ok() && MachineSize::new(8, 32768).is_ok());
        assert!(ttl(60).is_ok() && ttl(604_800).is_ok());
        assert_eq!(timeout(0.5).unwrap(), Duration::from_millis(500));
        assert_eq!(timeout(1e-12).unwrap(), Duration::from_micros(1), "never rounded to none");
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        let options = VmOptions::default();
        assert_eq!((options.size.vcpus(), options.size.memory_mib(), options.ttl.as_secs()), (1, 1024, 600));
    }
}
