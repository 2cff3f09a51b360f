//! The same `true`, in isolation, by what else this machine has, in turns with pyro.

use std::path::Path;
use std::process::Command;

use super::{Bench, finish, time};
use crate::statistics::summarise;

const ROUNDS: usize = 9;
/// The slow one runs less often.
const COLD_ROUNDS: usize = 3;

/// A way to run `true`.
struct Peer<'a> {
    name: &'a str,
    /// What stands between the command and the host.
    isolation: &'a str,
    rounds: usize,
    run: Box<dyn Fn() -> Result<(), String> + 'a>,
}

pub fn run(bench: &Bench, environment: &Path, template: &Path) -> Result<(), String> {
    bench.report.heading("Side by side: `true` in isolation, from nothing to its exit code");
    let host = |program: &'static str, words: &'static [&'static str]| {
        Box::new(move || {
            let mut command = Command::new(program);
            command.args(words);
            finish(program, command)
        })
    };
    let peers = [
        Peer { name: "the program itself", isolation: "none", rounds: ROUNDS, run: host("true", &[]) },
        Peer {
            name: "bwrap",
            isolation: "namespaces; the host's kernel",
            rounds: ROUNDS,
            run: host("bwrap", &["--ro-bind", "/", "/", "--unshare-all", "--die-with-parent", "true"]),
        },
        Peer {
            name: "gVisor (runsc do)",
            isolation: "a kernel in user space, namespaces, seccomp",
            rounds: ROUNDS,
            run: host("runsc", &["--network=none", "--ignore-cgroups", "do", "true"]),
        },
        Peer {
            name: "pyro run",
            isolation: "a machine of its own (TCG), namespaces, Landlock, seccomp",
            rounds: ROUNDS,
            run: Box::new(|| bench.pyro(&["run", "debian:12", "--", "true"])),
        },
        Peer {
            name: "bare QEMU, restored (the floor)",
            isolation: "a machine of its own (TCG), QEMU's seccomp",
            rounds: ROUNDS,
            run: Box::new(|| bench.floor("template", environment, template)),
        },
        Peer {
            name: "bare QEMU, booted",
            isolation: "a machine of its own (TCG), QEMU's seccomp",
            rounds: COLD_ROUNDS,
            run: Box::new(|| bench.floor("cold", environment, template)),
        },
    ];
    let mut times: Vec<Result<Vec<f64>, String>> = peers.iter().map(|_| Ok(Vec::new())).collect();
    for round in 0..ROUNDS {
        for (peer, times) in peers.iter().zip(&mut times).filter(|(peer, _)| round < peer.rounds) {
            if let Ok(sofar) = times {
                match time(&*peer.run) {
                    Ok(one) => sofar.push(one),
                    Err(why) => *times = Err(why),
                }
            }
        }
    }
    for (peer, times) in peers.iter().zip(times) {
        match times {
            Ok(times) => bench.report.row(peer.name, format!("{} ms", summarise(&times)), "", peer.isolation),
            Err(why) => {
                let why = why.lines().next().unwrap_or_default().to_owned();
                bench.report.row(peer.name, "not measured", "", format!("{}; {why}", peer.isolation));
            }
        }
    }
    Ok(())
}
