//! Identifiers: Twilio's SIDs, checked on the way in, and the model's ids, shared instead of copied.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Length of every SID: two letters and 32 hexadecimal digits.
const SID_LENGTH: usize = 34;

macro_rules! sid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; SID_LENGTH]);

        impl $name {
            /// Reads a SID; `None` unless it is the prefix followed by 32 hexadecimal digits.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::parse_bytes(text.as_bytes())
            }

            /// The same of text that was not looked at yet.
            #[must_use]
            pub fn parse_bytes(text: &[u8]) -> Option<Self> {
                let bytes: [u8; SID_LENGTH] = text.try_into().ok()?;
                let (prefix, digits) = bytes.split_at(2);
                let valid = prefix == $prefix && digits.iter().all(u8::is_ascii_hexdigit);
                valid.then_some(Self(bytes))
            }

            /// The SID as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                // Only ASCII gets past `parse`.
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a SID"))
            }
        }
    };
}

sid!(
    /// Names a phone call at Twilio (`CA…`); stays the same over all media streams of the call.
    CallSid,
    b"CA"
);
sid!(
    /// Names one media stream (`MZ…`); every message we send to Twilio must carry it.
    StreamSid,
    b"MZ"
);
sid!(
    /// Names the Twilio account a call belongs to (`AC…`).
    AccountSid,
    b"AC"
);

/// An id given by the model: of a session, a response, an item or a tool call.
#[derive(Clone)]
pub struct ModelId {
    text: Arc<str>,
    /// Of the text: ids are compared with every delta, mostly with others of the same length.
    digest: u64,
}

impl PartialEq for ModelId {
    /// Ids of one stream of deltas are the same allocation.
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
            && (Arc::ptr_eq(&self.text, &other.text) || self.text == other.text)
    }
}

impl Eq for ModelId {}

impl PartialOrd for ModelId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ModelId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl ModelId {
    /// Keeps `text` as an id.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self::with_digest(text, digest(text))
    }

    fn with_digest(text: &str, digest: u64) -> Self {
        let text = Arc::from(text);
        Self { text, digest }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::hash::Hash for ModelId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for ModelId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// A digest of an id (FNV-1a over words of eight bytes): tells most ids apart without reading them.
fn digest(text: &str) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut digest = 0xcbf2_9ce4_8422_2325 ^ text.len() as u64;
    for word in text.as_bytes().chunks(8) {
        let mut bytes = [0; 8];
        bytes[..word.len()].copy_from_slice(word);
        digest = (digest ^ u64::from_le_bytes(bytes)).wrapping_mul(PRIME);
    }
    digest
}

/// Longest id taken from the model; a longer one is cut, since nothing it sends is trusted to be short.
const MAX_ID: usize = 128;

/// How many ids are remembered: a response, its items and the one before.
const REMEMBERED: usize = 8;

/// Hands out the same [`ModelId`] for the same text, so that a stream of deltas allocates no ids.
#[derive(Debug, Default)]
pub struct Interner {
    recent: VecDeque<ModelId>,
}

impl Interner {
    /// The id for `text`, shared with the last call that had the same text.
    pub fn id(&mut self, text: &str) -> ModelId {
        let text = clip(text, MAX_ID);
        let digest = digest(text);
        let known = |id: &&ModelId| id.digest == digest && id.as_str() == text;
        if let Some(known) = self.recent.iter().rev().find(known) {
            return known.clone();
        }
        let id = ModelId::with_digest(text, digest);
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(id.clone());
        id
    }
}

/// The longest prefix of `text` that has at most `limit` bytes and ends on a character.
#[must_use]
pub fn clip(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sids_off_the_pattern_are_refused() {
        let good = format!("CA{}", "0aF9".repeat(8));
        assert_eq!(
            CallSid::parse(&good).map(|sid| sid.to_string()),
            Some(good.clone())
        );
        assert!(StreamSid::parse(&good).is_none(), "another kind of SID");
        assert!(CallSid::parse(&good[..33]).is_none(), "too short");
        assert!(CallSid::parse(&format!("{good}0")).is_none(), "too long");
        assert!(
            CallSid::parse(&good.replace('9', "g")).is_none(),
            "not hexadecimal"
        );
        assert!(
            CallSid::parse(&format!("CA{}é", "0".repeat(30))).is_none(),
            "not ASCII"
        );
    }

    #[test]
    fn the_interner_shares_recent_ids_and_forgets_old_ones() {
        let mut interner = Interner::default();
        let first = interner.id("resp_1");
        assert!(Arc::ptr_eq(&first.text, &interner.id("resp_1").text));
        for n in 0..REMEMBERED {
            interner.id(&format!("item_{n}"));
        }
        assert!(!Arc::ptr_eq(&first.text, &interner.id("resp_1").text));
    }

    #[test]
    fn clipping_never_splits_a_character() {
        assert_eq!(clip("über", 1), "");
        assert_eq!(clip("über", 2), "ü");
        assert_eq!(clip("über", 9), "über");
    }
}
