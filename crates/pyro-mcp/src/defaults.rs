//! Default arguments of tools: a model cannot wait for ever and cannot read unlimited output.

use serde_json::Value;

use crate::shorten::MAX_TEXT;

/// A field that a model need not name.
pub struct Default {
    pub tool: &'static str,
    pub field: &'static str,
    pub value: u64,
    /// A larger value counts as this.
    pub max: u64,
}

/// Hosts give up on a call after about a minute.
const WAIT_SECONDS: u64 = 45;
/// Bytes of output in one answer.
const OUTPUT_BYTES: u64 = 16 * 1024;
const MAX_OUTPUT_BYTES: u64 = 256 * 1024;

/// All of them.
pub const DEFAULTS: &[Default] = &[
    Default { tool: "task_exec", field: "wait_seconds", value: WAIT_SECONDS, max: u64::MAX },
    Default { tool: "task_wait", field: "wait_seconds", value: WAIT_SECONDS, max: u64::MAX },
    Default { tool: "task_output", field: "max_bytes", value: OUTPUT_BYTES, max: MAX_OUTPUT_BYTES },
    Default { tool: "task_logs", field: "max_bytes", value: MAX_TEXT as u64, max: MAX_TEXT as u64 },
];

/// The arguments of a call, with the tool's defaults where they say nothing.
pub fn with_defaults(tool: &str, mut arguments: Value) -> Value {
    if let Some(given) = arguments.as_object_mut() {
        for default in DEFAULTS.iter().filter(|default| default.tool == tool) {
            let value = given.entry(default.field).or_insert(Value::Null);
            if value.is_null() {
                *value = default.value.into();
            } else if value.as_u64().is_some_and(|given| given > default.max) {
                *value = default.max.into();
            }
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_counts_within_bounds() {
        let of = |arguments| with_defaults("task_output", arguments)["max_bytes"].clone();
        assert_eq!(of(json!({})), OUTPUT_BYTES);
        assert_eq!(of(json!({"max_bytes": null})), OUTPUT_BYTES);
        assert_eq!(of(json!({"max_bytes": 7})), 7);
        assert_eq!(of(json!({"max_bytes": 1u64 << 40})), MAX_OUTPUT_BYTES);
        assert_eq!(of(json!({"max_bytes": "x"})), "x", "what makes no sense is refused by the operation");
        assert_eq!(with_defaults("vm_run", json!({})), json!({}));
    }
}
