//! What callers may: how often a number is answered, for how long the day's calls are, and what the book believes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::SettingsError;
use super::{fragments, read};
use switchboard_base::nearest;

/// Calls of one number that are answered within an hour.
const NUMBER_CALLS_PER_HOUR: i64 = 20;

/// Withheld numbers have so many times as many calls, together.
const WITHHELD: u32 = 10;

/// What is answered, as far as that depends on who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerLimits {
    /// Calls of one number that are answered within an hour; `None`: all.
    pub number_calls_per_hour: Option<u32>,
    /// Minutes of all calls of a day (UTC); `None`: no limit.
    pub minutes_per_day: Option<u32>,
    /// Numbers for which neither holds, in full.
    exempt: Arc<BTreeSet<String>>,
}

impl CallerLimits {
    pub(super) fn read(given: &fragments::Limits) -> Result<Self, SettingsError> {
        let count = |key: &str, given: i64| read::ranged(key, given, 0, 1_000_000_u32);
        let calls = count(
            "limits.number_calls_per_hour",
            given.number_calls_per_hour.unwrap_or(NUMBER_CALLS_PER_HOUR),
        )?;
        let minutes = count(
            "limits.minutes_per_day",
            given.minutes_per_day.unwrap_or_default(),
        )?;
        let mut exempt = BTreeSet::new();
        for number in given.exempt_numbers.iter().flatten() {
            let number = read::number("limits.exempt_numbers", number)?;
            exempt.insert(number.as_str().to_owned());
        }
        Ok(Self {
            number_calls_per_hour: Some(calls).filter(|most| *most > 0),
            minutes_per_day: Some(minutes).filter(|most| *most > 0),
            exempt: Arc::new(exempt),
        })
    }

    /// Whether neither limit holds for a number; for a withheld one both do.
    #[must_use]
    pub fn is_exempt(&self, number: Option<&str>) -> bool {
        number.is_some_and(|number| self.exempt.contains(number))
    }

    /// How many calls of a number are answered within an hour; `None`: all.
    #[must_use]
    pub fn most_calls(&self, number: Option<&str>) -> Option<u32> {
        let most = self.number_calls_per_hour?;
        match number {
            Some(_) => (!self.is_exempt(number)).then_some(most),
            None => Some(most.saturating_mul(WITHHELD)),
        }
    }
}

/// What a change of an appointment asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Identify {
    /// A call from the number it was made under.
    Number,
    /// The name, too, or the code.
    #[default]
    NumberAndName,
    /// The code.
    Code,
}

impl Identify {
    /// All, as they are written.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("number", Self::Number),
        ("number_and_name", Self::NumberAndName),
        ("code", Self::Code),
    ];
}

/// What the appointment book believes of a caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BookRules {
    /// What a change of an appointment asks for.
    pub identify: Identify,
    /// Whether a call without full attestation counts as withheld, for the book, for tools and for the limits.
    pub verified_only: bool,
}

impl BookRules {
    pub(super) fn read(given: &fragments::Book) -> Result<Self, SettingsError> {
        let identify = match given.identify.as_deref() {
            None => Identify::default(),
            Some(said) => identify(said)?,
        };
        Ok(Self {
            identify,
            verified_only: given.verified_only.unwrap_or_default(),
        })
    }
}

fn identify(said: &str) -> Result<Identify, SettingsError> {
    let known = Identify::NAMES;
    if let Some((_, found)) = known.iter().find(|(name, _)| *name == said) {
        return Ok(*found);
    }
    let names = known.map(|(name, _)| name);
    let mend = match nearest(said, names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("use one of {}", names.join(", ")),
    };
    Err(SettingsError::invalid(
        "book.identify",
        format!("is {said:?}"),
        mend,
    ))
}
