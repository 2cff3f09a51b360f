//! A VM of one release, steered by the other one too, over MCP.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::pair::{Pair, Release};

/// Seconds that one server may take for one call.
const CALL_LIMIT: &str = "120";

/// What each release says of a VM that the other one has started first, when it is to start it again by itself. 2.1.0
/// knows a VM's disk by a digest that has the agent in it, so that no other release can say what the disk was made over.
fn refusal(vm: &Value, release: Release) -> String {
    let why = match release {
        Release::Before => "its environment was installed anew since",
        Release::This => {
            "its environment was installed anew since, or it was made by pyro 2.1.0 or earlier, which alone can start it \
             again"
        }
    };
    format!("vm {} cannot start again: {why}", vm["vm_id"].as_str().unwrap_or_default())
}

/// Made by `first`, steered by both while its supervisor is of `first`. After that was killed, only `first` can start it
/// again.
pub fn play(pair: &mut Pair, first: Release, second: Release) -> Result<(), String> {
    let options = json!({"environment": "debian:12", "ttl_seconds": 1800});
    let created = call(pair, first, "vm_create", &options)?;
    pair.expect(&created, &[("/state", json!("created"))])?;
    let vm = json!({"vm_id": created["vm_id"]});
    let steps = [
        (second, "vm_start", "started"),
        (first, "vm_stop", "stopped"),
        (second, "vm_start", "started"),
        (second, "vm_stop", "stopped"),
        (first, "vm_status", "stopped"),
    ];
    for (release, tool, state) in steps {
        let answer = call(pair, release, tool, &vm)?;
        pair.expect(&answer, &[("/vm_id", created["vm_id"].clone()), ("/state", json!(state))])?;
    }
    pair.kill_supervisor(created["vm_id"].as_str().unwrap_or_default())?;
    let refused = call(pair, second, "vm_start", &vm)?;
    let wanted = [("/code", json!("environment_changed")), ("/error", json!(refusal(&vm, second)))];
    pair.expect(&refused, &wanted)?;
    if second == Release::Before {
        // 2.1.0 finds out only when it has a supervisor there, which answers everybody.
        let refused = call(pair, first, "vm_start", &vm)?;
        pair.expect(&refused, &[("/code", json!("environment_changed")), ("/error", json!(refusal(&vm, second)))])?;
        pair.kill_supervisor(created["vm_id"].as_str().unwrap_or_default())?;
    }
    let again = call(pair, first, "vm_start", &vm)?;
    pair.expect(&again, &[("/state", json!("started")), ("/execution_mode", json!("guest_agent"))])?;
    let command = json!({"vm_id": created["vm_id"], "command": "echo told; exit 5"});
    let ran = call(pair, second, "vm_exec", &command)?;
    pair.expect(&ran, &[("/stdout", json!("told\n")), ("/exit_code", json!(5))])?;
    let gone = call(pair, first, "vm_status", &vm)?;
    pair.expect(&gone, &[("/code", json!("deleted"))])
}

/// What a tool answers; a server is started for each call.
fn call(pair: &Pair, release: Release, tool: &str, arguments: &Value) -> Result<Value, String> {
    let failed = |error: std::io::Error| format!("mcp serve: {error}");
    let server = pair.command(release, &["mcp", "serve", "--no-standby"]);
    let mut command = Command::new("timeout");
    command.arg(CALL_LIMIT).arg(server.get_program()).args(server.get_args()).env_clear();
    command.envs(server.get_envs().filter_map(|(key, value)| value.map(|value| (key, value))));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    let (mut input, output) = (child.stdin.take(), child.stdout.take());
    let client =
        json!({"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "upgrade", "version": "1"}});
    let lines = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}),
    ];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut answer = None;
    if let (Some(input), Some(output)) = (&mut input, output) {
        input.write_all(lines.as_bytes()).map_err(failed)?;
        let messages = BufReader::new(output).lines().map_while(Result::ok);
        let mut messages = messages.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        answer = messages.find(|message| message["id"] == 2);
    }
    // The end of its input is the end of the server.
    drop(input);
    child.wait().map_err(failed)?;
    let answer = answer.ok_or_else(|| format!("{release} did not answer {tool}"))?;
    Ok(answer["result"]["structuredContent"].clone())
}
