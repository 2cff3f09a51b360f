//! What a machine is known by: its id, and what its guest is told of itself.

pub use pyro_store::id::{VmId, hex, is_hex, random_bytes};

use std::time::{SystemTime, UNIX_EPOCH};

use pyro_guest::Identity;

use crate::error::Error;

/// Who a machine is from now on.
pub fn identity(id: &VmId) -> Result<Identity, Error> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Identity {
        wall_clock_ns: u64::try_from(since.as_nanos()).unwrap_or(0),
        entropy: random_bytes::<64>()?.to_vec(),
        host_name: id.to_string(),
        machine_id: hex(&random_bytes::<16>()?),
        network: None,
    })
}
