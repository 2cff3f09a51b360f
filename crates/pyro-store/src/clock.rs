//! The wall's clock, for what is written down.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
