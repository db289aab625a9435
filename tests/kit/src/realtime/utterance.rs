//! A sentence put together from clips and from what tools answered.

use bytes::Bytes;
use call_protocol::audio;
use serde_json::Value;

use super::prepared::Utterance;
use super::reference::{LastOutput, Reference};
use super::script::ScriptError;
use super::vocabulary::spoken;
use crate::speech::{self, Clip};

/// Between the characters of a code: the f of "F" is hardly audible and lasts 200 ms, so that more would end the turn.
const SPELLING_PAUSE_MS: u64 = 60;
/// After a comma.
const SHORT_PAUSE_MS: u64 = 100;
/// At the end of a sentence; a caller who waits for the end of the turn must not take it for that.
const LONG_PAUSE_MS: u64 = 160;
/// µ-law for no sound.
const SILENCE: u8 = 0xFF;

/// The pieces of a `phrase`, understood.
#[derive(Debug, Clone)]
pub(crate) struct Phrase(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Clip(&'static Clip),
    /// A punctuation mark: it joins the text before it and is a pause.
    Mark(char),
    Reference(Reference),
}

impl Phrase {
    /// Reads the pieces: names of clips, marks, references.
    ///
    /// # Errors
    /// When a piece is none of them.
    pub(crate) fn read(pieces: &[String]) -> Result<Self, ScriptError> {
        pieces
            .iter()
            .map(|text| piece(text))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The sentence; `None` if a reference has no value, or one that there are no words for.
    pub(crate) fn utterance(&self, outputs: LastOutput<'_>) -> Option<Utterance> {
        let mut sentence = Sentence::default();
        for piece in &self.0 {
            match piece {
                Piece::Clip(clip) => sentence.say(&[clip], clip.text, 0),
                Piece::Mark(mark) => sentence.punctuate(*mark),
                Piece::Reference(reference) => {
                    let Value::String(value) = reference.value(outputs)? else {
                        return None;
                    };
                    let spoken = spoken(&value)?;
                    let apart_ms = if spoken.spelled { SPELLING_PAUSE_MS } else { 0 };
                    sentence.say(&spoken.words, &spoken.text, apart_ms);
                }
            }
        }
        Some(Utterance::Spoken {
            mulaw: Bytes::from(sentence.mulaw),
            text: sentence.text,
        })
    }
}

fn piece(text: &str) -> Result<Piece, ScriptError> {
    if let Some(reference) = Reference::read(text) {
        return Ok(Piece::Reference(reference));
    }
    let mut characters = text.chars();
    if let (Some(mark @ (',' | '.' | '?' | '!')), None) = (characters.next(), characters.next()) {
        return Ok(Piece::Mark(mark));
    }
    speech::word(text)
        .or_else(|| speech::receptionist(text))
        .or_else(|| speech::caller(text))
        .map(Piece::Clip)
        .ok_or_else(|| ScriptError::UnknownClip(text.to_owned()))
}

#[derive(Default)]
struct Sentence {
    mulaw: Vec<u8>,
    text: String,
}

impl Sentence {
    fn say(&mut self, words: &[&Clip], text: &str, apart_ms: u64) {
        for (index, word) in words.iter().enumerate() {
            if index > 0 {
                self.pause(apart_ms);
            }
            self.mulaw.extend_from_slice(word.mulaw());
        }
        if !self.text.is_empty() && !text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(text);
    }

    fn punctuate(&mut self, mark: char) {
        self.text.push(mark);
        self.pause(if mark == ',' {
            SHORT_PAUSE_MS
        } else {
            LONG_PAUSE_MS
        });
    }

    fn pause(&mut self, ms: u64) {
        let end = self.mulaw.len() + audio::ms_to_bytes(ms) as usize;
        self.mulaw.resize(end, SILENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::is_loud;
    use serde_json::json;

    fn phrase(pieces: &[&str]) -> Phrase {
        let pieces: Vec<String> = pieces.iter().map(|&piece| piece.to_owned()).collect();
        Phrase::read(&pieces).unwrap()
    }

    fn booked(tool: &str) -> Option<Value> {
        (tool == "book")
            .then(|| json!({"day": "2026-11-23", "time": "15:30", "code": "K7M4", "minutes": 60}))
    }

    #[test]
    fn clips_and_values_become_one_sentence() {
        let phrase = phrase(&[
            "is_booked_for",
            "{book:/day}",
            ",",
            "at",
            "{book:/time}",
            ".",
        ]);
        let Some(Utterance::Spoken { mulaw, text }) = phrase.utterance(&booked) else {
            panic!("nothing was said");
        };
        assert_eq!(text, "is booked for Monday, at three thirty.");
        let said: Vec<u8> = ["is_booked_for", "monday", ",", "at", "three", "thirty", "."]
            .into_iter()
            .flat_map(|name| match name {
                "," => vec![SILENCE; 800],
                "." => vec![SILENCE; 1_280],
                name => speech::word(name).unwrap().mulaw().to_vec(),
            })
            .collect();
        assert_eq!(mulaw, said);
    }

    #[test]
    fn a_code_is_spelled_with_a_pause_after_every_character() {
        let Some(Utterance::Spoken { mulaw, text }) = phrase(&["{book:/code}"]).utterance(&booked)
        else {
            panic!("nothing was said");
        };
        assert_eq!(text, "K, 7, M, 4");
        let words: usize = ["k", "seven", "m", "four"]
            .map(|name| speech::word(name).unwrap().mulaw().len())
            .iter()
            .sum();
        assert_eq!(mulaw.len(), words + 3 * 480);
    }

    #[test]
    fn a_spelled_code_is_not_taken_for_the_end_of_the_turn() {
        let characters: Vec<char> = "FKLMRTW24679".chars().collect();
        let mut longest_ms = 0;
        for first in &characters {
            for second in &characters {
                let code = format!("{first}{second}{first}{second}");
                let outputs = |_: &str| Some(json!({"code": code}));
                let said = phrase(&["your_code_is", "{book:/code}", ".", "anything_else"])
                    .utterance(&outputs);
                let Some(Utterance::Spoken { mulaw, .. }) = said else {
                    panic!("{code} was not said");
                };
                let mut quiet_ms = 0;
                for frame in mulaw.chunks(160) {
                    quiet_ms = if is_loud(frame) { 0 } else { quiet_ms + 20 };
                    longest_ms = longest_ms.max(quiet_ms);
                }
            }
        }
        println!("longest pause inside a spelled code: {longest_ms} ms");
        assert!(longest_ms < 450, "{longest_ms} ms");
    }

    #[test]
    fn what_is_not_there_or_has_no_words_is_no_sentence() {
        for reference in ["{book:/name}", "{other:/day}", "{book:/minutes}"] {
            assert!(
                phrase(&["at", reference]).utterance(&booked).is_none(),
                "{reference}"
            );
        }
        let unknown = Phrase::read(&["nobody_recorded_this".to_owned()]);
        assert!(matches!(unknown, Err(ScriptError::UnknownClip(_))));
    }
}
