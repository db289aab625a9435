//! Days and times as people say them, both ways.

use jiff::civil::{Date, Time, Weekday};
use jiff::{Span, Timestamp, Zoned, tz::TimeZone};

const WEEKDAYS: [(Weekday, &str); 7] = [
    (Weekday::Monday, "Monday"),
    (Weekday::Tuesday, "Tuesday"),
    (Weekday::Wednesday, "Wednesday"),
    (Weekday::Thursday, "Thursday"),
    (Weekday::Friday, "Friday"),
    (Weekday::Saturday, "Saturday"),
    (Weekday::Sunday, "Sunday"),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The English name of a day.
pub(crate) const fn weekday_name(day: Weekday) -> &'static str {
    WEEKDAYS[day.to_monday_zero_offset() as usize].1
}

/// `Monday 23 November`.
pub(crate) fn spoken_date(date: Date) -> String {
    let month = MONTHS[usize::from(date.month().unsigned_abs()) - 1];
    format!("{} {} {month}", weekday_name(date.weekday()), date.day())
}

/// `15:30`.
pub(crate) fn spoken_time(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

/// `Monday 23 November at 15:30`.
pub(crate) fn spoken(at: &Zoned) -> String {
    format!("{} at {}", spoken_date(at.date()), spoken_time(at.time()))
}

/// Which part of the day an instant is in: `in the afternoon`.
pub(crate) fn part_of_day(at: &Zoned) -> &'static str {
    match at.hour() {
        5..=11 => "in the morning",
        12..=17 => "in the afternoon",
        18..=22 => "in the evening",
        _ => "at night",
    }
}

/// Reads a day: `today`, `tomorrow`, `day after tomorrow`, `friday` (the next one, not today), `this friday` (of this
/// week), `next friday` (of next week, Monday first), `2026-11-23`, `23 November` (the next one) or
/// `23 November 2027`.
pub(crate) fn read_day(text: &str, today: Date) -> Option<Date> {
    let text = text.trim().to_ascii_lowercase().replace(',', " ");
    let words: Vec<&str> = text
        .split_whitespace()
        .filter(|word| !matches!(*word, "on" | "the" | "of"))
        .collect();
    let later = |days: i64| today.checked_add(Span::new().days(days)).ok();
    match words.as_slice() {
        ["today" | "tonight"] => Some(today),
        ["tomorrow", ..] if words.len() <= 2 => later(1),
        ["day", "after", "tomorrow"] => later(2),
        ["next", day] => later(days_into_week(day)? + 7 - since_monday(today)),
        ["this", day] => later(days_into_week(day)? - since_monday(today)),
        [day] if days_into_week(day).is_some() => {
            let ahead = days_into_week(day)? - since_monday(today);
            later(if ahead > 0 { ahead } else { ahead + 7 })
        }
        [iso] => iso.parse().ok(),
        // A weekday beside a date says nothing more than the date.
        [day, rest @ ..] if days_into_week(day).is_some() => named_date(rest, today),
        rest => named_date(rest, today),
    }
}

fn days_into_week(name: &str) -> Option<i64> {
    let found = WEEKDAYS.iter().position(|(_, known)| {
        name.eq_ignore_ascii_case(known)
            || (name.len() == 3 && known[..3].eq_ignore_ascii_case(name))
    });
    i64::try_from(found?).ok()
}

fn since_monday(date: Date) -> i64 {
    date.weekday().to_monday_zero_offset().into()
}

/// `23 november`, `november 23rd`, with or without a year.
fn named_date(words: &[&str], today: Date) -> Option<Date> {
    let (one, two, year) = match words {
        [one, two] => (*one, *two, None),
        [one, two, year] => (*one, *two, Some(year.parse::<i16>().ok()?)),
        _ => return None,
    };
    let (day, month) = match month(two) {
        Some(month) => (one, month),
        None => (two, month(one)?),
    };
    let day: i8 = day
        .trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == '.')
        .parse()
        .ok()?;
    if let Some(year) = year {
        return Date::new(year, month, day).ok();
    }
    let this_year = Date::new(today.year(), month, day).ok();
    this_year
        .filter(|date| *date >= today)
        .or_else(|| Date::new(today.year() + 1, month, day).ok())
}

fn month(name: &str) -> Option<i8> {
    let found = MONTHS.iter().position(|known| {
        name.eq_ignore_ascii_case(known)
            || (name.len() >= 3
                && known.len() > name.len()
                && known[..name.len()].eq_ignore_ascii_case(name))
    });
    i8::try_from(found? + 1).ok()
}

/// Reads a time of the day: `15:30`, `15.30`, `3:30 pm`, `3pm`, `noon`.
pub(crate) fn read_time(text: &str) -> Option<Time> {
    let text = text
        .trim()
        .to_ascii_lowercase()
        .replace('.', ":")
        .replace("p:m:", "pm")
        .replace("a:m:", "am");
    if matches!(text.as_str(), "noon" | "midday") {
        return Time::new(12, 0, 0, 0).ok();
    }
    let (digits, half) = match (text.strip_suffix("pm"), text.strip_suffix("am")) {
        (Some(digits), _) => (digits.trim(), Some(12)),
        (None, Some(digits)) => (digits.trim(), Some(0)),
        (None, None) => (text.as_str(), None),
    };
    let (hour, minute) = match digits.split_once(':') {
        Some((hour, minute)) => (
            hour.parse::<i8>().ok()?,
            minute.get(..2)?.parse::<i8>().ok()?,
        ),
        // A bare hour could be either half of the day.
        None => (half.and(digits.parse::<i8>().ok())?, 0),
    };
    let hour = match half {
        Some(_) if !(1..=12).contains(&hour) => return None,
        Some(noon) => hour % 12 + noon,
        None => hour,
    };
    Time::new(hour, minute, 0, 0).ok()
}

/// The instant of a time on the clock of a day; `None` when the clock skips it. Of two, the first.
pub(crate) fn instant(date: Date, time: Time, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(date.to_datetime(time));
    if matches!(ambiguous.offset(), jiff::tz::AmbiguousOffset::Gap { .. }) {
        return None;
    }
    ambiguous.earlier().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Sunday.
    const TODAY: Date = jiff::civil::date(2026, 11, 22);

    #[test]
    fn days_are_read_as_they_are_said() {
        for (said, meant) in [
            ("today", "2026-11-22"),
            ("Tomorrow", "2026-11-23"),
            ("tomorrow afternoon", "2026-11-23"),
            ("the day after tomorrow", "2026-11-24"),
            ("friday", "2026-11-27"),
            ("Fri", "2026-11-27"),
            ("on Sunday", "2026-11-29"),
            ("this sunday", "2026-11-22"),
            ("next monday", "2026-11-23"),
            ("next sunday", "2026-11-29"),
            ("2026-12-24", "2026-12-24"),
            ("24 December", "2026-12-24"),
            ("December 24th", "2026-12-24"),
            ("Thursday, 24 December 2026", "2026-12-24"),
            ("the 3rd of March", "2027-03-03"),
            ("Nov 22", "2026-11-22"),
            ("29 february 2028", "2028-02-29"),
        ] {
            assert_eq!(
                read_day(said, TODAY)
                    .map(|date| date.to_string())
                    .as_deref(),
                Some(meant),
                "{said}"
            );
        }
        for wrong in [
            "",
            "someday",
            "32 december",
            "2026-13-01",
            "2026-02-30",
            "next",
            "ma 3",
            "29 february 2027",
            "12.24.",
        ] {
            assert_eq!(read_day(wrong, TODAY), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_read_as_they_are_said() {
        for (said, meant) in [
            ("15:30", "15:30"),
            ("15.30", "15:30"),
            ("9:05", "09:05"),
            ("3:30 pm", "15:30"),
            ("3pm", "15:00"),
            ("12 am", "00:00"),
            ("12pm", "12:00"),
            ("3:30 p.m.", "15:30"),
            ("noon", "12:00"),
            ("15:30:00", "15:30"),
        ] {
            assert_eq!(
                read_time(said).map(spoken_time).as_deref(),
                Some(meant),
                "{said}"
            );
        }
        for wrong in ["", "15", "25:00", "13pm", "half past three", "3:7", "0am"] {
            assert_eq!(read_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_that_the_clock_skips_is_none() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let spring = jiff::civil::date(2027, 3, 28);
        assert_eq!(instant(spring, jiff::civil::time(2, 30, 0, 0), &zone), None);
        assert!(instant(spring, jiff::civil::time(3, 0, 0, 0), &zone).is_some());
        let autumn = jiff::civil::date(2027, 10, 31);
        let twice = instant(autumn, jiff::civil::time(2, 30, 0, 0), &zone).unwrap();
        assert_eq!(twice.to_string(), "2027-10-31T00:30:00Z");
    }
}
