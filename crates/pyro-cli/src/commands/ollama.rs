//! `pyro demo ollama`: a model is given the tools over an OpenAI-style API, and uses them.

use std::time::Duration;

use pyro_api::Pyro;
use pyro_mcp::HostAccess;
use serde_json::{Value, json};

use crate::arguments::OllamaArguments;
use crate::context;
use crate::failure::{ERROR, Format, show_plain};
use crate::stdio::print;

/// One outgoing request, by what every environment has: a name is looked up, a connection made, an
/// answer read.
pub const OUTGOING: &str = "bash -c 'exec 3<>/dev/tcp/example.com/80 && \
    printf \"HEAD / HTTP/1.0\\r\\nHost: example.com\\r\\n\\r\\n\" >&3 && head -n 1 <&3'";

/// Rounds of model and tools at most.
const MOST_ROUNDS: usize = 12;
/// How long a model may think.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Characters of a tool's result that are logged.
const SHOWN: usize = 300;
/// What the model is asked to do.
fn task() -> String {
    format!(
        "Prove that a guest of the environment debian:12 has outgoing internet access. Use vm_run with network set to \
         true and this command: {OUTGOING}. Look at the exit code, then say in one sentence whether it has."
    )
}

pub fn run(arguments: &OllamaArguments) -> i32 {
    let pyro = context::pyro();
    match converse(&pyro, arguments) {
        Ok(code) => code,
        Err(problem) => {
            let hint =
                "start the model server, or give another address with --base-url; `ollama serve` listens on port 11434";
            show_plain(&problem, "model_unreachable", hint, Format::Human);
            print(&format!("[summary] exit_code={ERROR} rounds=0\n"));
            ERROR
        }
    }
}

/// Talks until the model calls no tool any more. The exit code is that of the last command it ran.
fn converse(pyro: &Pyro, arguments: &OllamaArguments) -> Result<i32, String> {
    let runtime = context::shared_runtime().map_err(|error| error.failure().error)?;
    let tools = offered();
    let mut messages = vec![json!({"role": "user", "content": task()})];
    let mut last_exit_code = None;
    for round in 1..=MOST_ROUNDS {
        let message = ask(arguments, &messages, &tools)?;
        if let Some(text) = message["content"].as_str().filter(|text| !text.trim().is_empty()) {
            print(&format!("[model] {}\n", text.trim()));
        }
        let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
        messages.push(message);
        if calls.is_empty() {
            let code = last_exit_code.unwrap_or(ERROR);
            print(&format!("[summary] exit_code={code} rounds={round}\n"));
            return Ok(code);
        }
        for call in calls {
            let name = call["function"]["name"].as_str().unwrap_or_default();
            let result = runtime.block_on(answer(pyro, name, &call["function"]["arguments"]));
            if let Some(code) = result["exit_code"].as_i64() {
                last_exit_code = i32::try_from(code).ok();
            }
            log_tool(name, &call["function"]["arguments"], &result, arguments.verbose);
            messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": result.to_string()}));
        }
    }
    print(&format!("[summary] exit_code={ERROR} rounds={MOST_ROUNDS} reason=too_many_rounds\n"));
    Ok(ERROR)
}

/// The tools in the form of that API.
fn offered() -> Value {
    let tool = |tool: &Value| {
        let function = json!({
            "name": tool["name"], "description": tool["description"], "parameters": tool["inputSchema"],
        });
        json!({"type": "function", "function": function})
    };
    let tools = serde_json::to_value(pyro_mcp::tools(pyro_mcp::Profile::Full)).expect("tools have string keys only");
    tools.as_array().into_iter().flatten().map(tool).collect()
}

/// A tool's result, or its error as data for the model.
async fn answer(pyro: &Pyro, name: &str, arguments: &Value) -> Value {
    // Some send an object, most the text of one.
    let parsed = match arguments {
        Value::String(text) => serde_json::from_str(text),
        other => Ok(other.clone()),
    };
    let called = match parsed {
        Ok(arguments) => pyro_mcp::call(pyro, HostAccess::Refused, name, arguments).await,
        Err(error) => return json!({"ok": false, "error": error.to_string(), "code": "invalid_argument", "hint": null}),
    };
    called.unwrap_or_else(
        |failure| json!({"ok": false, "error": failure.error, "code": failure.code, "hint": failure.hint}),
    )
}

fn log_tool(name: &str, arguments: &Value, result: &Value, verbose: bool) {
    let came = match (result["exit_code"].as_i64(), result["code"].as_str()) {
        (Some(code), _) => format!("exit_code={code}"),
        (None, Some(code)) => format!("error={code}"),
        (None, None) => "ok".into(),
    };
    let arguments = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
    print(&format!("[tool] {name} {arguments} {came}\n"));
    if verbose {
        let text: String = result.to_string().chars().take(SHOWN).collect();
        print(&format!("[tool] {text}\n"));
    }
}

fn ask(arguments: &OllamaArguments, messages: &[Value], tools: &Value) -> Result<Value, String> {
    let url = format!("{}/chat/completions", arguments.base_url.trim_end_matches('/'));
    if !url.starts_with("http://") {
        return Err(format!("{url} is not an http:// address"));
    }
    let body = json!({"model": arguments.model, "messages": messages, "tools": tools, "stream": false});
    let agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
    let sent = ureq::Agent::new_with_config(agent)
        .post(&url)
        .header("content-type", "application/json")
        .send(body.to_string());
    let mut response = sent.map_err(|error| format!("no model answers at {url}: {error}"))?;
    let text = response.body_mut().read_to_string().map_err(|error| format!("{url}: {error}"))?;
    if !response.status().is_success() {
        return Err(format!("{url} answered {}: {}", response.status(), text.trim()));
    }
    let answer: Value =
        serde_json::from_str(&text).map_err(|error| format!("{url} did not answer with JSON: {error}"))?;
    let message = answer["choices"][0]["message"].clone();
    if message.is_object() { Ok(message) } else { Err(format!("{url} answered without a message: {}", text.trim())) }
}
