//! Every document that a test makes the program print must be in the published form, and no key may come twice or be unknown to
//! it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Checks what the program printed, if it is JSON: one document, several one after the other, or events.
pub fn check(printed: &[u8]) {
    if !printed.starts_with(b"{") {
        return;
    }
    for document in serde_json::Deserializer::from_slice(printed).into_iter::<Once>() {
        let Ok(Once(document)) = document else {
            // Not whole, or not ours: what a command printed that ran under locks.
            return;
        };
        if document.get("schema").is_some() || document.get("event").is_some() {
            check_one(&document);
        }
    }
}

fn check_one(document: &Value) {
    let kind = document["document"].as_str().map_or("event_line".to_owned(), |kind| format!("document_{kind}"));
    let validator = validator(&kind);
    let errors: Vec<String> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "not in the published form of {kind}:\n{}\n{document:#}", errors.join("\n"));
}

/// One for each kind of document: the message about a choice of thirty would help nobody.
fn validator(kind: &str) -> &'static Validator {
    static ALL: OnceLock<std::sync::Mutex<Map<String, Value>>> = OnceLock::new();
    static MADE: OnceLock<std::sync::Mutex<std::collections::BTreeMap<String, &'static Validator>>> = OnceLock::new();
    let mut made = MADE.get_or_init(Default::default).lock().expect("no test fails in here");
    if let Some(validator) = made.get(kind) {
        return validator;
    }
    let definitions = ALL.get_or_init(|| std::sync::Mutex::new(definitions())).lock().expect("no test fails in here");
    assert!(definitions.contains_key(kind), "{kind} is not published");
    let schema = serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": format!("#/$defs/{kind}"),
        "unevaluatedProperties": false,
        "$defs": *definitions,
    });
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema");
    let validator: &'static Validator = Box::leak(Box::new(validator));
    made.insert(kind.to_owned(), validator);
    validator
}

/// Those of the published schema, made strict: whoever reads documents must bear with keys that he does not know, a test must
/// not.
fn definitions() -> Map<String, Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/schema/pcictl-1.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(path).expect("it is there")).expect("JSON");
    let mut definitions = schema["$defs"].as_object().expect("definitions").clone();
    definitions.values_mut().for_each(each_value);
    definitions
}

/// What is the value of a key or an item of a list has no other keys than those that are described.
fn each_value(schema: &mut Value) {
    let Some(keys) = schema.as_object_mut() else { return };
    if let Some(properties) = keys.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
    }
    if let Some(items) = keys.get_mut("items") {
        close(items);
    }
    for choice in ["allOf", "anyOf", "oneOf"] {
        if let Some(choices) = keys.get_mut(choice).and_then(Value::as_array_mut) {
            choices.iter_mut().for_each(each_value);
        }
    }
}

fn close(schema: &mut Value) {
    each_value(schema);
    let Some(keys) = schema.as_object_mut() else { return };
    if ["$ref", "allOf", "anyOf", "oneOf", "properties"].iter().any(|key| keys.contains_key(*key)) {
        keys.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
    }
}

/// A value in which no key comes twice: readers differ in which of the two they take.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Once)
    }
}

struct OnceVisitor;

impl<'de> DeserializeSeed<'de> for OnceVisitor {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(OnceVisitor)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let (mut map, mut keys) = (Map::new(), BTreeSet::new());
        while let Some(key) = entries.next_key::<String>()? {
            assert!(keys.insert(key.clone()), "the key {key} comes twice");
            map.insert(key, entries.next_value_seed(OnceVisitor)?);
        }
        Ok(map.into())
    }
}
