//! Parsing one line from a client: a message for the server, or an immediate answer.
//!
//! JSON-RPC 2.0 (section 5.1) gives each fault its code. An answer has the id of the message, wherever
//! the message shows one; a line that is no JSON may show it, too.

use rmcp::model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage};
use serde_json::{Value, json};

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const INVALID_PARAMS: i64 = -32602;
/// Methods that have a type of their own: one that was read without it has wrong parameters.
const TYPED: [&str; 3] = ["initialize", "tools/call", "tools/list"];

/// What a line is.
#[derive(Debug)]
pub enum Line {
    /// For the server.
    Message(Box<ClientJsonRpcMessage>),
    /// No message; this is its answer.
    Wrong(Value),
    /// An empty line, or an unknown notification: these are never answered.
    Nothing,
}

/// Reads a line, without what ends it.
pub fn read(line: &[u8]) -> Line {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
    if line.is_empty() {
        return Line::Nothing;
    }
    match serde_json::from_slice(line) {
        Ok(value) => of_value(value),
        Err(error) => wrong(PARSE_ERROR, id_in_text(line), &format!("the message is not valid JSON: {error}")),
    }
}

/// The answer to a line of which only the beginning was kept.
pub fn too_long(beginning: &[u8], max: usize) -> Value {
    answer(INVALID_REQUEST, id_in_text(beginning), &format!("a message may have at most {max} bytes"))
}

/// The answer to a request whose id belongs to another running request.
pub fn id_in_use(id: Value) -> Value {
    answer(INVALID_REQUEST, id, "another request with this id is still running")
}

fn of_value(value: Value) -> Line {
    let Value::Object(fields) = &value else {
        let problem = if value.is_array() { "batches are not supported" } else { "a message must be a JSON object" };
        return wrong(INVALID_REQUEST, Value::Null, problem);
    };
    let id = fields.get("id").filter(|id| id.is_string() || id.is_number()).cloned().unwrap_or(Value::Null);
    let (has_id, has_method) = (fields.contains_key("id"), fields.contains_key("method"));
    if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return wrong(INVALID_REQUEST, id, "jsonrpc must be \"2.0\"");
    }
    if !has_method && has_id && (fields.contains_key("result") || fields.contains_key("error")) {
        return message(value).unwrap_or(Line::Nothing);
    }
    let Some(method) = fields.get("method").and_then(Value::as_str).map(str::to_owned) else {
        return wrong(INVALID_REQUEST, id, "method must be a string");
    };
    if !has_id {
        return message(value).unwrap_or(Line::Nothing);
    }
    if id.is_null() || !is_usable(&id) {
        return wrong(INVALID_REQUEST, id, "id must be a string or a whole number of 64 bits");
    }
    match message(value) {
        Some(Line::Message(message)) if !is_untyped(&message, &method) => Line::Message(message),
        _ => wrong(INVALID_PARAMS, id, &format!("the parameters are not valid for {method}")),
    }
}

fn message(value: Value) -> Option<Line> {
    serde_json::from_value(value).ok().map(|message| Line::Message(Box::new(message)))
}

/// Whether the server can answer with this id.
fn is_usable(id: &Value) -> bool {
    serde_json::from_value::<rmcp::model::RequestId>(id.clone()).is_ok()
}

fn is_untyped(message: &ClientJsonRpcMessage, method: &str) -> bool {
    let JsonRpcMessage::Request(request) = message else { return false };
    TYPED.contains(&method) && matches!(request.request, ClientRequest::CustomRequest(_))
}

fn wrong(code: i64, id: Value, problem: &str) -> Line {
    Line::Wrong(answer(code, id, problem))
}

fn answer(code: i64, id: Value, problem: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": problem}})
}

/// The id that a text shows which is no JSON: a string or number after the key `id` of the outermost
/// object. Null where there is none.
fn id_in_text(text: &[u8]) -> Value {
    let (mut at, mut depth) = (0, 0usize);
    while at < text.len() {
        match text[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = end_of_string(text, at);
                let is_id = depth == 1 && text.get(at..end) == Some(br#""id""#);
                if let Some(value) = is_id.then(|| after_colon(text, end)).flatten() {
                    return scalar(&text[value..]);
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Value::Null
}

/// One past the quotation mark that ends the string which begins at `at`.
fn end_of_string(text: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(byte) = text.get(end) {
        match byte {
            b'"' => return end + 1,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    text.len()
}

fn after_colon(text: &[u8], from: usize) -> Option<usize> {
    let skip = |from: usize| (from..text.len()).find(|at| !text[*at].is_ascii_whitespace());
    let colon = skip(from).filter(|at| text[*at] == b':')?;
    skip(colon + 1)
}

fn scalar(text: &[u8]) -> Value {
    let end = if text[0] == b'"' {
        end_of_string(text, 0)
    } else {
        let ends = |byte: &u8| matches!(byte, b',' | b'}') || byte.is_ascii_whitespace();
        text.iter().position(ends).unwrap_or(text.len())
    };
    let value = serde_json::from_slice(&text[..end]).unwrap_or(Value::Null);
    if value.is_string() || value.is_number() { value } else { Value::Null }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(line: &[u8]) -> (i64, Value) {
        match read(line) {
            Line::Wrong(answer) => (answer["error"]["code"].as_i64().unwrap(), answer["id"].clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_id_is_found_in_a_text_that_is_no_json() {
        let cases: [(&[u8], Value); 8] = [
            (br#"{"id":1,"#, json!(1)),
            (br#"{"a":{"id":1},"b":"\"id\":2","id" : "x\n" "#, json!("x\n")),
            (br#"{"id":[1]}}"#, Value::Null),
            (br#"{"id":"#, Value::Null),
            (br#"{"id"#, Value::Null),
            (br#"{"id":1e999}x"#, Value::Null),
            (b"[{\"id\":1}", Value::Null),
            (b"\"\\", Value::Null),
        ];
        for (text, id) in cases {
            assert_eq!(wrong(text), (PARSE_ERROR, id), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_is_never_answered_is_nothing() {
        for line in ["", " \r", "\u{feff}"] {
            assert!(matches!(read(line.as_bytes()), Line::Nothing), "{line:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_too_much(line in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
            let _ = (read(&line), id_in_text(&line));
        }

        #[test]
        fn no_text_like_json_is_too_much(line in r#"[\[\]{}":,\\id1e9.nul \-]{0,40}"#) {
            let _ = (read(line.as_bytes()), id_in_text(line.as_bytes()));
        }
    }
}
