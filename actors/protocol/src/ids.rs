//! The model's identifiers, shared instead of copied, and what is named by them.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

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

/// Names one content part of one item of one response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartKey {
    /// The response.
    pub response: ModelId,
    /// The item.
    pub item: ModelId,
    /// The content part.
    pub part: u32,
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
