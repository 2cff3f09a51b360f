//! A guest's uplink: outgoing connections as this user, behind a packet filter.
//!
//! ```text
//! guest ─▶ virtio-net ─▶ QEMU ──frames──▶ packet filter ──frames──▶ passt ──sockets──▶ the world
//!                                          └─ what is closed ─▶ an ICMP refusal, back to the guest
//! ```
//!
//! [`Uplink::open`] starts `passt`, which turns the guest's frames into ordinary sockets of this user:
//! no root, no device, no bridge. passt connects to whatever address a frame names, and a guest's
//! root can write any frame. Therefore the process that owns the machine sits in between and
//! filters every frame ([`packet_filter`]): none reaches the host itself, at any of its addresses,
//! another guest, or a cloud's metadata service.
//!
//! A [`Uplink`] is opened with its machine and closed with it. passt ends when its socket is closed,
//! so it never outlives a killed process.
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
