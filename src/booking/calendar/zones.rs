//! Time zones of a calendar: by a name of the IANA database or of Windows, or as the file defines them itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use windows_timezones::WindowsTimezone;

use super::lines::{Component, Line};

/// The zones that a calendar defines (`VTIMEZONE`), by their `TZID`.
#[derive(Debug, Default)]
pub(super) struct Zones(BTreeMap<String, Result<Own, String>>);

/// A zone of the file's own.
#[derive(Debug)]
struct Own {
    zone: TimeZone,
    /// Its rules hold from then on.
    since: DateTime,
}

impl Zones {
    pub(super) fn of(calendar: &Component) -> Self {
        let zones = calendar
            .parts
            .iter()
            .filter(|part| part.name == "VTIMEZONE");
        let read = |zone: &Component| {
            let name = zone.line("TZID").ok()??.value.trim().to_owned();
            Some((name, own(zone)))
        };
        Self(zones.filter_map(read).collect())
    }

    /// The instant of a time on the clock of a zone.
    ///
    /// Of a time the clock shows twice the first, of one it skips the instant it jumps to, as the standard says.
    pub(super) fn instant(&self, name: &str, at: DateTime) -> Result<Timestamp, String> {
        let own = self.0.get(name);
        let own = match own {
            Some(Ok(own)) if own.since <= at => Some(Ok(&own.zone)),
            Some(Ok(_)) => Some(Err("begins after that time".to_owned())),
            Some(Err(why)) => Some(Err(why.clone())),
            None => None,
        };
        match (known(name), own) {
            (Some(zone), Some(Ok(own))) => {
                let (one, other) = (on_clock(&zone, at)?, on_clock(own, at)?);
                if one == other {
                    return Ok(one);
                }
                Err(format!(
                    "is {one} in {name}, and {other} as the file defines that zone; write it in UTC"
                ))
            }
            (Some(zone), _) => on_clock(&zone, at),
            (None, Some(Ok(own))) => on_clock(own, at),
            (None, Some(Err(why))) => Err(format!(
                "has the time zone {name:?}, whose definition in the file {why}; write TZID=Europe/Berlin, say, or the time in UTC"
            )),
            (None, None) => Err(format!(
                "has the time zone {name:?}, which neither the file defines nor the IANA database or Windows has; \
                 write TZID=Europe/Berlin, say, or the time in UTC"
            )),
        }
    }
}

pub(super) fn on_clock(zone: &TimeZone, at: DateTime) -> Result<Timestamp, String> {
    let instant = zone.to_ambiguous_timestamp(at).compatible();
    instant.map_err(|_| "is beyond the calendar".to_owned())
}

fn known(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok().or_else(|| {
        let windows: WindowsTimezone = name.parse().ok()?;
        TimeZone::get(windows.tzdb_id()).ok()
    })
}

/// When a zone's clock changes, and to what.
struct Observance {
    is_daylight: bool,
    begins: DateTime,
    /// Seconds east of Greenwich.
    offset: i32,
    /// The month, week and day of the change, as POSIX writes them; without it, it happened once.
    rule: Option<String>,
}

/// A zone from its definition. What is understood is what is in use: rules of every year, or one offset for good.
fn own(zone: &Component) -> Result<Own, String> {
    let mut all = Vec::new();
    for part in &zone.parts {
        all.extend(observance(part)?);
    }
    all.sort_by_key(|one| one.begins);
    let last = |is_daylight: bool| {
        all.iter()
            .rev()
            .find(|one| one.rule.is_some() && one.is_daylight == is_daylight)
    };
    let (rules, since) = match (last(false), last(true), all.last()) {
        (Some(standard), Some(daylight), Some(latest)) if latest.rule.is_some() => {
            let change = |one: &Observance| {
                format!(
                    "{}/{}",
                    one.rule.as_deref().unwrap_or_default(),
                    one.begins.time().strftime("%H:%M:%S")
                )
            };
            let rules = format!(
                "STD{}DST{},{},{}",
                posix(standard.offset),
                posix(daylight.offset),
                change(daylight),
                change(standard)
            );
            (rules, standard.begins.max(daylight.begins))
        }
        (None, None, Some(only)) => (format!("STD{}", posix(only.offset)), only.begins),
        _ => return Err("has changes that are not of every year".to_owned()),
    };
    let zone = TimeZone::posix(&rules).map_err(|_| "is not understood".to_owned())?;
    Ok(Own { zone, since })
}

fn wanted<'c>(part: &'c Component, name: &str) -> Result<&'c Line, String> {
    let line = part.line(name).map_err(|trouble| trouble.why)?;
    line.ok_or_else(|| format!("has no {name} at line {}", part.number))
}

/// One change of the clock; `None` if it is of the past.
fn observance(part: &Component) -> Result<Option<Observance>, String> {
    if let Some(line) = part.lines.iter().find(|line| line.name == "RDATE") {
        return Err(format!("lists its changes at line {}", line.number));
    }
    let start = wanted(part, "DTSTART")?;
    let begins = DateTime::strptime("%Y%m%dT%H%M%S", start.value.trim())
        .map_err(|_| format!("has no time at line {}", start.number))?;
    let to = wanted(part, "TZOFFSETTO")?;
    let offset =
        offset(to.value.trim()).ok_or_else(|| format!("has no offset at line {}", to.number))?;
    let rule =
        match part.line("RRULE").map_err(|trouble| trouble.why)? {
            Some(line) if line.value.to_ascii_uppercase().contains("UNTIL=") => return Ok(None),
            Some(line) => Some(yearly(&line.value.to_ascii_uppercase()).ok_or_else(|| {
                format!("has a rule that is not understood at line {}", line.number)
            })?),
            None => None,
        };
    Ok(Some(Observance {
        is_daylight: part.name == "DAYLIGHT",
        begins,
        offset,
        rule,
    }))
}

/// `M3.5.0` of `FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU`.
fn yearly(rule: &str) -> Option<String> {
    let (mut month, mut week, mut day, mut days) = (None, None, None, None);
    for part in rule.split(';').filter(|part| !part.is_empty()) {
        match part.split_once('=')? {
            ("FREQ", "YEARLY") | ("INTERVAL", "1") | ("WKST", _) => {}
            ("BYMONTH", number) => {
                month = number.parse::<u8>().ok().filter(|m| (1..=12).contains(m))
            }
            ("BYDAY", said) => {
                let (ordinal, name) = said.split_at_checked(said.len().checked_sub(2)?)?;
                day = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"]
                    .iter()
                    .position(|known| *known == name);
                week = match ordinal {
                    "" => None,
                    "-1" => Some(5),
                    ordinal => Some(
                        ordinal
                            .parse::<u8>()
                            .ok()
                            .filter(|week| (1..=4).contains(week))?,
                    ),
                };
            }
            // Seven days of the month are one of its weeks.
            ("BYMONTHDAY", list) => {
                let list: Vec<u8> = list.split(',').filter_map(|day| day.parse().ok()).collect();
                let first = *list.first()?;
                let is_week = list.iter().copied().eq(first..=first.checked_add(6)?);
                days = Some((is_week && first % 7 == 1 && first <= 22).then_some(first / 7 + 1)?);
            }
            _ => return None,
        }
    }
    let week = match (week, days) {
        (Some(week), None) | (None, Some(week)) => week,
        _ => return None,
    };
    Some(format!("M{}.{week}.{}", month?, day?))
}

/// `+0130` or `-043000` in seconds.
fn offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let two = |at: usize| digits.get(at..at + 2)?.parse::<i32>().ok();
    let seconds = match digits.len() {
        4 => 0,
        6 => two(4)?,
        _ => return None,
    };
    Some(sign * (two(0)? * 3600 + two(2)? * 60 + seconds))
}

/// An offset as POSIX writes it: west of Greenwich is more.
fn posix(offset: i32) -> String {
    let (sign, seconds) = (if offset > 0 { "-" } else { "" }, offset.unsigned_abs());
    format!(
        "{sign}{}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}
