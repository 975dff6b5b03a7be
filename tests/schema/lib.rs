//! Every document that a test makes the program print must be in the published form, and no key may come twice or be unknown to
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use jsonschema::Validator;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Checks what was printed, if it is JSON: one document, several one after the other, or events. What is not the program's
/// own, as of a command that ran under locks, is passed over.
///
/// # Errors
/// A document is not in the published form.
pub fn check(printed: &[u8]) -> Result<(), String> {
    if !printed.starts_with(b"{") {
        return Ok(());
    }
    for document in serde_json::Deserializer::from_slice(printed).into_iter::<Once>() {
        match document {
            Ok(Once(document)) if is_ours(&document) => check_one(&document)?,
            Ok(_) => {}
            Err(error) if error.to_string().starts_with(TWICE) => return Err(error.to_string()),
            Err(_) => break,
        }
    }
    Ok(())
}

/// Checks documents of the program, one after the other, and nothing else. How many there are.
///
/// # Errors
/// Something is no JSON, or not in the published form.
pub fn check_all(printed: &[u8]) -> Result<usize, String> {
    let mut count = 0;
    for document in serde_json::Deserializer::from_slice(printed).into_iter::<Once>() {
        check_one(&document.map_err(|error| format!("not whole, or no JSON: {error}"))?.0)?;
        count += 1;
    }
    Ok(count)
}

fn is_ours(document: &Value) -> bool {
    document.get("schema").is_some() || document.get("event").is_some()
}

fn check_one(document: &Value) -> Result<(), String> {
    let kind = document["document"].as_str().map_or("event_line".to_owned(), |kind| format!("document_{kind}"));
    let validator = validator(&kind)?;
    let errors: Vec<String> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(format!("not in the published form of {kind}:\n{}\n{document:#}", errors.join("\n")))
}

/// One for each kind of document: the message about a choice of thirty would help nobody.
fn validator(kind: &str) -> Result<&'static Validator, String> {
    static MADE: OnceLock<Mutex<BTreeMap<String, &'static Validator>>> = OnceLock::new();
    let mut made = MADE.get_or_init(Default::default).lock().map_err(|_| "another comparison failed")?;
    if let Some(validator) = made.get(kind) {
        return Ok(validator);
    }
    let definitions = definitions()?;
    if !definitions.contains_key(kind) {
        return Err(format!("{kind} is not published"));
    }
    let schema = serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": format!("#/$defs/{kind}"),
        "unevaluatedProperties": false,
        "$defs": definitions,
    });
    let validator = jsonschema::options().should_validate_formats(true).build(&schema);
    let validator: &'static Validator = Box::leak(Box::new(validator.map_err(|error| error.to_string())?));
    made.insert(kind.to_owned(), validator);
    Ok(validator)
}

/// Those of the published schema, made strict: whoever reads documents must bear with keys that he does not know, a test must
/// not.
fn definitions() -> Result<&'static Map<String, Value>, String> {
    static ALL: OnceLock<Result<Map<String, Value>, String>> = OnceLock::new();
    ALL.get_or_init(read_definitions).as_ref().map_err(Clone::clone)
}

fn read_definitions() -> Result<Map<String, Value>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/schema/pcictl-1.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let schema: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let mut definitions = schema["$defs"].as_object().ok_or("the schema has no definitions")?.clone();
    definitions.values_mut().for_each(each_value);
    Ok(definitions)
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

const TWICE: &str = "a key comes twice: ";

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
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom(format!("{TWICE}{key}")));
            }
            map.insert(key, entries.next_value_seed(OnceVisitor)?);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_published_form_is_told() {
        let end = "\"began\":\"2026-11-28T16:01:16.632Z\",\"ended\":\"2026-11-28T16:01:16.636Z\",\"operation_id\":null,\
            \"changed\":false,\"operations\":[],\"unreadable_records\":0}\n";
        let history = |begin: &str| {
            format!(
                "{{\"schema\":1,\"document\":\"history\",\"version\":\"0.1.0\",\"kernel_release\":null,\"boot_id\":null,{begin}{end}"
            )
        };
        let good = history("");
        assert_eq!(check_all(good.repeat(2).as_bytes()), Ok(2));
        let torn = &good[..good.len() - 9];
        for (bad, why) in [
            (history("\"unknown\":1,"), "unknown"),
            (history("\"version\":\"0.1.0\","), TWICE),
            (good.replace("false", "0"), "/changed"),
            (good.replace("history", "histories"), "document_histories is not published"),
        ] {
            for told in [check_all(bad.as_bytes()).map(|_| ()), check(bad.as_bytes())] {
                assert!(told.as_ref().is_err_and(|told| told.contains(why)), "{told:?}");
            }
        }
        assert!(check_all(torn.as_bytes()).is_err_and(|told| told.starts_with("not whole")));
        assert_eq!(check(torn.as_bytes()), Ok(()));
        assert_eq!(check(b"{\"of\":\"others\"}"), Ok(()));
    }
}
