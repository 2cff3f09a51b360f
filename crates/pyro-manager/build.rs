//! Builds the guest agent and embeds it, so that one `cargo build` makes all of pyro.
//!
//! The agent is a static program for the musl target; where that target is not installed it is
//! linked statically against glibc instead, which works the same and is about twice the size.
//! `PYRO_AGENT_BINARY` names an agent that was built elsewhere.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

const MUSL: &str = "x86_64-unknown-linux-musl";
const GLIBC: &str = "x86_64-unknown-linux-gnu";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let workspace = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../..");
    for watched in ["crates/pyro-agent", "crates/pyro-protocol/src", "crates/pyro-sys/src", "Cargo.toml", "Cargo.lock"]
    {
        println!("cargo::rerun-if-changed={}", workspace.join(watched).display());
    }
    println!("cargo::rerun-if-env-changed=PYRO_AGENT_BINARY");
    let agent = match env::var_os("PYRO_AGENT_BINARY") {
        Some(path) => PathBuf::from(path),
        None => build(&workspace, &out),
    };
    let program = fs::read(&agent).unwrap_or_else(|error| panic!("read the agent {}: {error}", agent.display()));
    fs::write(out.join("pyro-agent"), &program).expect("OUT_DIR is writable");
    let digest: String = Sha256::digest(&program).iter().map(|byte| format!("{byte:02x}")).collect();
    println!("cargo::rustc-env=PYRO_AGENT_DIGEST=sha256:{digest}");
}

fn build(workspace: &Path, out: &Path) -> PathBuf {
    let target = if has_target(MUSL) { MUSL } else { GLIBC };
    // A target directory of its own: the one of the outer cargo is locked while this runs. It is
    // shared between profiles, so that the agent is built once.
    let directory = out.ancestors().nth(4).expect("OUT_DIR is target/PROFILE/build/NAME/out").join("agent");
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo.current_dir(workspace).args(["build", "--locked", "--package", "pyro-agent", "--profile", "agent"]);
    cargo.args(["--target", target]).arg("--target-dir").arg(&directory);
    // Flags and wrappers of the outer build are not for the guest.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let meant_for_outer =
            name.starts_with("CARGO_") && !name.starts_with("CARGO_HOME") && !name.starts_with("CARGO_NET");
        if meant_for_outer || name.starts_with("RUSTC") || name == "RUSTFLAGS" {
            cargo.env_remove(name.as_ref());
        }
    }
    if target == GLIBC {
        cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    }
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "the guest agent did not build");
    directory.join(target).join("agent/pyro-agent")
}

fn has_target(target: &str) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Ok(output) = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output() else {
        return false;
    };
    let directory = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}
