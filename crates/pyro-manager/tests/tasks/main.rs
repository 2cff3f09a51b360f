//! Tasks and VMs over the fake engine: every process is a real one, and may be killed at any step.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod attacked;
mod commands;
mod kept;
mod killed;
mod late;
mod life;
mod naming;
mod releases;
mod stopped;
mod world;

/// Supervisors and clients of the other tests are this program in a role.
#[test]
fn process_in_a_role() {
    if let Ok(role) = std::env::var(world::ROLE) {
        world::play(&role);
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "process_in_a_role", "--nocapture"]).env(world::ROLE, "ping");
    assert_eq!(command.output().unwrap().status.code(), Some(42), "a role is played, and not this test");
}
