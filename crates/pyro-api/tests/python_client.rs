//! The methods of the Python client are made from the list of operations. This test makes them and compares;
//! with `PYRO_WRITE_GENERATED=1` it writes them.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::fmt::Write;

use pyro_api::{Entry, OPERATIONS};
use serde_json::Value;

const HEAD: &str = r#""""The operations of pyro as methods. Made from the list of operations in `crates/pyro-api`; do not edit.

To make it again: `PYRO_WRITE_GENERATED=1 cargo test -p pyro-api --test python_client`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from ._execution import Execution, Payload
"#;

#[derive(Clone, Copy, PartialEq)]
enum Flavour {
    Waiting,
    Awaited,
}

#[test]
fn the_python_client_has_every_operation_as_it_is() {
    let mut made = HEAD.to_owned();
    for flavour in [Flavour::Waiting, Flavour::Awaited] {
        made.push_str(&class(flavour));
    }
    let path = format!("{}/../../python/pyro_mcp/_operations.py", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("PYRO_WRITE_GENERATED").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "_operations.py is not what the operations say; PYRO_WRITE_GENERATED=1 writes it anew");
}

fn class(flavour: Flavour) -> String {
    let (name, what, awaited) = match flavour {
        Flavour::Waiting => ("Operations", "Every operation, for programs that wait.", ""),
        Flavour::Awaited => ("AsyncOperations", "Every operation, for asyncio.", "async "),
    };
    let mut text = format!("\n\nclass {name}:\n    \"\"\"{what}\"\"\"\n");
    write!(
        text,
        "\n    {awaited}def _do(self, operation: str, stdin: str | bytes | None = None, **arguments: Any) -> Payload:\n        \
         raise NotImplementedError\n"
    )
    .unwrap();
    if flavour == Flavour::Waiting {
        text.push_str(
            "\n    def _begin(self, operation: str, stdin: str | bytes | None = None, **arguments: Any) -> Execution:\n        \
             raise NotImplementedError\n",
        );
    }
    for entry in OPERATIONS {
        text.push_str(&method(entry, entry.name, flavour, "Payload"));
        if entry.name == "exec_task" && flavour == Flavour::Waiting {
            text.push_str(&method(entry, "stream_task", flavour, "Execution"));
        }
    }
    text
}

/// An argument of a method.
struct Argument {
    name: String,
    kind: &'static str,
    default: Option<String>,
    about: String,
}

fn method(entry: &Entry, name: &str, flavour: Flavour, returns: &str) -> String {
    let arguments = arguments(entry, name);
    let (positional, named): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|argument| is_positional(argument, arguments.len()));
    let mut signature = vec!["self".to_owned()];
    signature.extend(positional.iter().map(|argument| declared(argument)));
    if !named.is_empty() {
        signature.push("*".into());
        signature.extend(named.iter().map(|argument| declared(argument)));
    }
    let (awaits, awaited) = if flavour == Flavour::Awaited { ("async ", "await ") } else { ("", "") };
    let one_line = format!("    {awaits}def {name}({}) -> {returns}:", signature.join(", "));
    let mut text = String::from("\n");
    if one_line.len() <= 120 {
        writeln!(text, "{one_line}").unwrap();
    } else {
        writeln!(text, "    {awaits}def {name}(").unwrap();
        signature.iter().for_each(|word| writeln!(text, "        {word},").unwrap());
        writeln!(text, "    ) -> {returns}:").unwrap();
    }
    text.push_str(&documentation(entry, &arguments, returns));
    let mut passed = vec![format!("{:?}", entry.name)];
    if arguments.iter().any(|argument| argument.name == "stdin") {
        passed.push("stdin".into());
    }
    passed.extend(arguments.iter().filter(|argument| argument.name != "stdin").map(pass));
    let reads_bytes = entry.input()["properties"].get("encoding").is_some();
    if reads_bytes {
        passed.push("encoding=\"base64\"".into());
    }
    let called = if returns == "Payload" { format!("{awaited}self._do") } else { "self._begin".into() };
    let call = call(&called, &passed);
    if reads_bytes {
        writeln!(text, "        payload = {call}").unwrap();
        writeln!(text, "        payload[\"data\"] = base64.b64decode(payload[\"data\"])").unwrap();
        writeln!(text, "        return payload").unwrap();
    } else {
        writeln!(text, "        return {call}").unwrap();
    }
    text
}

fn call(called: &str, passed: &[String]) -> String {
    let one_line = format!("{called}({})", passed.join(", "));
    if one_line.len() <= 100 {
        return one_line;
    }
    let lines: Vec<String> = passed.iter().map(|word| format!("            {word},\n")).collect();
    format!("{called}(\n{}        )", lines.concat())
}

/// Required ones first, as they are declared; then the others by name.
fn arguments(entry: &Entry, name: &str) -> Vec<Argument> {
    let input = entry.input();
    let properties = input["properties"].as_object().unwrap();
    let required: Vec<&str> =
        input.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let optional = properties.keys().map(String::as_str).filter(|name| !required.contains(name));
    // Output that is streamed is not waited for.
    let left_out = |argument: &str| argument == "encoding" || (name == "stream_task" && argument == "wait_seconds");
    let names = required.iter().copied().chain(optional).filter(|argument| !left_out(argument));
    names.map(|argument| of(argument, &properties[argument], required.contains(&argument))).collect()
}

fn of(name: &str, property: &Value, is_required: bool) -> Argument {
    let kind = match property["type"].as_str().unwrap() {
        "string" if name == "stdin" => "str | bytes",
        "string" => "str",
        "integer" => "int",
        "number" => "float",
        "boolean" => "bool",
        "object" => "Mapping[str, str]",
        "array" => "Sequence[str]",
        other => panic!("no Python type for {other}"),
    };
    let default = match &property["default"] {
        _ if is_required => None,
        Value::Null => Some("None".into()),
        Value::Bool(true) => Some("True".into()),
        Value::Bool(false) => Some("False".into()),
        Value::Array(items) if items.is_empty() => Some("()".into()),
        Value::Number(number) => Some(number.to_string().trim_end_matches(".0").to_owned()),
        other => Some(other.to_string()),
    };
    let about = property["description"].as_str().unwrap_or_default().to_owned();
    Argument { name: name.into(), kind, default, about }
}

fn is_positional(argument: &Argument, count: usize) -> bool {
    let is_id = ["vm_id", "task_id", "sequence"].contains(&argument.name.as_str());
    argument.default.is_none() && (is_id || (argument.name == "environment" && count == 1))
}

fn declared(argument: &Argument) -> String {
    let Argument { name, kind, default, .. } = argument;
    match default.as_deref() {
        None => format!("{name}: {kind}"),
        Some("None") => format!("{name}: {kind} | None = None"),
        Some(default) => format!("{name}: {kind} = {default}"),
    }
}

fn pass(argument: &Argument) -> String {
    let name = &argument.name;
    match argument.kind {
        "Mapping[str, str]" => format!("{name}=None if {name} is None else dict({name})"),
        "Sequence[str]" => format!("{name}=list({name})"),
        _ => format!("{name}={name}"),
    }
}

fn documentation(entry: &Entry, arguments: &[Argument], returns: &str) -> String {
    let mut text = format!("        \"\"\"{}", wrapped(entry.description));
    if returns == "Execution" {
        text.push_str("\n\n        The output is read as it comes, from what this returns.");
    }
    let told: Vec<&Argument> = arguments.iter().filter(|argument| !argument.about.is_empty()).collect();
    if told.is_empty() {
        return text + "\"\"\"\n";
    }
    text.push_str("\n\n");
    for argument in told {
        writeln!(text, "        `{}`: {}.", argument.name, argument.about).unwrap();
    }
    text + "        \"\"\"\n"
}

/// Lines of at most 110 characters, indented as a method's documentation is.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.len() + word.len() > 100 {
            lines.push(word.to_owned());
        } else {
            let space = if line.is_empty() { "" } else { " " };
            line.push_str(space);
            line.push_str(word);
        }
    }
    lines.join("\n        ")
}
