//! Days and times as people say them, both ways.

use jiff::civil::{Date, Time, Weekday};
use jiff::{Span, Timestamp, Zoned, tz::TimeZone};

use super::free::Part;

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

/// Why a day or a time that was said is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unclear {
    /// It is not understood.
    Unknown,
    /// It says two things that cannot both be; the sentence names both.
    Two(String),
}

/// A day as it was said, perhaps with a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) date: Date,
    pub(crate) part: Option<Part>,
}

/// Reads a day: `today`, `tomorrow`, `day after tomorrow`, `friday` (the next one, not today), `this friday` (of this
/// week), `next friday` (of next week, Monday first), `2026-11-23`, `23 November` (the next one) or
/// `23 November 2027`. Of several ways to say it beside each other all must mean one day.
pub(crate) fn read_day(text: &str, today: Date) -> Result<Said, Unclear> {
    let text = text
        .trim()
        .to_ascii_lowercase()
        .replace([',', '(', ')'], " ");
    let words: Vec<&str> = text
        .split_whitespace()
        .filter(|word| !matches!(*word, "on" | "the" | "of" | "in"))
        .collect();
    let later = |days: i64| {
        let date = today.checked_add(Span::new().days(days));
        date.map_err(|_| Unclear::Unknown)
    };
    let (mut dates, mut weekday, mut part) = (Vec::new(), None, None);
    let mut rest = words.as_slice();
    while let [word, after @ ..] = rest {
        rest = after;
        match (*word, after) {
            ("today", _) => dates.push(("today".to_owned(), today)),
            ("tonight", _) => {
                dates.push(("tonight".to_owned(), today));
                one_part(&mut part, Part::Evening)?;
            }
            ("tomorrow", _) => dates.push(("tomorrow".to_owned(), later(1)?)),
            ("day", ["after", "tomorrow", after @ ..]) => {
                dates.push(("the day after tomorrow".to_owned(), later(2)?));
                rest = after;
            }
            (which @ ("this" | "next"), [day, after @ ..]) => {
                let days = days_into_week(day).ok_or(Unclear::Unknown)? - since_monday(today);
                let days = if which == "next" { days + 7 } else { days };
                let name = WEEKDAYS[usize::from(
                    later(days)?
                        .weekday()
                        .to_monday_zero_offset()
                        .unsigned_abs(),
                )]
                .1;
                dates.push((format!("{which} {name}"), later(days)?));
                rest = after;
            }
            (day, _) if days_into_week(day).is_some() => {
                let days = days_into_week(day).ok_or(Unclear::Unknown)?;
                if weekday.is_some_and(|known| known != days) {
                    return Err(two_weekdays(weekday, days));
                }
                weekday = Some(days);
            }
            (name, _) if Part::named(name).is_some() => {
                one_part(&mut part, Part::named(name).ok_or(Unclear::Unknown)?)?;
            }
            (iso, _) if iso.len() == 10 && iso.as_bytes()[4] == b'-' => {
                let date: Date = iso.parse().map_err(|_| Unclear::Unknown)?;
                dates.push((iso.to_owned(), date));
            }
            (one, [two, year, after @ ..]) if year_of(year, today).is_some() => {
                let date = named_date(one, two, year_of(year, today), today);
                dates.push((format!("{one} {two} {year}"), date.ok_or(Unclear::Unknown)?));
                rest = after;
            }
            (one, [two, after @ ..]) => {
                let date = named_date(one, two, None, today).ok_or(Unclear::Unknown)?;
                dates.push((format!("{one} {two}"), date));
                rest = after;
            }
            _ => return Err(Unclear::Unknown),
        }
    }
    one_day(&dates, weekday, today, &later).map(|date| Said { date, part })
}

/// The day that all that was said means.
fn one_day(
    dates: &[(String, Date)],
    weekday: Option<i64>,
    today: Date,
    later: &dyn Fn(i64) -> Result<Date, Unclear>,
) -> Result<Date, Unclear> {
    let Some((said, date)) = dates.first() else {
        let ahead = weekday.ok_or(Unclear::Unknown)? - since_monday(today);
        return later(if ahead > 0 { ahead } else { ahead + 7 });
    };
    let full = |date: Date| format!("{} {}", spoken_date(date), date.year());
    if let Some((other, otherwise)) = dates.iter().find(|(_, other)| other != date) {
        return Err(Unclear::Two(format!(
            "{said} is {}, and {other} is {}; which day is meant?",
            full(*date),
            full(*otherwise)
        )));
    }
    match weekday {
        Some(days) if days != since_monday(*date) => {
            let name = WEEKDAYS[usize::try_from(days).unwrap_or(0)].1;
            let is = weekday_name(date.weekday());
            Err(Unclear::Two(format!(
                "{said} is {}, a {is} and not a {name}; which day is meant?",
                full(*date)
            )))
        }
        _ => Ok(*date),
    }
}

fn two_weekdays(one: Option<i64>, other: i64) -> Unclear {
    let name = |days: i64| WEEKDAYS[usize::try_from(days).unwrap_or(0)].1;
    Unclear::Two(format!(
        "{} and {} are two days; which one is meant?",
        name(one.unwrap_or(other)),
        name(other)
    ))
}

/// Of two parts of a day only one can be meant.
fn one_part(known: &mut Option<Part>, said: Part) -> Result<(), Unclear> {
    if let Some(other) = known.filter(|other| *other != said) {
        return Err(Unclear::Two(format!(
            "{} and {} are two parts of the day; which one is meant?",
            other.name(),
            said.name()
        )));
    }
    *known = Some(said);
    Ok(())
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

/// A year in full, or its last two digits, which are those of this century.
fn year_of(text: &str, today: Date) -> Option<i16> {
    let digits = text.strip_prefix('\'').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match digits.len() {
        4 => digits.parse().ok(),
        2 => Some(today.year() / 100 * 100 + digits.parse::<i16>().ok()?),
        _ => None,
    }
}

/// `23 november`, `november 23rd`, with or without a year.
fn named_date(one: &str, two: &str, year: Option<i16>, today: Date) -> Option<Date> {
    let (day, month) = match month(two) {
        Some(month) => (one, month),
        None => (two, month(one)?),
    };
    let digits = day.trim_end_matches(|c: char| !c.is_ascii_digit());
    if !matches!(&day[digits.len()..], "" | "." | "st" | "nd" | "rd" | "th") {
        return None;
    }
    let day: i8 = digits.parse().ok()?;
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

/// Reads a time of the day: `15:30`, `15.30`, `3:30 pm`, `3pm`, `3:30 in the afternoon`, `noon`.
pub(crate) fn read_time(text: &str) -> Result<Time, Unclear> {
    let text = text
        .trim()
        .to_ascii_lowercase()
        .replace('.', ":")
        .replace("p:m:", "pm")
        .replace("a:m:", "am");
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let mut part = None;
    if let [.., "in", "the", name] | [.., "at", name @ "night"] = words.as_slice() {
        part = Some(Part::named(name).ok_or(Unclear::Unknown)?);
        words.truncate(words.len() - if *name == "night" { 2 } else { 3 });
    }
    let clock = words.concat();
    let time = clock_time(&clock, part).ok_or(Unclear::Unknown)?;
    match part {
        Some(part) if !part.has(time) => Err(Unclear::Two(format!(
            "{} is not in the {}; which time is meant?",
            spoken_time(time),
            part.name()
        ))),
        _ => Ok(time),
    }
}

fn clock_time(text: &str, part: Option<Part>) -> Option<Time> {
    if matches!(text, "noon" | "midday") {
        return Time::new(12, 0, 0, 0).ok();
    }
    let (digits, half) = match (text.strip_suffix("pm"), text.strip_suffix("am")) {
        (Some(digits), _) => (digits, Some(12)),
        (None, Some(digits)) => (digits, Some(0)),
        (None, None) => (text, None),
    };
    let two = |digits: &str| (digits.len() == 2).then(|| digits.parse::<i8>().ok())?;
    let (hour, minute) = match digits.split(':').collect::<Vec<_>>().as_slice() {
        [hour, minute] | [hour, minute, "00"] => (hour.parse::<i8>().ok()?, two(minute)?),
        // A bare hour could be either half of the day.
        [hour] if half.is_some() || part.is_some() => (hour.parse::<i8>().ok()?, 0),
        _ => return None,
    };
    let hour = match (half, part) {
        (Some(_), _) if !(1..=12).contains(&hour) => return None,
        (Some(noon), _) => hour % 12 + noon,
        (None, Some(Part::Afternoon | Part::Evening)) if (1..12).contains(&hour) => hour + 12,
        (None, _) => hour,
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
            ("1 December 26", "2026-12-01"),
            ("December 1st '27", "2027-12-01"),
            ("tomorrow, 23 November", "2026-11-23"),
            ("tomorrow, Monday", "2026-11-23"),
            ("next friday, 27 November", "2026-11-27"),
            ("Wednesday 2026-12-02", "2026-12-02"),
        ] {
            assert_eq!(
                read_day(said, TODAY).map(|said| said.date.to_string()),
                Ok(meant.to_owned()),
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
            "1 December 126",
            "1 December 2",
            "2pm December",
            "2026-12-02T09:00",
            "tomorrow maybe",
        ] {
            assert_eq!(read_day(wrong, TODAY), Err(Unclear::Unknown), "{wrong}");
        }
    }

    #[test]
    fn two_days_are_none_and_both_are_named() {
        for (said, sentence) in [
            (
                "Tuesday 2 December 2026",
                "2 december 2026 is Wednesday 2 December 2026, a Wednesday and not a Tuesday; which day is meant?",
            ),
            (
                "tomorrow, 2 December",
                "tomorrow is Monday 23 November 2026, and 2 december is Wednesday 2 December 2026; which day is meant?",
            ),
            (
                "tomorrow friday",
                "tomorrow is Monday 23 November 2026, a Monday and not a Friday; which day is meant?",
            ),
            (
                "next friday 2026-12-04",
                "next Friday is Friday 27 November 2026, and 2026-12-04 is Friday 4 December 2026; which day is meant?",
            ),
            (
                "monday tuesday",
                "Monday and Tuesday are two days; which one is meant?",
            ),
            (
                "tomorrow morning evening",
                "morning and evening are two parts of the day; which one is meant?",
            ),
        ] {
            assert_eq!(
                read_day(said, TODAY),
                Err(Unclear::Two(sentence.to_owned())),
                "{said}"
            );
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
            ("3:30 in the afternoon", "15:30"),
            ("15:30 in the afternoon", "15:30"),
            ("9 in the evening", "21:00"),
            ("9:30 in the morning", "09:30"),
            ("10 at night", "22:00"),
        ] {
            assert_eq!(
                read_time(said).map(spoken_time),
                Ok(meant.to_owned()),
                "{said}"
            );
        }
        for wrong in [
            "",
            "15",
            "25:00",
            "13pm",
            "half past three",
            "3:7",
            "0am",
            "15:30 or 16:00",
            "15:30-16:30",
            "15:30:20",
        ] {
            assert_eq!(read_time(wrong), Err(Unclear::Unknown), "{wrong}");
        }
        assert_eq!(
            read_time("15:30 in the morning"),
            Err(Unclear::Two(
                "15:30 is not in the morning; which time is meant?".to_owned()
            ))
        );
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
