//! Pieces of tolerant, borrowed JSON reading shared by both protocols.
//!
//! Not `serde_with`: its `PickFirst` and `DefaultOnError` keep a copy of each value, which every audio frame would pay.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Reads a JSON object, and nothing else: serde would take an array for a struct.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    let first = json.bytes().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(b'{') {
        return None;
    }
    serde_json::from_str(json).ok()
}

/// A string, borrowed unless it holds escapes; anything that is not a string reads as `None`.
///
/// `Option<Cow<str>>` would copy every time: serde borrows only a bare `Cow` field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Option<Cow<'a, str>>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// A whole number that may come as a number or as a string; anything else reads as `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) Option<u64>);

/// What a scalar turned out to be.
enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Flag(bool),
    Other,
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(number).map_or(Scalar::Other, Scalar::Number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(whole(number).map_or(Scalar::Other, Scalar::Number))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Flag(flag))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

/// A float as a whole number, rounded down; `None` where it is negative, huge or no number.
fn whole(number: f64) -> Option<u64> {
    // 2^53: beyond it floats skip whole numbers, and no field of either protocol goes there.
    let fits = number.is_finite() && (0.0..9_007_199_254_740_992.0).contains(&number);
    // In range by the line above.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fits.then_some(number as u64)
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(ScalarVisitor)? {
            Scalar::Text(text) => Self(Some(text)),
            Scalar::Number(_) | Scalar::Flag(_) | Scalar::Other => Self(None),
        })
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(ScalarVisitor)? {
            Scalar::Number(number) => Self(Some(number)),
            Scalar::Text(text) => Self(text.trim().parse().ok()),
            Scalar::Flag(_) | Scalar::Other => Self(None),
        })
    }
}

/// A yes or no; anything else, `null` included, reads as `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) Option<bool>);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(ScalarVisitor)? {
            Scalar::Flag(flag) => Self(Some(flag)),
            Scalar::Text(_) | Scalar::Number(_) | Scalar::Other => Self(None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_any_dress() {
        for (json, expected) in [
            ("7", Some(7)),
            ("\"7\"", Some(7)),
            ("7.9", Some(7)),
            ("-1", None),
            ("null", None),
            ("1e400", None),
            ("[1]", None),
            ("{\"a\":1}", None),
        ] {
            let number = serde_json::from_str::<Number>(json)
                .ok()
                .and_then(|number| number.0);
            assert_eq!(number, expected, "{json}");
        }
    }

    #[test]
    fn text_is_borrowed_unless_escaped() {
        let plain: Text<'_> = serde_json::from_str("\"abc\"").unwrap();
        assert!(matches!(plain.0, Some(Cow::Borrowed("abc"))));
        let escaped: Text<'_> = serde_json::from_str("\"a\\/c\"").unwrap();
        assert!(matches!(&escaped.0, Some(Cow::Owned(text)) if text == "a/c"));
        let absent: Text<'_> = serde_json::from_str("null").unwrap();
        assert_eq!(absent.as_str(), None);
    }
}
