//! Whether arguments fit a tool's JSON Schema: draft 2020-12, or the one that its `$schema` names.
//!
//! `format` is advice to the model, as that draft has it. A `$ref` reaches what stands in the schema itself; nothing is
//! fetched.

use jsonschema::Validator;
use serde_json::Value;

/// Faults of one call that the model is told of; it mends them all at once.
const TOLD: usize = 5;

/// Bytes of one fault's words.
const LONGEST: usize = 300;

/// Why a text that should be a JSON Schema is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct SchemaError {
    /// Where in the schema, such as `properties.day.type`; `the schema` for the whole of it.
    pub place: String,
    /// What is wrong there.
    pub why: String,
}

/// A compiled schema of a tool's arguments.
pub struct Arguments {
    validator: Validator,
}

impl Arguments {
    /// Compiles a schema.
    ///
    /// # Errors
    /// The first place at which it is no schema, or refers to something outside itself.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        match jsonschema::options().build(schema) {
            Ok(validator) => Ok(Self { validator }),
            Err(error) => Err(SchemaError {
                place: place(error.instance_path().as_str()).map_or_else(
                    || "the schema".to_owned(),
                    |place| place.trim_start_matches('.').to_owned(),
                ),
                why: words(&error.to_string()),
            }),
        }
    }

    /// `Err` says in words for the model what does not fit.
    pub(super) fn check(&self, arguments: &Value) -> Result<(), String> {
        if self.validator.is_valid(arguments) {
            return Ok(());
        }
        let faults: Vec<String> = self
            .validator
            .iter_errors(arguments)
            .take(TOLD)
            .map(|fault| {
                let place = place(fault.instance_path().as_str()).unwrap_or_default();
                // What was given stays out: the model knows it, and it may be as long as it likes.
                let why = words(&fault.masked_with("it").to_string());
                format!("arguments{place}: {why}")
            })
            .collect();
        Err(faults.join("; "))
    }
}

/// Where a schema has a list without saying what is in it. That is valid, and OpenAI's server refuses the tool for it.
#[must_use]
pub fn list_of_anything(schema: &Value) -> Option<String> {
    fn at(place: &mut Vec<String>, schema: &Value) -> bool {
        let Some(members) = schema.as_object() else {
            return false;
        };
        let kind = members.get("type");
        let is_list = match kind {
            Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "array"),
            Some(kind) => kind == "array",
            None => false,
        };
        if is_list && !members.contains_key("items") && !members.contains_key("prefixItems") {
            return true;
        }
        let mut found = |name: &str, inner: &Value| {
            place.push(name.to_owned());
            let found = at(place, inner);
            if !found {
                place.pop();
            }
            found
        };
        for name in ["properties", "$defs", "definitions"] {
            let inner = members.get(name).and_then(Value::as_object);
            if inner
                .into_iter()
                .flatten()
                .any(|(member, inner)| found(&format!("{name}.{member}"), inner))
            {
                return true;
            }
        }
        for name in ["anyOf", "oneOf", "allOf"] {
            let inner = members.get(name).and_then(Value::as_array);
            if inner
                .into_iter()
                .flatten()
                .enumerate()
                .any(|(number, inner)| found(&format!("{name}[{number}]"), inner))
            {
                return true;
            }
        }
        ["items", "additionalProperties"]
            .into_iter()
            .any(|name| members.get(name).is_some_and(|inner| found(name, inner)))
    }
    let mut place = Vec::new();
    at(&mut place, schema).then(|| place.join("."))
}

/// A JSON pointer as people write it: `.wishes[1]` for `/wishes/1`; `None` for the whole.
fn place(pointer: &str) -> Option<String> {
    let mut written = String::new();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        if step.bytes().all(|byte| byte.is_ascii_digit()) && !step.is_empty() {
            written.push_str(&format!("[{step}]"));
        } else {
            written.push('.');
            written.push_str(&step);
        }
    }
    (!written.is_empty()).then_some(written)
}

fn words(text: &str) -> String {
    call_protocol::ids::clip(text, LONGEST).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_are_held_against_every_keyword_of_the_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "phone": {"type": "string", "minLength": 3, "maxLength": 8, "pattern": "^\\+"},
                "persons": {"type": "integer", "minimum": 1, "maximum": 4, "multipleOf": 1},
                "part": {"enum": ["morning", "evening"]},
                "wishes": {"type": "array", "maxItems": 2, "uniqueItems": true, "items": {"type": "string"}},
                "when": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "room": {"$ref": "#/$defs/room"},
            },
            "$defs": {
                "room": {"type": "object", "properties": {"number": {"type": "number"}}, "required": ["number"]},
            },
            "required": ["phone"],
            "dependentRequired": {"room": ["persons"]},
            "additionalProperties": false,
        });
        let compiled = Arguments::compile(&schema).unwrap();
        for good in [
            json!({"phone": "+1555"}),
            json!({"phone": "+1555", "persons": 2.0, "part": "morning", "wishes": ["a", "b"], "when": null}),
            json!({"phone": "+1555", "persons": 1, "room": {"number": 7, "view": "sea"}}),
        ] {
            assert_eq!(compiled.check(&good), Ok(()), "{good}");
        }
        for (bad, place) in [
            (json!({}), "arguments: "),
            (json!([]), "arguments: "),
            (json!({"phone": 7}), "arguments.phone: "),
            (json!({"phone": "+1"}), "arguments.phone: "),
            (json!({"phone": "+15551234567"}), "arguments.phone: "),
            (json!({"phone": "0155"}), "arguments.phone: "),
            (
                json!({"phone": "+1555", "persons": 1.5}),
                "arguments.persons: ",
            ),
            (
                json!({"phone": "+1555", "persons": 9}),
                "arguments.persons: ",
            ),
            (
                json!({"phone": "+1555", "part": "night"}),
                "arguments.part: ",
            ),
            (
                json!({"phone": "+1555", "wishes": ["a", 1]}),
                "arguments.wishes[1]: ",
            ),
            (
                json!({"phone": "+1555", "wishes": ["a", "b", "c"]}),
                "arguments.wishes: ",
            ),
            (
                json!({"phone": "+1555", "wishes": ["a", "a"]}),
                "arguments.wishes: ",
            ),
            (json!({"phone": "+1555", "when": 3}), "arguments.when: "),
            (
                json!({"phone": "+1555", "persons": 1, "room": {}}),
                "arguments.room: ",
            ),
            (
                json!({"phone": "+1555", "room": {"number": 1}}),
                "arguments: ",
            ),
            (json!({"phone": "+1555", "hack": true}), "arguments: "),
        ] {
            let told = compiled.check(&bad).unwrap_err();
            assert!(told.starts_with(place), "{bad}: {told}");
        }
        let both = compiled.check(&json!({"phone": 7, "part": "night"}));
        assert_eq!(both.unwrap_err().split("; ").count(), 2);
        let long = compiled.check(&json!({"phone": "1".repeat(10_000)}));
        assert!(long.unwrap_err().len() < 1_000);
    }

    #[test]
    fn what_is_no_schema_is_refused_with_its_place() {
        for (schema, place) in [
            (json!({"type": "objekt"}), "type"),
            (
                json!({"properties": {"day": {"type": "strin"}}}),
                "properties.day.type",
            ),
            (json!({"properties": {"day": "string"}}), "properties.day"),
            (json!({"properties": ["day"]}), "properties"),
            (json!({"required": "day"}), "required"),
            (
                json!({"properties": {"day": {"pattern": "("}}}),
                "properties.day.pattern",
            ),
            (
                json!({"properties": {"day": {"minLength": -1}}}),
                "properties.day.minLength",
            ),
        ] {
            let error = Arguments::compile(&schema).err();
            assert_eq!(
                error.as_ref().map(|error| error.place.as_str()),
                Some(place),
                "{error:?}"
            );
        }
        for outside in [
            "https://crm.example.com/schema.json",
            "file:///etc/hosts",
            "#/$defs/gone",
        ] {
            let schema = json!({"properties": {"day": {"$ref": outside}}});
            assert!(Arguments::compile(&schema).is_err(), "{outside}");
        }
    }

    #[test]
    fn a_list_without_a_word_on_what_is_in_it_is_found_wherever_it_stands() {
        let list = json!({"type": "array"});
        for (schema, place) in [
            (
                json!({"properties": {"a": {"type": "string"}, "b": list}}),
                "properties.b",
            ),
            (
                json!({"properties": {"b": {"type": ["array", "null"]}}}),
                "properties.b",
            ),
            (
                json!({"properties": {"b": {"anyOf": [{"type": "null"}, list]}}}),
                "properties.b.anyOf[1]",
            ),
            (
                json!({"properties": {"b": {"type": "array", "items": list}}}),
                "properties.b.items",
            ),
            (json!({"$defs": {"c": list}}), "$defs.c"),
        ] {
            assert_eq!(list_of_anything(&schema).as_deref(), Some(place));
        }
        for schema in [
            json!({"properties": {"b": {"type": "array", "items": {"type": "string"}}}}),
            json!({"properties": {"type": {"type": "string", "enum": ["array"]}}}),
            json!(true),
        ] {
            assert_eq!(list_of_anything(&schema), None);
        }
    }
}
