//! What a machine is known by: its id, and what its guest is told of itself.

pub use pyro_store::id::{VmId, hex, is_hex, random_bytes};

use pyro_guest::Identity;

use crate::clock::wall_clock_ns;
use crate::error::Error;

/// Who a machine is from now on.
pub fn identity(id: &VmId) -> Result<Identity, Error> {
    Ok(Identity {
        wall_clock_ns: wall_clock_ns(),
        entropy: random_bytes::<64>()?.to_vec(),
        host_name: id.to_string(),
        machine_id: hex(&random_bytes::<16>()?),
        network: None,
        mac_address: id.mac_address().to_vec(),
    })
}
