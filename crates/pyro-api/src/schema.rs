//! JSON Schemas as clients and models read them: whole, and short.

use pyro_manager::Error;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The schema of a request: inlined, with documentation. What may be left out is not said to be null, too: some
/// clients do not know a list of types.
pub fn input<T: JsonSchema>() -> Map<String, Value> {
    let mut schema = of::<T>();
    for property in properties(&mut schema) {
        if let Some(types) = property.get("type").and_then(Value::as_array) {
            let named = types.iter().find(|kind| **kind != "null").cloned();
            property.insert("type".into(), named.unwrap_or_default());
        }
        if property.get("default") == Some(&Value::Null) {
            property.remove("default");
        }
        property.remove("format");
        name_the_choices(property);
    }
    schema.entry("properties").or_insert_with(|| json!({}));
    schema.insert("additionalProperties".into(), false.into());
    tidied(schema)
}

/// The schema of a result: what its own fields are, and of what lies deeper only that it is an object or a list.
pub fn output<T: JsonSchema>() -> Map<String, Value> {
    let mut schema = of::<T>();
    for property in properties(&mut schema) {
        *property = shallow(property);
    }
    tidied(schema)
}

/// Refuses arguments that a schema does not name.
pub fn check_names(arguments: &Value, input: &Map<String, Value>) -> Result<(), Error> {
    let refuse = |problem| Err(Error::InvalidArgument { problem });
    let Some(arguments) = arguments.as_object() else { return refuse("the arguments are not an object".to_owned()) };
    let Some(known) = input["properties"].as_object() else { return Ok(()) };
    let Some(unknown) = arguments.keys().find(|name| !known.contains_key(*name)) else {
        return Ok(());
    };
    let known: Vec<String> = known.keys().map(|name| format!("`{name}`")).collect();
    match &known[..] {
        [] => refuse(format!("unknown field `{unknown}`, there are no fields")),
        _ => refuse(format!("unknown field `{unknown}`, expected one of {}", known.join(", "))),
    }
}

fn of<T: JsonSchema>() -> Map<String, Value> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<T>();
    match schema.to_value() {
        Value::Object(object) => object,
        _ => unreachable!("an operation's requests and results are objects"),
    }
}

fn properties(schema: &mut Map<String, Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flat_map(|properties| properties.values_mut().filter_map(Value::as_object_mut))
}

/// A field with a few choices, each documented, becomes a list of words.
fn name_the_choices(property: &mut Map<String, Value>) {
    let Some(choices) = property.get("oneOf").and_then(Value::as_array) else { return };
    let words: Option<Vec<Value>> = choices.iter().map(|choice| choice.get("const").cloned()).collect();
    if let Some(words) = words {
        property.remove("oneOf");
        property.insert("type".into(), "string".into());
        property.insert("enum".into(), words.into());
    }
}

fn shallow(property: &Map<String, Value>) -> Map<String, Value> {
    let kinds: Vec<&str> = match property.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => match property.get("anyOf").and_then(Value::as_array) {
            Some(several) => several.iter().map(|one| one["type"].as_str().unwrap_or("string")).collect(),
            // A list of words.
            None if property.contains_key("oneOf") || property.contains_key("enum") => vec!["string"],
            None => vec![],
        },
    };
    let mut short = Map::new();
    match &kinds[..] {
        [] => {}
        [kind] => drop(short.insert("type".into(), (*kind).into())),
        // An array of types is legal, and some clients do not know it.
        several => drop(short.insert("anyOf".into(), several.iter().map(|kind| json!({"type": kind})).collect())),
    }
    if let Some(item) = property.get("items").and_then(|items| items.get("type")) {
        short.insert("items".into(), json!({"type": item}));
    }
    short
}

fn tidied(mut schema: Map<String, Value>) -> Map<String, Value> {
    for key in ["$schema", "title", "description"] {
        schema.remove(key);
    }
    schema
}
