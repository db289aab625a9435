//! Strict reading of client JSON: every deviation becomes the error the API answers with.

use serde_json::{Map, Value, json};

/// An `error` event in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) kind: &'static str,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
    /// Some refusals do not say which client event they belong to.
    pub(crate) anonymous: bool,
}

impl ApiError {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            kind: "invalid_request_error",
            code: Some(code.to_owned()),
            message: message.into(),
            param: None,
            anonymous: false,
        }
    }

    pub(crate) fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(crate) fn without_code(mut self) -> Self {
        self.code = None;
        self
    }

    pub(crate) fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    /// The body of the `error` event.
    pub(crate) fn body(&self, event_id: Option<&str>) -> Value {
        json!({"error": {
            "type": self.kind,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "event_id": if self.anonymous { None } else { event_id },
        }})
    }
}

pub(crate) type Checked<T> = Result<T, ApiError>;

/// A value and where in the client's event it stands (`session.audio.input.format`).
#[derive(Debug, Clone)]
pub(crate) struct At<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> At<'a> {
    pub(crate) fn new(path: &str, value: &'a Value) -> Self {
        Self {
            path: path.to_owned(),
            value,
        }
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() {
            return key.to_owned();
        }
        format!("{}.{key}", self.path)
    }

    /// An object with no other keys than these.
    pub(crate) fn object(&self, allowed: &[&str]) -> Checked<&'a Map<String, Value>> {
        let map = self.any_object()?;
        match map.keys().find(|key| !allowed.contains(&key.as_str())) {
            None => Ok(map),
            Some(key) => {
                let path = self.join(key);
                Err(
                    ApiError::new("unknown_parameter", format!("Unknown parameter: '{path}'."))
                        .at(path),
                )
            }
        }
    }

    pub(crate) fn any_object(&self) -> Checked<&'a Map<String, Value>> {
        self.value
            .as_object()
            .ok_or_else(|| self.wrong_type("an object"))
    }

    /// A member, if the object has it.
    pub(crate) fn get(&self, key: &str) -> Option<At<'a>> {
        let value = self.value.get(key)?;
        Some(At {
            path: self.join(key),
            value,
        })
    }

    /// A member that is there and not null.
    pub(crate) fn given(&self, key: &str) -> Option<At<'a>> {
        self.get(key).filter(|member| !member.is_null())
    }

    /// A member that has to be there.
    pub(crate) fn need(&self, key: &str) -> Checked<At<'a>> {
        self.given(key).ok_or_else(|| {
            let path = self.join(key);
            ApiError::new(
                "missing_required_parameter",
                format!("Missing required parameter: '{path}'."),
            )
            .at(path)
        })
    }

    pub(crate) fn items(&self) -> Checked<Vec<At<'a>>> {
        let array = self
            .value
            .as_array()
            .ok_or_else(|| self.wrong_type("an array"))?;
        let item = |(index, value)| At {
            path: format!("{}[{index}]", self.path),
            value,
        };
        Ok(array.iter().enumerate().map(item).collect())
    }

    pub(crate) fn text(&self) -> Checked<&'a str> {
        self.value
            .as_str()
            .ok_or_else(|| self.wrong_type("a string"))
    }

    pub(crate) fn text_up_to(&self, limit: usize) -> Checked<&'a str> {
        let text = self.text()?;
        let length = text.chars().count();
        if length <= limit {
            return Ok(text);
        }
        Err(self.range_error(
            "string_above_max_length",
            format!(
                "string too long. Expected a string with maximum length {limit}, but got a string with length {length} instead."
            ),
        ))
    }

    pub(crate) fn boolean(&self) -> Checked<bool> {
        self.value
            .as_bool()
            .ok_or_else(|| self.wrong_type("a boolean"))
    }

    pub(crate) fn choice(&self, allowed: &[&str]) -> Checked<&'a str> {
        let text = self.text()?;
        if allowed.contains(&text) {
            return Ok(text);
        }
        Err(self.unsupported(text, allowed))
    }

    pub(crate) fn unsupported(&self, got: &str, allowed: &[&str]) -> ApiError {
        let list = allowed
            .iter()
            .map(|value| format!("'{value}'"))
            .collect::<Vec<_>>()
            .join(", ");
        self.invalid(format!(
            "Invalid value: '{got}'. Supported values are: {list}."
        ))
    }

    pub(crate) fn integer(&self, min: i64, max: i64) -> Checked<i64> {
        let number = self
            .value
            .as_i64()
            .ok_or_else(|| self.wrong_type("an integer"))?;
        if number < min {
            return Err(self.range_error(
                "integer_below_min_value",
                format!("integer below minimum value. Expected a value >= {min}, but got {number} instead."),
            ));
        }
        if number > max {
            return Err(self.range_error(
                "integer_above_max_value",
                format!("integer above maximum value. Expected a value <= {max}, but got {number} instead."),
            ));
        }
        Ok(number)
    }

    pub(crate) fn decimal(&self, min: f64, max: f64) -> Checked<f64> {
        let number = self
            .value
            .as_f64()
            .ok_or_else(|| self.wrong_type("a decimal"))?;
        if number < min {
            return Err(self.range_error(
                "decimal_below_min_value",
                format!("decimal below minimum value. Expected a value >= {min}, but got {number} instead."),
            ));
        }
        if number > max {
            return Err(self.range_error(
                "decimal_above_max_value",
                format!("decimal above maximum value. Expected a value <= {max}, but got {number} instead."),
            ));
        }
        Ok(number)
    }

    pub(crate) fn invalid(&self, message: impl Into<String>) -> ApiError {
        ApiError::new("invalid_value", message).at(&self.path)
    }

    pub(crate) fn wrong_type(&self, expected: &str) -> ApiError {
        let got = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(number) if number.is_f64() => "a decimal",
            Value::Number(_) => "an integer",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        ApiError::new(
            "invalid_type",
            format!(
                "Invalid type for '{}': expected {expected}, but got {got} instead.",
                self.path
            ),
        )
        .at(&self.path)
    }

    fn range_error(&self, code: &str, what: String) -> ApiError {
        ApiError::new(code, format!("Invalid '{}': {what}", self.path)).at(&self.path)
    }
}
