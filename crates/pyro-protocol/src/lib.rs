//! What host and guest say to each other.
//!
//! One byte stream (a virtio-serial port) carries [`frame::Frame`]s. Stream 0 is the control
//! stream; every other stream is one command, numbered by the host. A frame is either a
//! [`message`] (a protobuf body) or raw bytes of a command's stdin, stdout or stderr.
//!
//! ```text
//! host                                         guest
//!   Hello{generation} ──────────────────────▶
//!   Identity{clock, entropy, names} ────────▶            (the host need not wait between these)
//!                       ◀────────────────────  Hello{generation}
//!                       ◀────────────────────  Identified    (or Refused: then no command runs)
//!   Exec on stream 1, Stdin data, end ──────▶
//!                       ◀────────────────────  Started, Stdout data, Stderr data
//!   Credit{stdout} ─────────────────────────▶            (only what the reader has consumed)
//!                       ◀────────────────────  Exited
//! ```
//!
//! This crate knows no sockets, no clock and no machines: the codec is a pure function of bytes.
#![forbid(unsafe_code)]

pub mod files;
pub mod frame;
pub mod message;

/// The generation of the protocol. It changes when an old peer would misunderstand a new one;
/// fields and capabilities may be added without changing it. Host and guest must name the same.
pub const GENERATION: u32 = 2;

/// Name of the virtio-serial port the guest looks for.
pub const PORT_NAME: &str = "org.pyro.agent.0";

/// How many bytes of stdin the host may send on a new stream before the guest grants more.
pub const INITIAL_STDIN_CREDIT: u32 = 256 * 1024;

/// Kernel command line word that names the guest's root disk; without it the guest stays in its
/// initramfs, which is how disks are built.
pub const ROOT_PARAMETER: &str = "pyro.root=";

/// Exit code of a command that ran into its time limit, as in coreutils' `timeout`.
pub const TIMED_OUT_EXIT_CODE: i32 = 124;
