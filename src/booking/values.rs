//! Small checked values that a business is made of.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A time zone by its name in the IANA database, with its daylight saving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

impl Zone {
    pub(crate) const fn clock(&self) -> &TimeZone {
        &self.0
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let found = TimeZone::get(&name);
        found
            .map(Self)
            .map_err(|_| format!("{name:?} is not a time zone; write it like Europe/Berlin"))
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0.iana_name().unwrap_or("UTC").to_owned()
    }
}

/// Money in hundredths, so that sums stay exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Price(u32);

impl Price {
    /// Hundredths of the currency.
    #[must_use]
    pub const fn cents(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_cents(cents: u32) -> Self {
        Self(cents)
    }
}

impl TryFrom<f64> for Price {
    type Error = String;

    fn try_from(given: f64) -> Result<Self, String> {
        if !(0.0..=1_000_000.0).contains(&given) {
            return Err(format!("{given} is not a price; use 0 to 1000000"));
        }
        // In range by the check above.
        Ok(Self((given * 100.0).round() as u32))
    }
}

impl From<Price> for f64 {
    fn from(price: Price) -> Self {
        Self::from(price.0) / 100.0
    }
}

impl fmt::Display for Price {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 100 {
            0 => write!(out, "{}", self.0 / 100),
            cents => write!(out, "{}.{cents:02}", self.0 / 100),
        }
    }
}

/// A closed day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ClosedDay {
    /// Every year, month and day.
    EveryYear(i8, i8),
    /// Once.
    Once(Date),
}

impl ClosedDay {
    pub(crate) fn is(self, date: Date) -> bool {
        match self {
            Self::EveryYear(month, day) => (date.month(), date.day()) == (month, day),
            Self::Once(once) => once == date,
        }
    }
}

impl TryFrom<String> for ClosedDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let trouble = || {
            format!(
                "{text:?} is not a day; write \"12-25\" for every year or \"2026-12-24\" for once"
            )
        };
        if let Ok(date) = text.parse::<Date>() {
            return Ok(Self::Once(date));
        }
        let (month, day) = text.split_once('-').ok_or_else(trouble)?;
        let (month, day) = (
            month.parse().map_err(|_| trouble())?,
            day.parse().map_err(|_| trouble())?,
        );
        // A leap year: the 29th of February may be meant.
        Date::new(2028, month, day).map_err(|_| trouble())?;
        Ok(Self::EveryYear(month, day))
    }
}

impl From<ClosedDay> for String {
    fn from(day: ClosedDay) -> Self {
        match day {
            ClosedDay::EveryYear(month, day) => format!("{month:02}-{day:02}"),
            ClosedDay::Once(date) => date.to_string(),
        }
    }
}
