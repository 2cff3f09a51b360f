//! The tools as a model sees them, made from the list of operations. Every model reads all of this before it does
//! anything, so it is short.

use std::sync::Arc;

use pyro_api::{Effect, Entry, OPERATIONS, Reach};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::Value;

use crate::defaults::DEFAULTS;
use crate::profile::Profile;

/// Fields whose names say it all.
const PLAIN: &[&str] = &[
    "vm_id",
    "task_id",
    "command",
    "stdin",
    "vcpu_count",
    "mem_mib",
    "ttl_seconds",
    "sequence",
    "network",
    "env",
    "last",
    "offset",
];

/// The tools of a profile, with their schemas and annotations.
#[must_use]
pub fn tools(profile: Profile) -> Vec<Tool> {
    let tools = OPERATIONS.iter().filter_map(|entry| Some((entry.tool?, entry)));
    tools.filter(|(name, _)| profile.has(name)).map(|(name, entry)| tool(name, entry)).collect()
}

fn tool(name: &'static str, entry: &Entry) -> Tool {
    let mut input = entry.input();
    for default in DEFAULTS.iter().filter(|default| default.tool == name) {
        if let Some(property) = input.get_mut("properties").and_then(|all| all.get_mut(default.field)) {
            property["default"] = default.value.into();
        }
    }
    if let Some(properties) = input.get_mut("properties").and_then(Value::as_object_mut) {
        for (_, property) in properties.iter_mut().filter(|(name, _)| PLAIN.contains(&name.as_str())) {
            property.as_object_mut().map(|property| property.remove("description"));
        }
    }
    Tool::new(name, entry.description, Arc::new(input))
        .with_title(entry.title)
        .with_raw_output_schema(Arc::new(short(entry.output())))
        .with_annotations(annotations(entry.effect, entry.reach))
}

/// Models read what a result's fields are called; clients check that those are there which always are.
fn short(mut output: JsonObject) -> JsonObject {
    output.retain(|key, _| ["type", "properties", "required"].contains(&key.as_str()));
    output.entry("type").or_insert_with(|| Value::from("object"));
    output
}

fn annotations(effect: Effect, reach: Reach) -> ToolAnnotations {
    let (reads, destroys, once) = match effect {
        Effect::Reads => (true, false, true),
        Effect::Adds => (false, false, false),
        Effect::Runs => (false, true, false),
        Effect::Removes => (false, true, true),
        Effect::Changes => (false, false, true),
    };
    let open = reach == Reach::Network;
    ToolAnnotations::new().read_only(reads).destructive(destroys).idempotent(once).open_world(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's fifteen, and what was added to them.
    #[test]
    fn the_tools_of_the_contract_are_there() {
        let names: Vec<String> = tools(Profile::Full).iter().map(|tool| tool.name.to_string()).collect();
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
            assert!(names.iter().any(|one| one == name), "{name}");
        }
        assert_eq!(names.len(), 29);
    }

    #[test]
    fn tools_that_may_reach_the_network_say_so() {
        let open: Vec<String> = tools(Profile::Full)
            .iter()
            .filter(|tool| tool.annotations.as_ref().is_some_and(|told| told.open_world_hint == Some(true)))
            .map(|tool| tool.name.to_string())
            .collect();
        assert_eq!(open, ["vm_run", "vm_create", "vm_start", "vm_exec", "task_create", "task_exec", "task_start"]);
    }

    #[test]
    fn what_every_model_has_to_read_is_short() {
        for (profile, most) in [(Profile::Run, 1200), (Profile::Core, 5600), (Profile::Full, 9500)] {
            let text = serde_json::to_string(&tools(profile)).unwrap_or_default();
            assert!(text.len() > 1000 && text.len() / 4 < most, "{profile:?}: {} tokens", text.len() / 4);
        }
    }

    #[test]
    fn every_default_of_a_tool_is_of_a_field_that_it_has() {
        for default in DEFAULTS {
            let entry = pyro_api::find(default.tool).unwrap();
            assert!(entry.input()["properties"].get(default.field).is_some(), "{} {}", default.tool, default.field);
        }
    }

    #[test]
    fn the_tools_are_what_they_were() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&tools(Profile::Full)).unwrap());
    }
}
