//! The tools as a model sees them. Every model reads all of this before it does anything, so it is
//! short: what a tool is for, when to use it, and nothing that a name says already.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

/// What a tool does to the world.
#[derive(Clone, Copy)]
enum Effect {
    /// It looks.
    Reads,
    /// It adds something.
    Adds,
    /// It runs a command or removes something.
    Destroys,
    /// The same, and a second time does nothing more.
    DestroysOnce,
    /// It changes something, and a second time does nothing more.
    ChangesOnce,
}

/// A tool, in short.
struct Short {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    effect: Effect,
    /// `name:type`, with `?` after the name where it may be left out.
    input: &'static str,
    output: &'static str,
}

const MACHINE: &str =
    "vcpu_count?:integer mem_mib?:integer ttl_seconds?:integer network?:boolean allow_host_compat?:boolean";
const EXECUTED: &str = "command:string stdout:string stderr:string stdout_truncated:boolean stderr_truncated:boolean \
     exit_code:integer timed_out:boolean duration_ms:integer execution_mode:string environment:string \
     environment_version:string";
const LIFE: &str = "environment:string environment_version:string vcpu_count:integer mem_mib:integer \
     ttl_seconds:integer created_at:number expires_at:number state:string network_enabled:boolean \
     allow_host_compat:boolean execution_mode:string metadata:object";
const WAITED: &str = "task_id:string sequence:integer status:string exit_code:integer|null stdout:string stderr:string";
const ENTRY: &str = "sequence:integer command:string cwd:string status:string exit_code:integer|null \
     duration_ms:integer|null stdout:string stderr:string";
const TASK: &str = "workspace_path:string command_count:integer last_command:object|null last_error:string|null";

const TOOLS: &[Short] = &[
    Short {
        name: "vm_run",
        title: "Run one command",
        description: "Run one shell command in a fresh, isolated Linux VM and return its output and exit code. \
            The VM is removed afterwards, with all files. First choice for a single command. \
            Exit code 124 means timeout_seconds (default 30) was reached.",
        effect: Effect::Destroys,
        input: "environment:string command:string timeout_seconds?:number stdin?:string $MACHINE",
        output: "vm_id:string isolation:object timings_ms:object \
            cleanup:object $EXECUTED",
    },
    Short {
        name: "vm_list_environments",
        title: "List environments",
        description: "List the environments (root file systems) that VMs and tasks can be made of, and whether each \
            is installed. debian:12 has bash, git, perl and the core tools, but no python3 and no curl; debian:12-build adds python3, \
            gcc, g++, make and cmake.",
        effect: Effect::Reads,
        input: "",
        output: "catalog_version:string environments:array",
    },
    Short {
        name: "vm_create",
        title: "Create a VM",
        description: "Create a VM without starting it, for callers that steer each step: then vm_start, vm_exec. \
            Prefer vm_run.",
        effect: Effect::Adds,
        input: "environment:string attempt_id?:string $MACHINE",
        output: "vm_id:string $LIFE",
    },
    Short {
        name: "vm_start",
        title: "Start a VM",
        description: "Start a created or stopped VM.",
        effect: Effect::ChangesOnce,
        input: "vm_id:string",
        output: "vm_id:string $LIFE",
    },
    Short {
        name: "vm_exec",
        title: "Run a VM's one command",
        description: "Run one shell command in a started VM and delete the VM, whatever came of it. \
            For several commands use a task.",
        effect: Effect::Destroys,
        input: "vm_id:string command:string timeout_seconds?:number stdin?:string",
        output: "vm_id:string cleanup:object $EXECUTED",
    },
    Short {
        name: "vm_stop",
        title: "Stop a VM",
        description: "Stop a VM; its disk stays, and vm_start starts it again.",
        effect: Effect::ChangesOnce,
        input: "vm_id:string",
        output: "vm_id:string $LIFE",
    },
    Short {
        name: "vm_delete",
        title: "Delete a VM",
        description: "Delete a VM in any state, with its disk.",
        effect: Effect::DestroysOnce,
        input: "vm_id:string",
        output: "vm_id:string deleted:boolean reason:string",
    },
    Short {
        name: "vm_status",
        title: "Look at a VM",
        description: "Show a VM's state and limits.",
        effect: Effect::Reads,
        input: "vm_id:string",
        output: "vm_id:string $LIFE",
    },
    Short {
        name: "vm_network_info",
        title: "Look at a VM's network",
        description: "Show whether a VM has a network, and its addresses.",
        effect: Effect::Reads,
        input: "vm_id:string",
        output: "vm_id:string network_enabled:boolean outbound_connectivity_expected:boolean guest_ip?:string \
                 gateway_ip?:string subnet_cidr?:string mac_address?:string dns_servers?:array reason?:string",
    },
    Short {
        name: "vm_reap_expired",
        title: "Remove what has expired",
        description: "Remove VMs and tasks whose time is up. They go by themselves, too.",
        effect: Effect::DestroysOnce,
        input: "",
        output: "deleted_vm_ids:array deleted_task_ids:array count:integer",
    },
    Short {
        name: "task_create",
        title: "Create a task",
        description: "Create a task: an isolated Linux VM that stays, with files kept in /workspace, for several \
            commands. Lives ttl_seconds (default 600, most 604800). Delete it when done. \
            A repeated attempt_id returns the same task.",
        effect: Effect::Adds,
        input: "environment:string attempt_id?:string $MACHINE",
        output: "task_id:string $LIFE $TASK",
    },
    Short {
        name: "task_exec",
        title: "Run a command in a task",
        description: "Run a shell command in a task's /workspace (or cwd). Waits up to wait_seconds (default 45), then \
            returns status running with the sequence while the command goes on; see task_wait. For commands longer \
            than 30 s raise timeout_seconds. A repeated attempt_id does not run it again.",
        effect: Effect::Destroys,
        input: "task_id:string command:string timeout_seconds?:number wait_seconds?:number cwd?:string env?:object \
            stdin?:string attempt_id?:string",
        output: "$WAITED",
    },
    Short {
        name: "task_wait",
        title: "Wait for a command",
        description: "Wait up to wait_seconds (default 45) for a task's running command; returns as task_exec does.",
        effect: Effect::Reads,
        input: "task_id:string sequence:integer wait_seconds?:number",
        output: "$WAITED",
    },
    Short {
        name: "task_output",
        title: "Read a command's output",
        description: "Read a piece of a task command's stdout or stderr from a byte offset, also while it runs. \
            Continue at next_offset until ended.",
        effect: Effect::Reads,
        input: "task_id:string sequence:integer stream?:string offset?:integer max_bytes?:integer",
        output: "task_id:string sequence:integer stream:string text:string next_offset:integer ended:boolean",
    },
    Short {
        name: "task_cancel",
        title: "Cancel a command",
        description: "End a task's running command with all its processes. The task stays.",
        effect: Effect::DestroysOnce,
        input: "task_id:string sequence:integer",
        output: "$ENTRY",
    },
    Short {
        name: "task_status",
        title: "Look at a task",
        description: "Show a task's state, its last command, and why it stopped if it did.",
        effect: Effect::Reads,
        input: "task_id:string",
        output: "task_id:string $LIFE $TASK",
    },
    Short {
        name: "task_list",
        title: "List tasks",
        description: "List all tasks of this user, oldest first.",
        effect: Effect::Reads,
        input: "",
        output: "count:integer tasks:array",
    },
    Short {
        name: "task_logs",
        title: "Read a task's journal",
        description: "Show every command of a task with status, exit code and output (long output is cut); \
            sequence selects one, last only the last so many, tail_bytes only the end of each stream.",
        effect: Effect::Reads,
        input: "task_id:string sequence?:integer last?:integer tail_bytes?:integer",
        output: "task_id:string count:integer entries:array",
    },
    Short {
        name: "task_extend",
        title: "Extend a task",
        description: "Let a task live ttl_seconds more, counted from now.",
        effect: Effect::ChangesOnce,
        input: "task_id:string ttl_seconds:integer",
        output: "task_id:string $LIFE $TASK",
    },
    Short {
        name: "task_delete",
        title: "Delete a task",
        description: "Delete a task with its workspace and journal. Running commands are ended.",
        effect: Effect::DestroysOnce,
        input: "task_id:string",
        output: "task_id:string deleted:boolean reason:string",
    },
];

/// Every tool, with its schemas and annotations.
#[must_use]
pub fn tools() -> Vec<Tool> {
    TOOLS
        .iter()
        .map(|short| {
            let mut input = object(short.input);
            let reaches_out = reaches_out(short);
            input.insert("additionalProperties".into(), false.into());
            Tool::new(short.name, one_line(short.description), Arc::new(input))
                .with_title(short.title)
                .with_raw_output_schema(Arc::new(object(short.output)))
                .with_annotations(annotations(short.effect, reaches_out))
        })
        .collect()
}

/// Whether the tool may reach the network: by a guest that has one, or by installing an environment.
fn reaches_out(tool: &Short) -> bool {
    let runs = matches!(tool.name, "vm_start" | "vm_exec" | "task_exec");
    runs || tool.input.contains("$MACHINE")
}

fn annotations(effect: Effect, reaches_out: bool) -> ToolAnnotations {
    let (reads, destroys, once) = match effect {
        Effect::Reads => (true, false, true),
        Effect::Adds => (false, false, false),
        Effect::Destroys => (false, true, false),
        Effect::DestroysOnce => (false, true, true),
        Effect::ChangesOnce => (false, false, true),
    };
    ToolAnnotations::new().read_only(reads).destructive(destroys).idempotent(once).open_world(reaches_out)
}

/// A JSON Schema of an object, from its short form.
fn object(short: &str) -> JsonObject {
    let text = short
        .replace("$MACHINE", MACHINE)
        .replace("$EXECUTED", EXECUTED)
        .replace("$LIFE", LIFE)
        .replace("$WAITED", WAITED)
        .replace("$ENTRY", ENTRY)
        .replace("$TASK", TASK);
    let (mut properties, mut required) = (JsonObject::new(), Vec::new());
    for field in text.split_whitespace() {
        let (name, kind) = field.split_once(':').expect("a field of the catalog has a type");
        let name = match name.strip_suffix('?') {
            Some(optional) => optional,
            None => {
                required.push(Value::from(name));
                name
            }
        };
        properties.insert(name.into(), schema(name, kind));
    }
    let mut object = JsonObject::new();
    object.insert("type".into(), "object".into());
    object.insert("properties".into(), properties.into());
    if !required.is_empty() {
        object.insert("required".into(), required.into());
    }
    object
}

fn schema(name: &str, kind: &str) -> Value {
    // An array of types is legal, and some clients do not know it.
    let mut schema = match kind.strip_suffix("|null") {
        Some(kind) => json!({"anyOf": [{"type": kind}, {"type": "null"}]}),
        None => json!({"type": kind}),
    };
    match (name, kind) {
        ("environments" | "tasks" | "entries", _) => schema["items"] = json!({"type": "object"}),
        ("deleted_vm_ids" | "deleted_task_ids", _) => schema["items"] = json!({"type": "string"}),
        ("env", _) => schema["additionalProperties"] = json!({"type": "string"}),
        ("environment", _) => schema["description"] = "such as debian:12".into(),
        _ => {}
    }
    schema
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's fifteen, and what was added to them.
    #[test]
    fn the_tools_of_the_contract_are_there() {
        let names: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
        for name in [
            "vm_run",
            "vm_list_environments",
            "vm_create",
            "vm_start",
            "vm_exec",
            "vm_stop",
            "vm_delete",
            "vm_status",
            "vm_network_info",
            "vm_reap_expired",
            "task_create",
            "task_exec",
            "task_status",
            "task_logs",
            "task_delete",
        ] {
            assert!(names.contains(&name), "{name}");
        }
        assert_eq!(names.len(), 20);
    }

    #[test]
    fn tools_that_may_reach_the_network_say_so() {
        let open: Vec<String> = tools()
            .iter()
            .filter(|tool| tool.annotations.as_ref().is_some_and(|told| told.open_world_hint == Some(true)))
            .map(|tool| tool.name.to_string())
            .collect();
        assert_eq!(open, ["vm_run", "vm_create", "vm_start", "vm_exec", "task_create", "task_exec"]);
    }

    #[test]
    fn what_every_model_has_to_read_is_short() {
        let text = serde_json::to_string(&tools()).unwrap_or_default();
        assert!(text.len() > 1000 && text.len() / 4 < 6000, "{} tokens", text.len() / 4);
    }
}
