//! When two tool calls are the same wish: canonical arguments, and the key that names an effect in the world.

use serde_json::{Map, Number, Value};
use sha2::{Digest as _, Sha256};

use crate::phone::CallSid;

/// Bytes of the digest in a key: a collision among the effects of one call is out of the question.
const DIGEST: usize = 16;

/// Floats beyond this skip whole numbers (2^53).
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Arguments in canonical form: members sorted, `null` members left out, whole numbers without a point.
///
/// Models write the same wish as `2`, `2.0` or `2e0`, in any order, and name what they leave open or not.
#[must_use]
pub fn canonical(arguments: &Map<String, Value>) -> String {
    canonical_object(arguments).to_string()
}

fn canonical_object(object: &Map<String, Value>) -> Value {
    let mut members: Vec<_> = object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .collect();
    members.sort_by_key(|(name, _)| *name);
    let members = members
        .into_iter()
        .map(|(name, value)| (name.clone(), canonical_value(value)));
    Value::Object(members.collect())
}

fn canonical_value(value: &Value) -> Value {
    match value {
        Value::Object(object) => canonical_object(object),
        Value::Array(list) => list.iter().map(canonical_value).collect(),
        Value::Number(number) => Value::Number(canonical_number(number)),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

fn canonical_number(number: &Number) -> Number {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT => {
            // Whole and in range by the line above.
            #[allow(clippy::cast_possible_truncation)]
            Number::from(float as i64)
        }
        _ => number.clone(),
    }
}

/// The key of an effect: call, tool, number of the intent, and a digest of all of it with the canonical arguments.
///
/// Goes into the journal and into the `Idempotency-Key` header: ASCII, at most 150 characters for names of at most 64.
#[must_use]
pub fn effect_key(call: &CallSid, tool: &str, canonical: &str, intent: u32) -> String {
    let number = intent.to_string();
    let digest = digest(&[call.as_str(), tool, canonical, &number]);
    format!("{call}-{tool}-{intent}-{digest}")
}

/// The key of a run without effects: names the run, so that a server sees which requests are tries of the same.
#[must_use]
pub fn run_key(call: &CallSid, tool: &str, number: u32) -> String {
    format!("{call}-{tool}-run-{number}")
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // With its length, so that no two lists of parts read the same.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut text = String::with_capacity(2 * DIGEST);
    for byte in hash.finalize().iter().take(DIGEST) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> String {
        canonical(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_same_wish_reads_the_same_however_it_is_written() {
        let plain = of(r#"{"name":"Ann","persons":2,"at":{"day":"mon","hour":9}}"#);
        for other in [
            r#"{"persons":2.0,"name":"Ann","at":{"hour":9,"day":"mon"}}"#,
            r#"{"persons":2e0,"at":{"day":"mon","hour":9.0,"minute":null},"name":"Ann","note":null}"#,
        ] {
            assert_eq!(of(other), plain);
        }
        for other in [
            r#"{"name":"Ann","persons":3,"at":{"day":"mon","hour":9}}"#,
            r#"{"name":"ann","persons":2,"at":{"day":"mon","hour":9}}"#,
            r#"{"name":"Ann","persons":"2","at":{"day":"mon","hour":9}}"#,
        ] {
            assert_ne!(of(other), plain, "{other}");
        }
        assert_eq!(
            of(r#"{"a":[1.0,2.5,-0.0,1e300]}"#),
            r#"{"a":[1,2.5,0,1e+300]}"#
        );
        assert_ne!(
            of(r#"{"a":[1,2]}"#),
            of(r#"{"a":[2,1]}"#),
            "lists keep their order"
        );
    }

    #[test]
    fn a_key_differs_in_each_of_its_parts_and_fits_a_header() {
        let call = |digit: &str| CallSid::parse(&format!("CA{}", digit.repeat(32))).unwrap();
        let key = effect_key(&call("1"), "book", "{}", 0);
        assert_eq!(key, effect_key(&call("1"), "book", "{}", 0));
        assert!(key.bytes().all(|byte| byte.is_ascii_graphic()), "{key}");
        let longest = effect_key(&call("1"), &"t".repeat(64), "{}", u32::MAX);
        assert!(longest.len() <= 150, "{}", longest.len());
        for other in [
            effect_key(&call("2"), "book", "{}", 0),
            effect_key(&call("1"), "move", "{}", 0),
            effect_key(&call("1"), "book", r#"{"a":1}"#, 0),
            effect_key(&call("1"), "book", "{}", 1),
        ] {
            assert_ne!(other, key);
        }
    }
}
