//! Entries of a calendar, as far as the book can keep them.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

use super::lines::{self, Component, Line};
use super::zones::{Zones, on_clock};
use super::{Booked, CODE, Entry, Read, Refused, THERAPIST, Trouble, UTC, What};
use crate::appointment::EntryKey;
use crate::{code, tools};

/// More entries than a calendar of a business has in years.
const MOST_ENTRIES: usize = 100_000;
/// Longest run of closed days in one entry.
const MOST_CLOSED_DAYS: i32 = 366;

/// The properties of an entry that are kept, or that do not matter to a book.
const KEPT: [&str; 16] = [
    "UID",
    "RECURRENCE-ID",
    "SEQUENCE",
    "DTSTART",
    "DTEND",
    "DURATION",
    "SUMMARY",
    "CONTACT",
    "STATUS",
    "TRANSP",
    THERAPIST,
    CODE,
    "DTSTAMP",
    "CREATED",
    "LAST-MODIFIED",
    "LOCATION",
];

/// A file at work.
struct Reader<'a> {
    zones: Zones,
    venue: &'a TimeZone,
    /// Where the calendar says that times without a zone are.
    floating: Option<(usize, String)>,
    /// The whole calendar calls off.
    cancels: bool,
    left_out: BTreeMap<String, usize>,
}

/// Reads a calendar for a business whose clock is `business`.
///
/// # Errors
/// What cannot be understood, entry by entry.
pub(crate) fn read(text: &str, venue: &TimeZone) -> Result<Read, Refused> {
    let calendars = lines::read(text.trim_start_matches('\u{feff}'))?;
    let (mut entries, mut troubles) = (Vec::new(), Vec::new());
    let mut left_out = BTreeMap::new();
    let mut count = 0;
    for calendar in &calendars {
        let mut reader = Reader::of(calendar, venue)?;
        for part in &calendar.parts {
            match part.name.as_str() {
                "VEVENT" => {
                    count += 1;
                    match reader.entry(part) {
                        Ok(entry) => entries.push(entry),
                        Err(trouble) => troubles.push(Trouble {
                            entry: Some(label(part)),
                            ..trouble
                        }),
                    }
                }
                "VTIMEZONE" => {}
                "VTODO" | "VJOURNAL" => reader.leave_out(&part.name),
                other => troubles.push(Trouble::new(
                    part.number,
                    format!("begins {other}, which the book does not know; take it out"),
                )),
            }
        }
        for (name, times) in reader.left_out {
            *left_out.entry(name).or_default() += times;
        }
    }
    if count == 0 && troubles.is_empty() {
        troubles.push(Trouble::new(
            1,
            "begins a calendar without entries (VEVENT)",
        ));
    }
    if count > MOST_ENTRIES {
        troubles.push(Trouble::new(
            1,
            format!("begins {count} entries; split the file, {MOST_ENTRIES} each"),
        ));
    }
    troubles.extend(doubled(&entries));
    if troubles.is_empty() {
        return Ok(Read { entries, left_out });
    }
    troubles.sort_by_key(|trouble| trouble.line);
    Err(Refused {
        entries: count,
        troubles,
    })
}

/// Entries that are known by what another one is known by.
fn doubled(entries: &[Entry]) -> Vec<Trouble> {
    let mut seen = HashMap::new();
    let mut found = Vec::new();
    for entry in entries {
        if let Some(first) = seen.insert(&entry.key, entry.line) {
            found.push(entry.trouble(format!(
                "has the UID and RECURRENCE-ID of the entry at line {first}; leave one of them"
            )));
        }
    }
    found
}

/// What an entry calls itself.
fn label(event: &Component) -> String {
    let named = |name: &str| {
        let line = event.lines.iter().find(|line| line.name == name)?;
        line.text()
    };
    named("SUMMARY")
        .or_else(|| named("UID"))
        .unwrap_or_default()
}

impl<'a> Reader<'a> {
    fn of(calendar: &Component, venue: &'a TimeZone) -> Result<Self, Trouble> {
        let method = calendar.line("METHOD")?;
        let cancels = match method.map(|line| (line, line.value.trim().to_ascii_uppercase())) {
            None => false,
            Some((line, method)) => match method.as_str() {
                "PUBLISH" | "REQUEST" => false,
                "CANCEL" => true,
                _ => {
                    return Err(line.trouble(format!(
                        "is of METHOD:{method}, an answer to somebody; export the calendar itself"
                    )));
                }
            },
        };
        if let Some(line) = calendar.line("CALSCALE")?
            && !line.value.trim().eq_ignore_ascii_case("GREGORIAN")
        {
            return Err(line.trouble("counts days by another calendar; write them GREGORIAN"));
        }
        let floating = calendar.line("X-WR-TIMEZONE")?;
        Ok(Self {
            zones: Zones::of(calendar),
            venue,
            floating: floating.map(|line| (line.number, line.value.trim().to_owned())),
            cancels,
            left_out: BTreeMap::new(),
        })
    }

    fn leave_out(&mut self, name: &str) {
        *self.left_out.entry(name.to_owned()).or_default() += 1;
    }

    fn entry(&mut self, event: &Component) -> Result<Entry, Trouble> {
        let missing = |what: &str| Trouble::new(event.number, format!("has no {what}; add one"));
        let text = |name: &str| -> Result<Option<String>, Trouble> {
            Ok(event.line(name)?.and_then(Line::text))
        };
        for line in &event.lines {
            match line.name.as_str() {
                "RRULE" | "RDATE" | "EXDATE" | "EXRULE" => {
                    return Err(line.trouble(format!(
                        "repeats ({}); write every appointment as an entry of its own, a holiday of every year under closed of the house",
                        line.name
                    )));
                }
                name if KEPT.contains(&name) || name.starts_with("X-") => {}
                name => self.leave_out(name),
            }
        }
        for part in &event.parts {
            self.leave_out(&part.name);
        }
        let key = EntryKey {
            uid: text("UID")?.ok_or_else(|| missing("UID"))?,
            recurrence: self.recurrence(event)?,
        };
        let sequence =
            match event.line("SEQUENCE")? {
                Some(line) => Some(line.value.trim().parse().map_err(|_| {
                    line.trouble("has a SEQUENCE that is no number; write SEQUENCE:0")
                })?),
                None => None,
            };
        let (stands, confirmed) = match event.line("STATUS")? {
            None => (true, false),
            Some(line) => match line.value.trim().to_ascii_uppercase().as_str() {
                "CONFIRMED" => (true, true),
                "CANCELLED" => (false, false),
                other => {
                    return Err(line.trouble(format!(
                        "has STATUS:{other}, which the book does not know; write CONFIRMED, or leave the entry out"
                    )));
                }
            },
        };
        let what = if stands && !self.cancels {
            let start = event.line("DTSTART")?.ok_or_else(|| missing("DTSTART"))?;
            if let Some(line) = event.line("TRANSP")?
                && line.value.trim().eq_ignore_ascii_case("TRANSPARENT")
            {
                return Err(line.trouble(
                    "takes no time (TRANSP:TRANSPARENT); write OPAQUE if it does, or leave the entry out",
                ));
            }
            match date(start)? {
                Some(from) => self.closed(event, from)?,
                None => self.booked(event, start, confirmed)?,
            }
        } else {
            What::Cancelled
        };
        Ok(Entry {
            line: event.number,
            key,
            sequence,
            label: label(event),
            what,
        })
    }

    /// Which one of a series it is, alike however it is written.
    fn recurrence(&self, event: &Component) -> Result<Option<String>, Trouble> {
        let Some(line) = event.line("RECURRENCE-ID")? else {
            return Ok(None);
        };
        if line.param("RANGE").is_some() {
            return Err(line.trouble(
                "stands for all that follow (RANGE); write every appointment as an entry of its own",
            ));
        }
        Ok(Some(match date(line)? {
            Some(date) => date.strftime("%Y%m%d").to_string(),
            None => self.instant(line)?.strftime(UTC).to_string(),
        }))
    }

    fn closed(&self, event: &Component, from: Date) -> Result<What, Trouble> {
        let to = match (event.line("DTEND")?, event.line("DURATION")?) {
            (Some(_), Some(line)) => return Err(line.trouble(TWO_ENDS)),
            (Some(line), None) => date(line)?.ok_or_else(|| {
                line.trouble("begins with a day and ends with a time; write both as days")
            })?,
            (None, Some(line)) => {
                let (days, rest) = duration(line)?;
                if !rest.is_zero() {
                    return Err(line
                        .trouble("begins with a day and lasts hours; write whole days, like P3D"));
                }
                from.checked_add(days)
                    .map_err(|_| line.trouble("is beyond the calendar"))?
            }
            (None, None) => from
                .tomorrow()
                .map_err(|_| Trouble::new(event.number, "is beyond the calendar"))?,
        };
        let days = from.until(to).map_or(0, |span| span.get_days());
        if !(1..=MOST_CLOSED_DAYS).contains(&days) {
            return Err(Trouble::new(
                event.number,
                format!(
                    "lasts {days} days; DTEND is the first day after it, and an entry closes 1 to {MOST_CLOSED_DAYS} days"
                ),
            ));
        }
        let name = event.line("SUMMARY")?.and_then(Line::text);
        Ok(What::Closed {
            from,
            to,
            name: name.unwrap_or_else(|| "closed".to_owned()),
        })
    }

    fn booked(&self, event: &Component, start: &Line, confirmed: bool) -> Result<What, Trouble> {
        let begins = self.instant(start)?;
        let ends = match (event.line("DTEND")?, event.line("DURATION")?) {
            (Some(_), Some(line)) => return Err(line.trouble(TWO_ENDS)),
            (Some(line), None) => {
                if date(line)?.is_some() {
                    return Err(
                        line.trouble("begins with a time and ends with a day; write both as times")
                    );
                }
                Some((line, self.instant(line)?))
            }
            (None, Some(line)) => Some((line, self.after(start, begins, line)?)),
            (None, None) => None,
        };
        if let Some((line, ends)) = ends
            && (ends <= begins || ends.duration_since(begins) > SignedDuration::from_hours(12))
        {
            return Err(
                line.trouble("lasts no time or more than 12 hours; an appointment lasts up to 12")
            );
        }
        let text = |name: &str| -> Result<Option<String>, Trouble> {
            Ok(event.line(name)?.and_then(Line::text))
        };
        let number = match event.line("CONTACT")?.map(|line| (line, line.text())) {
            Some((line, Some(said))) => Some(tools::read_number(&said).ok_or_else(|| {
                line.trouble(format!(
                    "has the CONTACT {said:?}, which is no phone number; write it like +4930123456"
                ))
            })?),
            _ => None,
        };
        let code = match event.line(CODE)?.map(|line| (line, line.text())) {
            Some((line, Some(said))) => Some(code::read(&said).ok_or_else(|| {
                line.trouble(format!(
                    "has the code {said:?}, which is none; take the line out for a new one"
                ))
            })?),
            _ => None,
        };
        Ok(What::Booked(Box::new(Booked {
            summary: text("SUMMARY")?,
            number,
            begins,
            ends: ends.map(|(_, ends)| ends),
            therapist: text(THERAPIST)?,
            location: text("LOCATION")?,
            code,
            confirmed,
        })))
    }

    /// The end of something that lasts: days are those of the clock, hours are exact.
    fn after(&self, start: &Line, begins: Timestamp, line: &Line) -> Result<Timestamp, Trouble> {
        let (days, rest) = duration(line)?;
        let beyond = |_| line.trouble("is beyond the calendar");
        let day_after = if days.is_zero() {
            begins
        } else {
            let clock = clock(start)?.0.checked_add(days).map_err(beyond)?;
            self.at(start, clock)?
        };
        day_after.checked_add(rest).map_err(beyond)
    }

    /// An instant: in UTC, in the zone of `TZID`, or, without either, on the clock of the business.
    fn instant(&self, line: &Line) -> Result<Timestamp, Trouble> {
        self.at(line, clock(line)?.0)
    }

    fn at(&self, line: &Line, at: DateTime) -> Result<Timestamp, Trouble> {
        let (_, is_utc) = clock(line)?;
        let trouble = |why: String| line.trouble(why);
        match (line.param("TZID"), is_utc) {
            (Some(zone), true) => Err(line.trouble(format!(
                "has a time in UTC (Z) and in {zone}; leave one of the two"
            ))),
            (None, true) => on_clock(&TimeZone::UTC, at).map_err(trouble),
            (Some(zone), false) => self.zones.instant(zone.trim(), at).map_err(trouble),
            (None, false) => {
                let here = on_clock(self.venue, at).map_err(trouble)?;
                match &self.floating {
                    Some((said, zone)) if self.zones.instant(zone, at) != Ok(here) => {
                        Err(line.trouble(format!(
                            "has a time without a zone, and line {said} says {zone}, whose clock is not the house's; write TZID={zone}, or the time in UTC"
                        )))
                    }
                    _ => Ok(here),
                }
            }
        }
    }
}

const TWO_ENDS: &str = "says DTEND and DURATION; leave one of the two";

/// A day, if it is one rather than a time.
fn date(line: &Line) -> Result<Option<Date>, Trouble> {
    let text = line.value.trim();
    let is_date = text.len() == 8;
    match line.param("VALUE").map(str::to_ascii_uppercase).as_deref() {
        Some("DATE") if !is_date => {
            return Err(line.trouble(format!(
                "has VALUE=DATE and {text:?}, which is no day; write it like 20261123"
            )));
        }
        Some("DATE-TIME") if is_date => {
            return Err(line.trouble(format!(
                "has VALUE=DATE-TIME and {text:?}, which is a day; leave one of the two"
            )));
        }
        Some("DATE" | "DATE-TIME") | None => {}
        Some(other) => {
            return Err(line.trouble(format!("has VALUE={other}; write a time or a day")));
        }
    }
    if !is_date {
        return Ok(None);
    }
    let date = Date::strptime("%Y%m%d", text);
    date.map(Some).map_err(|_| {
        line.trouble(format!(
            "has the day {text:?}, which is not one; write it like 20261123"
        ))
    })
}

/// A time on a clock, and whether it is in UTC.
fn clock(line: &Line) -> Result<(DateTime, bool), Trouble> {
    let text = line.value.trim();
    let (clock, is_utc) = match text.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, true),
        None => (text, false),
    };
    let read = DateTime::strptime("%Y%m%dT%H%M%S", clock);
    read.ok()
        .filter(|_| clock.len() == 15)
        .map(|clock| (clock, is_utc))
        .ok_or_else(|| {
            line.trouble(format!(
                "has the time {text:?}, which is not one; write it like 20261123T143000Z"
            ))
        })
}

/// A duration: its days, and the exact rest of it.
fn duration(line: &Line) -> Result<(Span, SignedDuration), Trouble> {
    let text = line.value.trim().to_ascii_uppercase();
    let trouble = || {
        line.trouble(format!(
            "has the duration {text:?}, which is not one; write it like PT1H30M, P3D or P1W"
        ))
    };
    // The standard knows no months, no fractions, and nothing beside weeks.
    let (day_part, time_part) = text.split_once('T').unwrap_or((&text, ""));
    let alone = !day_part.contains('W') || (!day_part.contains('D') && time_part.is_empty());
    if !alone || day_part.contains(['M', 'Y', '.', ',']) || time_part.contains(['.', ',']) {
        return Err(trouble());
    }
    let span: Span = text
        .trim_start_matches('+')
        .parse()
        .map_err(|_| trouble())?;
    let days = span.get_weeks() * 7 + span.get_days();
    let seconds = i64::from(span.get_hours()) * 3600 + span.get_minutes() * 60 + span.get_seconds();
    if days < 0 || seconds < 0 || (days == 0 && seconds == 0) {
        return Err(trouble());
    }
    let days = Span::new().try_days(days).map_err(|_| trouble())?;
    Ok((days, SignedDuration::from_secs(seconds)))
}
