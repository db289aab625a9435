//! What was asked, as far as it can be understood, and how a tool says no.

use jiff::civil::Time;
use serde_json::{Map, Value, json};

use crate::BookError;
use crate::free::Part;
use crate::when::{self, Unclear};
use switchboard_base::number::PhoneNumber;

/// Longest text a tool takes; names are shorter.
const MOST_CHARS: usize = 80;

/// Why a tool gives no result.
pub(super) enum Refusal {
    /// An answer for the caller.
    Spoken(Value),
    /// The book failed.
    Book(BookError),
}

impl From<BookError> for Refusal {
    fn from(error: BookError) -> Self {
        Self::Book(error)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Book(error.into())
    }
}

/// A sentence that says no.
pub(super) fn refuse(sentence: impl Into<String>) -> Refusal {
    Refusal::Spoken(json!({"error": sentence.into()}))
}

/// The same with what else there is.
pub(super) fn refuse_with(sentence: impl Into<String>, what: &str, instead: Value) -> Refusal {
    Refusal::Spoken(json!({"error": sentence.into(), what: instead}))
}

/// The arguments of a call, which may be anything.
pub(super) struct Arguments<'a>(Option<&'a Map<String, Value>>);

impl<'a> Arguments<'a> {
    pub(super) fn of(arguments: &'a Value) -> Self {
        Self(arguments.as_object())
    }

    /// A text without control characters; `None` if it is missing, empty or no text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let given = self.0?.get(name)?.as_str()?;
        let kept: String = given
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MOST_CHARS)
            .collect();
        let kept = kept.split_whitespace().collect::<Vec<_>>().join(" ");
        (!kept.is_empty()).then_some(kept)
    }
}

/// Reads a time of the day.
fn time(said: &str) -> Result<Time, Refusal> {
    when::read_time(said).map_err(|unclear| {
        refuse(match unclear {
            Unclear::Unknown => {
                format!("{said:?} is not a time I understand; say it like 15:30 or 3:30 pm.")
            }
            Unclear::Two(sentence) => sentence,
        })
    })
}

/// Reads a time of the day that is in a part of it, if one was said.
pub(super) fn time_in(part: Option<Part>, said: &str) -> Result<Time, Refusal> {
    let time = time(said)?;
    match part {
        Some(part) if !part.has(time) => Err(refuse(format!(
            "{} is not in the {}; which of the two is meant?",
            when::spoken_time(time),
            part.name()
        ))),
        _ => Ok(time),
    }
}

/// A number as it is kept: with its country code if it has one, else the digits alone. `None` for a name, a withheld
/// number, or one that its country cannot have.
pub(crate) fn read_number(given: &str) -> Option<String> {
    let given = given.trim();
    let abroad = given.strip_prefix("00").map(|rest| format!("+{rest}"));
    let given = abroad.as_deref().unwrap_or(given);
    if given.contains('+') {
        let number = PhoneNumber::parse(given).ok()?;
        return Some(number.as_str().to_owned());
    }
    let digits: String = given.chars().filter(char::is_ascii_digit).collect();
    let is_a_name = given.chars().any(char::is_alphabetic);
    (!is_a_name && (5..=15).contains(&digits.len())).then_some(digits)
}
