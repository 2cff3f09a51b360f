//! The guest agent, built by this crate's build script.

use pyro_environment::Agent;

/// The agent of this release.
pub const AGENT: Agent =
    Agent { program: include_bytes!(concat!(env!("OUT_DIR"), "/pyro-agent")), digest: env!("PYRO_AGENT_DIGEST") };

/// Size of the guest agent that this program carries, in bytes.
#[must_use]
pub fn agent_size() -> usize {
    AGENT.program.len()
}
