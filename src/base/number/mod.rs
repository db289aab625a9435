//! Phone numbers: one rule for what is one, wherever a number comes in.
//!
//! `+`, a country code that exists, and as many digits as numbers of that country can have. Whether somebody has the
//! number, nobody can know: area codes and ranges come and go, and those of examples (`+1 555 0100`) belong to nobody.
//! The rule is this small table rather than the `phonenumber` crate, which brings a megabyte of patterns and a regex
//! engine, reads numbers out of prose (`1-800-FLOWERS`, `tel:`) and refuses the numbers of examples.

mod caller;
mod mask;
mod plans;

use std::fmt;

pub use caller::callable;
pub use mask::mask;
use plans::PLANS;

/// A phone number in E.164 form: `+`, a country code, and as many digits as that country's numbers can have. Its `Debug`
/// is masked; [`as_str`](Self::as_str) is not.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhoneNumber(String);

/// Why a text is no phone number. Its sentence begins with a verb and holds no digit of the number but its country code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberError {
    /// Not `+` and digits.
    #[error("is not a phone number")]
    Form,
    /// `+49 (0)30 …`: the zero is dialled within the country only, and nobody knows whether to keep it.
    #[error("is not a phone number as long as it has a (0)")]
    HomeZero,
    /// No country has this code.
    #[error("is not a phone number: no country has its code")]
    Country,
    /// Too few or too many digits for the country.
    #[error(
        "is not a phone number: it has {digits} digits after +{code}, where there are {}",
        Lengths(possible)
    )]
    Length {
        /// The country code.
        code: u16,
        /// How many digits follow it.
        digits: usize,
        /// How many can, rising.
        possible: &'static [u8],
    },
}

/// `7 or 10`, `4 to 13`.
struct Lengths<'a>(&'a [u8]);

impl PhoneNumber {
    /// Reads a number with its country code. Spaces, dashes, dots, slashes and brackets, which people write, are dropped.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        if text.contains("(0)") {
            return Err(NumberError::HomeZero);
        }
        let kept: String = text.chars().filter(|c| !is_written_between(*c)).collect();
        let digits = kept.strip_prefix('+').ok_or(NumberError::Form)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NumberError::Form);
        }
        let (code, possible) = plan(digits).ok_or(NumberError::Country)?;
        let behind = digits.len() - code.len();
        if possible.iter().any(|length| usize::from(*length) == behind) {
            return Ok(Self(kept));
        }
        Err(NumberError::Length {
            code: code.parse().unwrap_or_default(),
            digits: behind,
            possible,
        })
    }

    /// The number in full: for Twilio, the book and the store only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number for logs and pages.
    #[must_use]
    pub fn masked(&self) -> String {
        mask(&self.0)
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.masked())
    }
}

impl fmt::Display for Lengths<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            [only] => write!(out, "{only}"),
            [first, .., last] if usize::from(last - first) + 1 == self.0.len() => {
                let word = if self.0.len() == 2 { "or" } else { "to" };
                write!(out, "{first} {word} {last}")
            }
            [first, between @ .., last] => {
                write!(out, "{first}")?;
                for length in between {
                    write!(out, ", {length}")?;
                }
                write!(out, " or {last}")
            }
        }
    }
}

/// The country code that digits behind a `+` begin with, if there is such a country.
pub(crate) fn country_code(digits: &str) -> Option<&str> {
    plan(digits).map(|(code, _)| code)
}

/// No code begins with another, so the first that fits is the one.
fn plan(digits: &str) -> Option<(&str, &'static [u8])> {
    (1..=3).find_map(|length| {
        let code = digits.get(..length)?;
        let number: u16 = code.parse().ok()?;
        // `+01` would be read as 1.
        let known = PLANS.binary_search_by_key(&number, |(code, _)| *code);
        let found = known.ok().filter(|_| !code.starts_with('0'))?;
        Some((code, PLANS[found].1))
    })
}

fn is_written_between(c: char) -> bool {
    matches!(
        c,
        ' ' | '\u{a0}' | '\u{202f}' | '-' | '\u{2010}'..='\u{2013}' | '.' | '/' | '(' | ')'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_as_plus_and_digits_and_masked_in_debug() {
        for (written, kept) in [
            ("+1 (555) 555-0142", "+15555550142"),
            ("+15550100", "+15550100"),
            ("+49 30/123 456", "+4930123456"),
            ("+44\u{a0}20 7946\u{2013}0958", "+442079460958"),
            ("+33.1.99.00.12.34", "+33199001234"),
            ("+39 06 1234 5678", "+390612345678"),
            ("+247 6 2345", "+24762345"),
            ("+881 6 1234 5678", "+881612345678"),
        ] {
            assert_eq!(
                PhoneNumber::parse(written).unwrap().as_str(),
                kept,
                "{written}"
            );
        }
        let number = PhoneNumber::parse("+15555550142").unwrap();
        assert_eq!(format!("{number:?}"), "+1•••••0142");
    }

    #[test]
    fn what_is_no_number_is_told_why() {
        for (wrong, why) in [
            ("", "is not a phone number"),
            ("+", "is not a phone number"),
            ("15550100", "is not a phone number"),
            ("+1555x", "is not a phone number"),
            ("++15550100", "is not a phone number"),
            ("sip:a@b", "is not a phone number"),
            ("+１５５５", "is not a phone number"),
            (
                "+49 (0)30 123456",
                "is not a phone number as long as it has a (0)",
            ),
            ("+0155", "is not a phone number: no country has its code"),
            (
                "+2105550100",
                "is not a phone number: no country has its code",
            ),
            ("+99", "is not a phone number: no country has its code"),
            (
                "+1",
                "is not a phone number: it has 0 digits after +1, where there are 7 or 10",
            ),
            (
                "+1555",
                "is not a phone number: it has 3 digits after +1, where there are 7 or 10",
            ),
            (
                "+4420794609581",
                "is not a phone number: it has 11 digits after +44, where there are 7, 9 or 10",
            ),
            (
                "+361234567",
                "is not a phone number: it has 7 digits after +36, where there are 8 or 9",
            ),
            (
                "+4912",
                "is not a phone number: it has 2 digits after +49, where there are 4 to 13",
            ),
            (
                "+3311234567890",
                "is not a phone number: it has 11 digits after +33, where there are 9",
            ),
        ] {
            let error = PhoneNumber::parse(wrong).unwrap_err();
            assert_eq!(error.to_string(), why, "{wrong}");
        }
    }

    #[test]
    fn the_table_is_in_order_and_no_code_begins_with_another() {
        assert!(PLANS.is_sorted_by(|(a, _), (b, _)| a < b));
        for (code, lengths) in PLANS {
            let code = code.to_string();
            assert_eq!(country_code(&format!("{code}000")), Some(code.as_str()));
            assert!(lengths.is_sorted_by(|a, b| a < b) && !lengths.is_empty());
            assert!(
                lengths
                    .iter()
                    .all(|length| code.len() + usize::from(*length) <= 15)
            );
        }
    }
}
