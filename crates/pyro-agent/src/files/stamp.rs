//! Times in pax headers: seconds as a decimal number, for example `1700000000.000000001`.

/// A time of change: seconds since 1970-01-01 UTC, and nanoseconds from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    pub seconds: i64,
    pub nanoseconds: u32,
}

const SECOND: u32 = 1_000_000_000;

impl Stamp {
    pub fn to_decimal(self) -> String {
        let Self { seconds, nanoseconds } = self;
        match (seconds, nanoseconds) {
            (seconds, 0) => seconds.to_string(),
            (-1, _) => format!("-0.{:09}", SECOND - nanoseconds),
            (..-1, _) => format!("{}.{:09}", seconds + 1, SECOND - nanoseconds),
            (seconds, _) => format!("{seconds}.{nanoseconds:09}"),
        }
    }

    /// What is finer than a nanosecond does not count.
    pub fn from_decimal(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let seconds: i64 = whole.parse().ok()?;
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
        let nanoseconds = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        if whole.starts_with('-') && nanoseconds > 0 {
            let seconds = seconds.checked_sub(1)?;
            return Some(Self { seconds, nanoseconds: SECOND - nanoseconds });
        }
        Some(Self { seconds, nanoseconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds: i64, nanoseconds in 0..SECOND) {
            let stamp = Stamp { seconds, nanoseconds };
            // The earliest second of all has no second before it to count back from.
            prop_assume!(seconds > i64::MIN);
            prop_assert_eq!(Stamp::from_decimal(stamp.to_decimal().as_bytes()), Some(stamp));
        }

        #[test]
        fn any_bytes_are_a_time_or_none(bytes: Vec<u8>) {
            if let Some(stamp) = Stamp::from_decimal(&bytes) {
                prop_assert!(stamp.nanoseconds < SECOND);
            }
        }
    }

    #[test]
    fn times_are_written_as_others_write_them() {
        assert_eq!(Stamp { seconds: 1_700_000_000, nanoseconds: 1 }.to_decimal(), "1700000000.000000001");
        assert_eq!(Stamp { seconds: -2, nanoseconds: 500_000_000 }.to_decimal(), "-1.500000000");
        assert_eq!(Stamp::from_decimal(b"-0.25"), Some(Stamp { seconds: -1, nanoseconds: 750_000_000 }));
        assert_eq!(Stamp::from_decimal(b"12.1234567899"), Some(Stamp { seconds: 12, nanoseconds: 123_456_789 }));
        assert_eq!(Stamp::from_decimal(b"1.x"), None);
        assert_eq!(Stamp::from_decimal(b""), None);
    }
}
