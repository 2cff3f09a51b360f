//! What the network costs: a run with it, a connection, and bytes in both directions, between a guest
//! and a server in a network namespace of its own.

use std::process::Command;

use pyro_network::{HostFiles, HostNetwork};
use pyro_testkit::{Lab, Routes};

use super::{Bench, PAIRS, time};
use crate::statistics::{Summary, summarise};

/// MiB sent at a time, and connections made.
const MIB: u32 = 100;
const CONNECTIONS: u32 = 50;
const ROUNDS: usize = 3;

/// Prints MB/s of what the guest sends; the server says when it has all of it.
const SEND: &str = r#"$s = IO::Socket::IP->new(PeerHost => "198.51.100.80", PeerPort => 9) or die; $b = "x" x 1048576;
$t = time; print $s $b for 1..$n; $s->flush; shutdown($s, 1); <$s>; print $n * 1.048576 / (time - $t)"#;
/// Prints MB/s of what the guest receives.
const RECEIVE: &str = r#"$s = IO::Socket::IP->new(PeerHost => "198.51.100.80", PeerPort => 19) or die;
$t = time; print $s "$n\n"; $s->flush; 1 while sysread($s, $b, 1048576); print $n * 1.048576 / (time - $t)"#;
/// Prints milliseconds of a connection to port `$p` of `$h`, which is this guest where `$l` says so.
const CONNECT: &str = r#"$l = IO::Socket::IP->new(Listen => 128, LocalPort => $p) if $l;
$a = sockaddr_in($p, inet_aton($h)); $t = time;
for (1..$n) { socket(S, PF_INET, SOCK_STREAM, 0); connect(S, $a) or die $!; close S } print((time - $t) / $n * 1e3)"#;

pub fn run(bench: &Bench) -> Result<(), String> {
    bench.report.heading("The network");
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (routes, families) = usual();
    let lab = match Lab::new(directory.path(), routes, "198.51.100.53") {
        Ok(lab) => lab,
        Err(why) => {
            bench.report.row("the network", "not measured", "", why);
            return Ok(());
        }
    };
    let run = |words: &[&str]| in_lab(bench, &lab, words).map(drop);
    let with = || run(&["run", "debian:12", "--network", "--", "true"]);
    let without = || run(&["run", "debian:12", "--", "true"]);
    let mut costs = Vec::new();
    for pair in 0..PAIRS {
        let first = if pair % 2 == 0 { time(&with)? } else { time(&without)? };
        let second = if pair % 2 == 0 { time(&without)? } else { time(&with)? };
        costs.push(if pair % 2 == 0 { first - second } else { second - first });
    }
    bench.report.row("`--network`, added to a run", format!("{} ms", summarise(&costs)), "at most 50 ms", families);
    let created = in_lab(bench, &lab, &["task", "create", "debian:12", "--network", "--json"])?;
    let created: serde_json::Value = serde_json::from_str(&created).map_err(|error| error.to_string())?;
    let id = created["task_id"].as_str().ok_or("no task id")?;
    let measure = |setting: &str, script: &str| -> Result<Summary, String> {
        let script = format!("{setting}; {script}");
        let words = ["task", "exec", id, "--timeout-seconds", "120", "--"];
        let perl = ["perl", "-MIO::Socket::IP", "-MSocket", "-MTime::HiRes=time", "-e", &script];
        let once = |_| {
            in_lab(bench, &lab, &[&words[..], &perl[..]].concat())?
                .trim()
                .parse::<f64>()
                .map_err(|error| error.to_string())
        };
        (0..ROUNDS).map(once).collect::<Result<Vec<f64>, String>>().map(|all| summarise(&all))
    };
    let out = measure(&format!("$n = {MIB}"), SEND)?;
    let back = measure(&format!("$n = {MIB}"), RECEIVE)?;
    bench.report.row("from the guest", format!("{out} MB/s"), "", "");
    bench.report.row("to the guest", format!("{back} MB/s"), "", "");
    let outside = measure(&format!(r#"$n = {CONNECTIONS}; $h = "198.51.100.80"; $p = 80"#), CONNECT)?;
    let inside = measure(&format!(r#"$n = {CONNECTIONS}; $h = "127.0.0.1"; $p = 8000; $l = 1"#), CONNECT)?;
    let detail = format!("to the guest itself: {inside} ms");
    bench.report.row("a connection to the outside", format!("{outside} ms"), "", detail);
    in_lab(bench, &lab, &["task", "delete", id]).map(drop)
}

/// What this host has: its templates are made for that. (What is measured besides needs IPv4.)
fn usual() -> (Routes, &'static str) {
    match HostNetwork::look(&HostFiles::default()) {
        HostNetwork { ipv4: true, ipv6: true, .. } => (Routes::Both, "a host with IPv4 and IPv6"),
        _ => (Routes::Ipv4, "a host with IPv4"),
    }
}

/// A command of pyro on the lab's host; its standard output.
fn in_lab(bench: &Bench, lab: &Lab, words: &[&str]) -> Result<String, String> {
    let pyro = bench.command(words);
    let mut command: Command = lab.command(pyro.get_program());
    command.args(words).envs(pyro.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("pyro {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr)))
}
