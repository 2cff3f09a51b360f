//! A guest's uplink: outgoing connections by the host's own rights, and a packet filter before them.
//!
//! ```text
//! guest ─▶ virtio-net ─▶ QEMU ──frames──▶ packet filter ──frames──▶ passt ──sockets──▶ the world
//!                                          └─ what is closed ─▶ an ICMP refusal, back to the guest
//! ```
//!
//! [`Uplink::open`] starts `passt`, which turns the guest's frames into ordinary sockets of this user:
//! no root, no device, no bridge. passt connects to whatever address a frame names, and a guest's
//! root can write any frame it likes, so the process that owns the machine stands in between and
//! looks at every one ([`packet_filter`]): nothing goes to the host itself, whatever its address, nor to
//! another guest, nor to a cloud's metadata service.
//!
//! A [`Uplink`] is opened with its machine and closed with it. passt ends when its socket is closed,
//! so it is not left behind whoever is killed.
#![forbid(unsafe_code)]

mod closed;
mod error;
mod flows;
mod frames;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host;
mod packet;
mod packet_filter;
mod passt;
mod plan;
mod refusal;
mod relay;
mod routes;
mod uplink;

pub use error::NetworkError;
pub use host::{HostFiles, HostNetwork};
pub use passt::Passt;
pub use plan::Plan;
pub use uplink::Uplink;
