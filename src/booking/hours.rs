//! When doors are open: ranges of a day, a week of them, and how a person says them.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::when::weekday_name;

/// Minutes of a day on the clock; 1,440 is the midnight at its end.
const DAY_MINUTES: u16 = 24 * 60;

/// From one time of the day to a later one, written `09:00-20:00`; `24:00` is the end of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Open {
    opens: u16,
    closes: u16,
}

impl Open {
    /// The two ends as instants of a day. A time that the clock skips is the instant it jumps to; one that it shows
    /// twice is the earlier when it opens and the later when it closes.
    pub(crate) fn instants(self, date: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let opens = instant(date, self.opens, zone)?.earlier().ok()?;
        let closes = instant(date, self.closes, zone)?.later().ok()?;
        Some((opens, closes))
    }

    /// Starts on the clock's grid of `every` minutes within the range.
    pub(crate) fn starts(self, every: u16) -> impl Iterator<Item = Time> {
        let first = self.opens.next_multiple_of(every.max(1));
        (first..self.closes)
            .step_by(usize::from(every.max(1)))
            .filter_map(clock)
    }
}

/// A time of the day, 0 to 1,439 minutes after midnight on the clock.
fn clock(minutes: u16) -> Option<Time> {
    let hour = i8::try_from(minutes / 60).ok()?;
    let minute = i8::try_from(minutes % 60).ok()?;
    Time::new(hour, minute, 0, 0).ok()
}

fn instant(date: Date, minutes: u16, zone: &TimeZone) -> Option<jiff::tz::AmbiguousTimestamp> {
    let (date, minutes) = match minutes {
        DAY_MINUTES => (date.tomorrow().ok()?, 0),
        minutes => (date, minutes),
    };
    Some(zone.to_ambiguous_timestamp(date.to_datetime(clock(minutes)?)))
}

impl TryFrom<String> for Open {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let trouble = || format!("{text:?} is not a range of hours; write it like \"09:00-20:00\"");
        let (opens, closes) = text.split_once('-').ok_or_else(trouble)?;
        let opens = minutes(opens).ok_or_else(trouble)?;
        let closes = minutes(closes).ok_or_else(trouble)?;
        if opens >= closes {
            return Err(format!(
                "{text:?} closes before it opens; put the earlier time first, at most 24:00 second"
            ));
        }
        Ok(Self { opens, closes })
    }
}

fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    if minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (hours.parse::<u16>().ok()?, minutes.parse::<u16>().ok()?);
    let total = hours.checked_mul(60)?.checked_add(minutes)?;
    (minutes < 60 && total <= DAY_MINUTES).then_some(total)
}

impl From<Open> for String {
    fn from(open: Open) -> Self {
        open.to_string()
    }
}

impl fmt::Display for Open {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { opens, closes } = self;
        write!(
            out,
            "{:02}:{:02}-{:02}:{:02}",
            opens / 60,
            opens % 60,
            closes / 60,
            closes % 60
        )
    }
}

/// The ranges of each day of the week; a day without any is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Week {
    monday: Vec<Open>,
    tuesday: Vec<Open>,
    wednesday: Vec<Open>,
    thursday: Vec<Open>,
    friday: Vec<Open>,
    saturday: Vec<Open>,
    sunday: Vec<Open>,
}

impl Week {
    /// The ranges of a day.
    pub(crate) fn on(&self, day: Weekday) -> &[Open] {
        match day {
            Weekday::Monday => &self.monday,
            Weekday::Tuesday => &self.tuesday,
            Weekday::Wednesday => &self.wednesday,
            Weekday::Thursday => &self.thursday,
            Weekday::Friday => &self.friday,
            Weekday::Saturday => &self.saturday,
            Weekday::Sunday => &self.sunday,
        }
    }

    /// Whether it never opens.
    pub(crate) fn is_empty(&self) -> bool {
        Weekday::Monday
            .cycle_forward()
            .take(7)
            .all(|day| self.on(day).is_empty())
    }

    /// `Monday to Saturday 09:00 to 20:00, Sunday 10:00 to 18:00`, as it is said.
    pub(crate) fn spoken(&self) -> String {
        let days: Vec<Weekday> = Weekday::Monday.cycle_forward().take(7).collect();
        let mut parts: Vec<String> = Vec::new();
        for alike in days.chunk_by(|one, next| self.on(*one) == self.on(*next)) {
            let [first, .., last] = alike else {
                parts.extend(alike.first().map(|day| self.say(weekday_name(*day), *day)));
                continue;
            };
            let names = format!("{} to {}", weekday_name(*first), weekday_name(*last));
            parts.push(self.say(&names, *first));
        }
        parts.join(", ")
    }

    fn say(&self, names: &str, day: Weekday) -> String {
        let ranges: Vec<String> = self
            .on(day)
            .iter()
            .map(|open| open.to_string().replace('-', " to "))
            .collect();
        if ranges.is_empty() {
            return format!("{names} closed");
        }
        format!("{names} {}", ranges.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Open {
        Open::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_range_is_read_and_written_alike() {
        for text in ["09:00-20:00", "00:00-24:00", "08:05-08:10"] {
            assert_eq!(open(text).to_string(), text);
        }
        assert_eq!(open("9:00 - 12:30").to_string(), "09:00-12:30");
        for wrong in [
            "",
            "9-20",
            "09:00",
            "20:00-09:00",
            "09:00-09:00",
            "09:00-24:30",
            "09:60-10:00",
            "x:00-10:00",
        ] {
            assert!(Open::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn days_alike_are_said_together() {
        let nine = vec![open("09:00-12:00"), open("13:00-18:00")];
        let week = Week {
            monday: nine.clone(),
            tuesday: nine.clone(),
            wednesday: nine,
            saturday: vec![open("10:00-14:00")],
            ..Week::default()
        };
        assert_eq!(
            week.spoken(),
            "Monday to Wednesday 09:00 to 12:00 and 13:00 to 18:00, Thursday to Friday closed, Saturday 10:00 to 14:00, \
             Sunday closed"
        );
    }

    #[test]
    fn the_day_the_clocks_change_is_an_hour_shorter_or_longer() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        for (date, hours) in [("2027-03-28", 23), ("2027-10-31", 25), ("2027-06-01", 24)] {
            let (opens, closes) = open("00:00-24:00")
                .instants(date.parse().unwrap(), &zone)
                .unwrap();
            assert_eq!(closes.duration_since(opens).as_hours(), hours, "{date}");
        }
    }
}
