//! References of a script to what a tool answered: `{find_times:/options/0/times/0/time}`.

use serde_json::Value;

/// Gives the last output of a tool in a conversation.
pub(crate) type LastOutput<'a> = &'a dyn Fn(&str) -> Option<Value>;

/// A place in the last output of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    tool: String,
    /// A JSON pointer (RFC 6901).
    pointer: String,
}

impl Reference {
    /// Reads `{tool:/pointer}`; `None` if the text is anything else.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let inside = text.strip_prefix('{')?.strip_suffix('}')?;
        let (tool, pointer) = inside.split_once(':')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let named = !tool.is_empty() && tool.chars().all(is_name);
        (named && pointer.starts_with('/')).then(|| Self {
            tool: tool.to_owned(),
            pointer: pointer.to_owned(),
        })
    }

    /// The value there; `None` if the tool has not been answered or the answer has no such place, as one that is an
    /// error has not.
    pub(crate) fn value(&self, outputs: LastOutput<'_>) -> Option<Value> {
        let output = outputs(&self.tool)?;
        output.pointer(&self.pointer).cloned()
    }
}

/// A tool's arguments with every string that is a reference replaced by its value; `None` if one has none.
pub(crate) fn filled(arguments: &Value, outputs: LastOutput<'_>) -> Option<Value> {
    match arguments {
        Value::String(text) => match Reference::read(text) {
            Some(reference) => reference.value(outputs),
            None => Some(arguments.clone()),
        },
        Value::Array(values) => values.iter().map(|value| filled(value, outputs)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| Some((name.clone(), filled(value, outputs)?)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(arguments.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outputs(tool: &str) -> Option<Value> {
        (tool == "find_times").then(|| json!({"day": "2026-11-23", "times": [{"n": 7}]}))
    }

    #[test]
    fn only_a_whole_string_is_a_reference() {
        for text in [
            "find_times:/day",
            "{find_times}",
            "{find_times:day}",
            "{:/day}",
            "on {find_times:/day}",
            "{\"json\":/day}",
            "",
        ] {
            assert_eq!(Reference::read(text), None, "{text}");
        }
        assert!(Reference::read("{find_times:/day}").is_some());
    }

    #[test]
    fn arguments_take_the_values_whatever_their_type() {
        let arguments = json!({"day": "{find_times:/day}", "list": ["{find_times:/times/0/n}", true, "as it is"]});
        let filled_in = filled(&arguments, &outputs).unwrap();
        assert_eq!(
            filled_in,
            json!({"day": "2026-11-23", "list": [7, true, "as it is"]})
        );
        for nowhere in ["{find_times:/times/1/n}", "{book_appointment:/booked/code}"] {
            assert_eq!(
                filled(&json!({"deep": [nowhere]}), &outputs),
                None,
                "{nowhere}"
            );
        }
    }
}
