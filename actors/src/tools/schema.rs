//! Whether arguments fit a tool's JSON Schema: the part of it that tool definitions use.
//!
//! Checked are `type`, `enum`, `const`, `required`, `properties`, `additionalProperties`, `items`, `anyOf`, `oneOf`,
//! `allOf` and the bounds of numbers, texts and lists. Other keywords (`pattern`, `format`, `$ref`) are advice to the
//! model; the tool checks them itself.

use serde_json::{Map, Value};

/// Deeper schemas are not followed.
const DEEPEST: usize = 16;

/// `Err` says in words for the model what does not fit.
pub(super) fn check(schema: &Value, arguments: &Value) -> Result<(), String> {
    check_at("arguments", schema, arguments, 0)
}

fn check_at(place: &str, schema: &Value, value: &Value, depth: usize) -> Result<(), String> {
    let Some(schema) = schema.as_object() else {
        let refused = schema == &Value::Bool(false);
        return if refused {
            Err(format!("{place} is not expected"))
        } else {
            Ok(())
        };
    };
    if depth > DEEPEST {
        return Ok(());
    }
    check_type(place, schema, value)?;
    check_choice(place, schema, value)?;
    check_bounds(place, schema, value)?;
    check_combined(place, schema, value, depth)?;
    match value {
        Value::Object(members) => check_members(place, schema, members, depth),
        Value::Array(list) => {
            let Some(items) = schema.get("items") else {
                return Ok(());
            };
            for (index, item) in list.iter().enumerate() {
                check_at(&format!("{place}[{index}]"), items, item, depth + 1)?;
            }
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn check_type(place: &str, schema: &Map<String, Value>, value: &Value) -> Result<(), String> {
    let wanted: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => return Ok(()),
    };
    let fits = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    };
    if wanted.iter().any(fits) {
        return Ok(());
    }
    Err(format!("{place} is not of type {}", wanted.join(" or ")))
}

fn check_choice(place: &str, schema: &Map<String, Value>, value: &Value) -> Result<(), String> {
    if let Some(Value::Array(choices)) = schema.get("enum")
        && !choices.iter().any(|choice| same(choice, value))
    {
        let choices: Vec<String> = choices.iter().take(20).map(Value::to_string).collect();
        return Err(format!("{place} is not one of {}", choices.join(", ")));
    }
    match schema.get("const") {
        Some(only) if !same(only, value) => Err(format!("{place} is not {only}")),
        Some(_) | None => Ok(()),
    }
}

/// Equal as JSON Schema has it: `1` is `1.0`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn check_bounds(place: &str, schema: &Map<String, Value>, value: &Value) -> Result<(), String> {
    // Lengths stay far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    let (size, least, most) = match value {
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            if bound(schema, "exclusiveMinimum").is_some_and(|least| number <= least)
                || bound(schema, "exclusiveMaximum").is_some_and(|most| number >= most)
            {
                return Err(format!("{place} is out of range"));
            }
            (number, "minimum", "maximum")
        }
        Value::String(text) => (text.chars().count() as f64, "minLength", "maxLength"),
        Value::Array(list) => (list.len() as f64, "minItems", "maxItems"),
        Value::Null | Value::Bool(_) | Value::Object(_) => return Ok(()),
    };
    if bound(schema, least).is_some_and(|least| size < least) {
        return Err(format!("{place} is too small or too short"));
    }
    if bound(schema, most).is_some_and(|most| size > most) {
        return Err(format!("{place} is too large or too long"));
    }
    Ok(())
}

fn bound(schema: &Map<String, Value>, name: &str) -> Option<f64> {
    schema.get(name).and_then(Value::as_f64)
}

fn check_combined(
    place: &str,
    schema: &Map<String, Value>,
    value: &Value,
    depth: usize,
) -> Result<(), String> {
    let list = |name: &str| schema.get(name).and_then(Value::as_array);
    for part in list("allOf").into_iter().flatten() {
        check_at(place, part, value, depth + 1)?;
    }
    for (name, exactly_one) in [("anyOf", false), ("oneOf", true)] {
        let Some(parts) = list(name) else {
            continue;
        };
        let fits = |part: &&Value| check_at(place, part, value, depth + 1).is_ok();
        let fitting = parts.iter().filter(fits).count();
        if fitting == 0 || (exactly_one && fitting > 1) {
            return Err(format!("{place} fits none of its forms, or more than one"));
        }
    }
    Ok(())
}

fn check_members(
    place: &str,
    schema: &Map<String, Value>,
    members: &Map<String, Value>,
    depth: usize,
) -> Result<(), String> {
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            return Err(format!("{place}.{name} is missing"));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, member) in members {
        let known = properties.and_then(|properties| properties.get(name));
        let Some(rule) = known.or_else(|| schema.get("additionalProperties")) else {
            continue;
        };
        check_at(&format!("{place}.{name}"), rule, member, depth + 1)?;
    }
    Ok(())
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
                "phone": {"type": "string", "minLength": 3, "maxLength": 8},
                "persons": {"type": "integer", "minimum": 1, "maximum": 4},
                "part": {"enum": ["morning", "evening"]},
                "wishes": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
                "when": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "room": {"type": "object", "properties": {"number": {"type": "number"}}, "required": ["number"]},
            },
            "required": ["phone"],
            "additionalProperties": false,
        });
        for good in [
            json!({"phone": "+1555"}),
            json!({"phone": "+1555", "persons": 2.0, "part": "morning", "wishes": ["a", "b"], "when": null}),
            json!({"phone": "+1555", "room": {"number": 7, "view": "sea"}}),
        ] {
            assert_eq!(check(&schema, &good), Ok(()), "{good}");
        }
        for (bad, what) in [
            (json!({}), "arguments.phone is missing"),
            (json!([]), "arguments is not of type object"),
            (json!({"phone": 7}), "arguments.phone is not of type string"),
            (json!({"phone": "1"}), "arguments.phone is too small"),
            (
                json!({"phone": "+15551234567"}),
                "arguments.phone is too large",
            ),
            (
                json!({"phone": "+1555", "persons": 1.5}),
                "arguments.persons is not of type integer",
            ),
            (
                json!({"phone": "+1555", "persons": 9}),
                "arguments.persons is too large",
            ),
            (
                json!({"phone": "+1555", "part": "night"}),
                "arguments.part is not one of",
            ),
            (
                json!({"phone": "+1555", "wishes": ["a", 1]}),
                "arguments.wishes[1] is not of type string",
            ),
            (
                json!({"phone": "+1555", "wishes": ["a", "b", "c"]}),
                "arguments.wishes is too large",
            ),
            (
                json!({"phone": "+1555", "when": 3}),
                "arguments.when fits none",
            ),
            (
                json!({"phone": "+1555", "room": {}}),
                "arguments.room.number is missing",
            ),
            (
                json!({"phone": "+1555", "hack": true}),
                "arguments.hack is not expected",
            ),
        ] {
            let told = check(&schema, &bad).unwrap_err();
            assert!(told.starts_with(what), "{bad}: {told}");
        }
    }
}
