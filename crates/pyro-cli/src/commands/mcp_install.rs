//! `pyro mcp install CLIENT`: shows or writes the client configuration that starts pyro.
//!
//! The configuration belongs to the user: comments, order and all other entries are kept.

use std::path::{Path, PathBuf};

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::{Value, json};
use similar::TextDiff;
use toml_edit::{Array, DocumentMut, Item, Table, value};

use crate::arguments::{McpClient, McpInstallArguments};
use crate::context::home;
use crate::failure::{ERROR, Format, show_plain};
use crate::stdio::print;
use crate::terminal::say;

const SERVER: &str = "pyro";

pub fn run(arguments: &McpInstallArguments) -> i32 {
    let path = configuration(arguments.client);
    match install(arguments, &path) {
        Ok(code) => code,
        Err(problem) => {
            let hint = "nothing was changed; fix the file, or add the entry by hand";
            show_plain(&format!("{}: {problem}", path.display()), "configuration", hint, Format::Human);
            ERROR
        }
    }
}

fn install(arguments: &McpInstallArguments, path: &Path) -> Result<i32, String> {
    let before = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.to_string()),
    };
    let after = with_pyro(arguments.client, &before, &program())?;
    if after == before {
        print(&format!("{} already has the entry.\n", path.display()));
        return Ok(0);
    }
    let difference = TextDiff::from_lines(&before, &after);
    let name = path.display().to_string();
    print(&difference.unified_diff().context_radius(3).header(&name, &name).to_string());
    if !arguments.write {
        say!("[mcp-install] nothing was written; add --write to write it");
        if let Some(command) = own_command(arguments.client) {
            say!("[mcp-install] the client can also do it: {command}");
        }
        return Ok(0);
    }
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| replace(path, &after));
    written.map_err(|error| error.to_string())?;
    say!("[mcp-install] written; restart the client");
    Ok(0)
}

/// Replaces the file atomically and keeps its permissions.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    // A link stays a link: what it leads to is replaced.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temporary = path.with_extension(format!("pyro-{}", std::process::id()));
    std::fs::write(&temporary, text)?;
    if let Ok(old) = std::fs::metadata(&path) {
        std::fs::set_permissions(&temporary, old.permissions())?;
    }
    std::fs::rename(&temporary, &path)
}

fn configuration(client: McpClient) -> PathBuf {
    match client {
        McpClient::ClaudeCode => home(".claude.json"),
        McpClient::Codex => home(".codex/config.toml"),
        McpClient::Opencode => home(".config/opencode/opencode.json"),
        McpClient::Vscode => ".vscode/mcp.json".into(),
        McpClient::Cursor => home(".cursor/mcp.json"),
        McpClient::ClaudeDesktop => home(".config/Claude/claude_desktop_config.json"),
    }
}

fn own_command(client: McpClient) -> Option<String> {
    let pyro = program();
    match client {
        McpClient::ClaudeCode => {
            Some(format!("claude mcp add --scope user {SERVER} -- {pyro} mcp serve --profile core"))
        }
        McpClient::Codex => Some(format!("codex mcp add {SERVER} -- {pyro} mcp serve --profile core")),
        _ => None,
    }
}

/// `pyro` where that name leads to this program, and its path otherwise.
fn program() -> String {
    let own = std::env::current_exe().unwrap_or_else(|_| SERVER.into());
    let canonical = |path: &Path| std::fs::canonicalize(path).ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = std::env::split_paths(&path).map(|place| place.join(SERVER)).find(|candidate| candidate.is_file());
    match first {
        Some(found) if canonical(&found) == canonical(&own) => SERVER.into(),
        _ => own.to_string_lossy().into_owned(),
    }
}

/// The configuration with pyro in it.
fn with_pyro(client: McpClient, before: &str, pyro: &str) -> Result<String, String> {
    let plain = vec![("command", json!(pyro)), ("args", json!(["mcp", "serve", "--profile", "core"]))];
    let stdio = std::iter::once(("type", json!("stdio"))).chain(plain.clone()).collect();
    match client {
        McpClient::Codex => with_toml(before, pyro),
        McpClient::ClaudeCode => with_json(before, "mcpServers", stdio),
        McpClient::Vscode => with_json(before, "servers", stdio),
        McpClient::Cursor | McpClient::ClaudeDesktop => with_json(before, "mcpServers", plain),
        McpClient::Opencode => {
            let command = json!([pyro, "mcp", "serve", "--profile", "core"]);
            with_json(before, "mcp", vec![("type", json!("local")), ("command", command)])
        }
    }
}

/// Sets the fields of the server's entry that are not as they should be, and nothing else.
fn with_json(before: &str, section: &str, fields: Vec<(&str, Value)>) -> Result<String, String> {
    let text = if before.trim().is_empty() { "{}\n" } else { before };
    let root = CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| error.to_string())?;
    let object = root.object_value().ok_or("it is not a JSON object")?;
    let servers = object_in(&object, section)?;
    let entry = object_in(&servers, SERVER)?;
    for (name, value) in fields {
        match entry.get(name) {
            None => drop(entry.append(name, input(&value))),
            Some(known) if known.value().is_some_and(|node| means(&node.to_string(), &value)) => {}
            Some(known) => known.set_value(input(&value)),
        }
    }
    Ok(root.to_string())
}

fn object_in(object: &CstObject, name: &str) -> Result<CstObject, String> {
    match object.get(name) {
        None => Ok(object.object_value_or_set(name)),
        Some(_) => object.object_value(name).ok_or(format!("its {name} is not a JSON object")),
    }
}

/// Whether a text says this value, in whatever form.
fn means(text: &str, value: &Value) -> bool {
    let value = value.to_string();
    let parse = |text| jsonc_parser::parse_to_value(text, &ParseOptions::default()).ok().flatten();
    parse(text) == parse(&value)
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        other => other.as_str().unwrap_or_default().into(),
    }
}

fn with_toml(before: &str, pyro: &str) -> Result<String, String> {
    let mut document: DocumentMut = before.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    let servers = document.entry("mcp_servers").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let servers = servers.as_table_like_mut().ok_or("its mcp_servers is not a table")?;
    let words: Array = ["mcp", "serve", "--profile", "core"].into_iter().collect();
    match servers.get_mut(SERVER).and_then(Item::as_table_like_mut) {
        Some(known) => {
            let args = known.get("args").and_then(Item::as_array).map(ToString::to_string);
            if known.get("command").and_then(Item::as_str) == Some(pyro) && args == Some(words.to_string()) {
                return Ok(before.to_owned());
            }
            known.insert("command", value(pyro));
            known.insert("args", value(words));
        }
        None => {
            let mut table = Table::new();
            table.insert("command", value(pyro));
            table.insert("args", value(words));
            servers.insert(SERVER, Item::Table(table));
        }
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(client: McpClient, before: &str) -> String {
        with_pyro(client, before, "pyro").unwrap_or_else(|problem| panic!("{problem}"))
    }

    #[test]
    fn what_is_there_stays_comments_and_order_too() {
        let before = "{\n  // mine\n  \"z\": 1,\n  \"mcpServers\": {\n    \"other\": {\"command\": \"x\"}\n  },\n  \"a\": [2]\n}\n";
        insta::assert_snapshot!(after(McpClient::ClaudeCode, before));
        let toml = "# mine\nmodel = \"x\"\n\n[mcp_servers.other]\ncommand = \"y\" # why\n";
        insta::assert_snapshot!(after(McpClient::Codex, toml));
    }

    #[test]
    fn an_empty_file_is_filled_and_a_second_time_changes_nothing() {
        let mut all = String::new();
        for client in [
            McpClient::ClaudeCode,
            McpClient::Codex,
            McpClient::Opencode,
            McpClient::Vscode,
            McpClient::Cursor,
            McpClient::ClaudeDesktop,
        ] {
            let once = after(client, "");
            assert_eq!(after(client, &once), once, "{client:?}");
            all.push_str(&format!("{client:?}\n{once}\n"));
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn an_older_entry_is_replaced() {
        let before = "{\"mcpServers\": {\"pyro\": {\"command\": \"/old/pyro\", \"env\": {\"A\": \"b\"}}}}";
        let after = after(McpClient::Cursor, before);
        assert!(after.contains("\"serve\"") && !after.contains("/old/pyro"), "{after}");
        assert!(after.contains("\"env\": {\"A\": \"b\"}"), "what the user added stays: {after}");
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for (client, before) in [
            (McpClient::ClaudeCode, "{"),
            (McpClient::ClaudeCode, "[]"),
            (McpClient::Cursor, "{\"mcpServers\": 1}"),
            (McpClient::Codex, "= x"),
            (McpClient::Codex, "mcp_servers = 1"),
        ] {
            assert!(with_pyro(client, before, "pyro").is_err(), "{before}");
        }
    }
}
