//! iCalendar (RFC 5545), both ways: appointments as entries with a time, closed days as entries of whole days.
//!
//! Written and read alike: `SUMMARY` is `service: name`, `LOCATION` the room, `CONTACT` the phone number, and
//! `X-SWITCHBOARD-THERAPIST`, `X-SWITCHBOARD-CODE` what the standard has no word for. An entry that names no therapist,
//! room or code gets one that is free.

use icalendar::parser::{Component as Parsed, Property, read_calendar, unfold};
use icalendar::{Calendar, Component as _, Event, EventLike as _};
use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::appointment::{Appointment, State};
use super::premises::{Premises, Service};

const THERAPIST: &str = "X-SWITCHBOARD-THERAPIST";
const CODE: &str = "X-SWITCHBOARD-CODE";
/// An instant as the standard writes it.
const UTC: &str = "%Y%m%dT%H%M%SZ";
/// More entries than a calendar of a house has in years.
const MOST_ENTRIES: usize = 100_000;

/// What an import changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Imported {
    /// The file was a house, which took the place of the one before.
    pub house: bool,
    /// Appointments written, new or changed.
    pub appointments: usize,
    /// Appointments called off.
    pub cancelled: usize,
    /// Closed days added.
    pub closed_days: usize,
}

/// An entry of a calendar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// The house is closed, from a day up to another one.
    Closed { from: Date, to: Date, name: String },
    /// An appointment was called off.
    Cancelled { uid: String },
    /// An appointment stands.
    Booked(Box<Booked>),
}

/// An appointment as a calendar has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Booked {
    pub(crate) uid: String,
    pub(crate) service: Service,
    pub(crate) name: String,
    pub(crate) number: String,
    pub(crate) begins: Timestamp,
    pub(crate) ends: Timestamp,
    pub(crate) therapist: Option<String>,
    pub(crate) room: Option<String>,
    pub(crate) code: Option<String>,
}

/// Whether a file is a calendar rather than a house.
pub(crate) fn is_calendar(text: &str) -> bool {
    text.trim_start_matches('\u{feff}')
        .trim_start()
        .to_ascii_uppercase()
        .starts_with("BEGIN:VCALENDAR")
}

/// Writes appointments as a calendar.
pub(crate) fn write(appointments: &[Appointment], premises: &Premises, now: Timestamp) -> String {
    let stamp = now.strftime(UTC).to_string();
    let mut calendar = Calendar::empty();
    for (name, value) in [
        ("VERSION", "2.0"),
        ("PRODID", "-//switchboard//appointment book//EN"),
        ("CALSCALE", "GREGORIAN"),
    ] {
        calendar.append_property((name, value));
    }
    calendar.name(&premises.name);
    for appointment in appointments {
        let mut event = Event::new();
        event.uid(&appointment.uid);
        event.add_property("DTSTAMP", &stamp);
        event.add_property("DTSTART", appointment.begins.strftime(UTC).to_string());
        event.add_property("DTEND", appointment.ends.strftime(UTC).to_string());
        event.summary(&format!("{}: {}", appointment.service, appointment.name));
        event.location(&appointment.room);
        if !appointment.number.is_empty() {
            event.add_property("CONTACT", &appointment.number);
        }
        event.add_property(THERAPIST, &appointment.therapist);
        event.add_property(CODE, &appointment.code);
        let status = if appointment.state == State::Cancelled {
            "CANCELLED"
        } else {
            "CONFIRMED"
        };
        event.add_property("STATUS", status);
        calendar.push(event.done());
    }
    calendar.done().to_string()
}

/// Reads a calendar for a house.
///
/// # Errors
/// A sentence: what cannot be understood, in which entry.
pub(crate) fn read(text: &str, premises: &Premises) -> Result<Vec<Entry>, String> {
    let unfolded = unfold(text.trim_start_matches('\u{feff}').trim_start());
    let calendar = read_calendar(&unfolded)
        .map_err(|error| format!("is not a calendar: {}", first_line(&error)))?;
    let events: Vec<_> = calendar
        .components
        .iter()
        .filter(|component| component.name == "VEVENT")
        .collect();
    if events.is_empty() {
        return Err("has no entries (VEVENT)".to_owned());
    }
    if events.len() > MOST_ENTRIES {
        return Err(format!(
            "has {} entries; split it into files of {MOST_ENTRIES}",
            events.len()
        ));
    }
    let mut entries = Vec::with_capacity(events.len());
    for event in events {
        let entry = entry(event, premises);
        entries.push(entry.map_err(|trouble| {
            let summary = value(event, "SUMMARY")
                .or_else(|| value(event, "UID"))
                .unwrap_or_default();
            format!("has the entry {summary:?}, which {trouble}")
        })?);
    }
    Ok(entries)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn value(event: &Parsed<'_>, name: &str) -> Option<String> {
    let text = event.find_prop(name)?.val.as_str().trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn entry(event: &Parsed<'_>, premises: &Premises) -> Result<Entry, String> {
    if event.find_prop("RRULE").is_some() || event.find_prop("RDATE").is_some() {
        return Err("repeats; write every appointment as an entry of its own".to_owned());
    }
    let start = event.find_prop("DTSTART").ok_or("has no DTSTART")?;
    let summary = value(event, "SUMMARY").unwrap_or_default();
    if let Some(from) = whole_day(start) {
        let to = match event.find_prop("DTEND") {
            Some(end) => whole_day(end).ok_or("begins with a day and ends with a time")?,
            None => from.tomorrow().map_err(|error| error.to_string())?,
        };
        let name = if summary.is_empty() {
            "closed".to_owned()
        } else {
            summary
        };
        return Ok(Entry::Closed { from, to, name });
    }
    let uid = value(event, "UID").ok_or("has no UID")?;
    if value(event, "STATUS").is_some_and(|status| status.eq_ignore_ascii_case("CANCELLED")) {
        return Ok(Entry::Cancelled { uid });
    }
    let (service, name) = service_and_name(&summary, premises)?;
    let begins = instant(start, premises.zone())?;
    let ends = match event.find_prop("DTEND") {
        Some(end) => instant(end, premises.zone())?,
        None => begins
            .checked_add(SignedDuration::from_mins(service.minutes.into()))
            .map_err(|error| error.to_string())?,
    };
    if ends <= begins || ends.duration_since(begins) > SignedDuration::from_hours(12) {
        return Err("lasts no time or more than 12 hours".to_owned());
    }
    let therapist = match value(event, THERAPIST) {
        Some(name) => Some(
            premises
                .therapist(&name)
                .map(|known| known.name.clone())
                .ok_or_else(|| {
                    format!("names the therapist {name:?}, who is not of the house; add them to it")
                })?,
        ),
        None => None,
    };
    // Calendars of others put an address there.
    let room = value(event, "LOCATION")
        .and_then(|name| {
            premises
                .rooms
                .iter()
                .find(|room| room.name.eq_ignore_ascii_case(&name))
        })
        .map(|room| room.name.clone());
    Ok(Entry::Booked(Box::new(Booked {
        uid,
        service: service.clone(),
        name,
        number: value(event, "CONTACT")
            .and_then(|number| super::tools::read_number(&number))
            .unwrap_or_default(),
        begins,
        ends,
        therapist,
        room,
        code: value(event, CODE).and_then(|code| super::code::read(&code)),
    })))
}

fn service_and_name<'p>(
    summary: &str,
    premises: &'p Premises,
) -> Result<(&'p Service, String), String> {
    let (said, name) = summary.split_once(':').unwrap_or((summary, "unknown"));
    let known = premises.service(said.trim());
    let service = known.ok_or("names no service of the house; write SUMMARY:service: name")?;
    Ok((service, name.trim().to_owned()))
}

fn whole_day(property: &Property<'_>) -> Option<Date> {
    let text = property.val.as_str();
    (text.len() == 8).then(|| Date::strptime("%Y%m%d", text).ok())?
}

/// An instant: in UTC, in the zone of `TZID`, or, without either, on the clock of the house.
fn instant(property: &Property<'_>, house: &TimeZone) -> Result<Timestamp, String> {
    let text = property.val.as_str();
    let trouble = || format!("has the time {text:?}, which is not one");
    let (clock, is_utc) = match text.strip_suffix('Z') {
        Some(clock) => (clock, true),
        None => (text, false),
    };
    let clock = DateTime::strptime("%Y%m%dT%H%M%S", clock).map_err(|_| trouble())?;
    let zone = property
        .params
        .iter()
        .find(|param| param.key == "TZID")
        .and_then(|param| param.val.as_ref());
    let zone = match zone {
        _ if is_utc => TimeZone::UTC,
        Some(name) => TimeZone::get(name.as_str().trim_matches('"')).map_err(|_| {
            format!(
                "has the time zone {:?}, which is not in the IANA database",
                name.as_str()
            )
        })?,
        None => house.clone(),
    };
    // Of a time the clock shows twice the first, of one it skips the instant it jumps to, as the standard says.
    zone.to_ambiguous_timestamp(clock)
        .compatible()
        .map_err(|_| trouble())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(lines: &str) -> String {
        format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n{}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
            lines.replace('\n', "\r\n")
        )
    }

    #[test]
    fn what_is_written_is_read_again() {
        let house = Premises::first().unwrap();
        let appointment = Appointment {
            id: 1,
            uid: "1@switchboard".to_owned(),
            code: "K7M4".to_owned(),
            service: "Hot stone massage".to_owned(),
            price: house.services[1].price,
            therapist: "Elena".to_owned(),
            room: "Stone room".to_owned(),
            begins: "2026-11-23T14:30:00Z".parse().unwrap(),
            ends: "2026-11-23T15:30:00Z".parse().unwrap(),
            name: "Anna Łucja; Weber, geb. Groß\\Klein, of a house whose name is so long that the line is folded".to_owned(),
            number: "+15550142".to_owned(),
            caller: None,
            state: State::Booked,
        };
        let cancelled = Appointment {
            uid: "2@switchboard".to_owned(),
            state: State::Cancelled,
            ..appointment.clone()
        };
        let text = write(
            &[appointment.clone(), cancelled],
            &house,
            Timestamp::UNIX_EPOCH,
        );
        assert!(
            is_calendar(&text) && text.lines().all(|line| line.len() <= 75),
            "{text}"
        );
        let entries = read(&text, &house).unwrap();
        let Entry::Booked(booked) = &entries[0] else {
            panic!("{entries:?}")
        };
        assert_eq!(booked.name, appointment.name);
        assert_eq!(
            (booked.begins, booked.ends),
            (appointment.begins, appointment.ends)
        );
        assert_eq!(
            (booked.therapist.as_deref(), booked.room.as_deref()),
            (Some("Elena"), Some("Stone room"))
        );
        assert_eq!(
            (booked.code.as_deref(), booked.number.as_str()),
            (Some("K7M4"), "+15550142")
        );
        assert_eq!(
            entries[1],
            Entry::Cancelled {
                uid: "2@switchboard".to_owned()
            }
        );
    }

    #[test]
    fn times_have_zones_and_whole_days_are_closed() {
        let house = Premises::first().unwrap();
        for (start, meant) in [
            ("DTSTART:20261123T143000Z", "2026-11-23T14:30:00Z"),
            ("DTSTART:20261123T153000", "2026-11-23T14:30:00Z"),
            (
                "DTSTART;TZID=America/New_York:20261123T093000",
                "2026-11-23T14:30:00Z",
            ),
            (
                "DTSTART;TZID=\"Europe/Berlin\":20270328T023000",
                "2027-03-28T01:30:00Z",
            ),
        ] {
            let entries = read(
                &calendar(&format!("UID:1\nSUMMARY:Facial: Bo\n{start}")),
                &house,
            )
            .unwrap();
            let Entry::Booked(booked) = &entries[0] else {
                panic!("{entries:?}")
            };
            assert_eq!(booked.begins.to_string(), meant, "{start}");
            assert_eq!(booked.ends.duration_since(booked.begins).as_mins(), 45);
        }
        let days = read(
            &calendar(
                "UID:1\nSUMMARY:Easter\nDTSTART;VALUE=DATE:20270328\nDTEND;VALUE=DATE:20270330",
            ),
            &house,
        );
        let (from, to) = ("2027-03-28".parse().unwrap(), "2027-03-30".parse().unwrap());
        assert_eq!(
            days.unwrap(),
            [Entry::Closed {
                from,
                to,
                name: "Easter".to_owned()
            }]
        );
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        let house = Premises::first().unwrap();
        for (lines, words) in [
            ("UID:1\nSUMMARY:Facial: Bo", "has no DTSTART"),
            (
                "UID:1\nSUMMARY:Haircut: Bo\nDTSTART:20261123T143000Z",
                "\"Haircut: Bo\", which names no service",
            ),
            (
                "UID:1\nSUMMARY:Facial: Bo\nDTSTART:20261123T1430",
                "is not one",
            ),
            (
                "UID:1\nSUMMARY:Facial: Bo\nDTSTART:20261123T143000Z\nRRULE:FREQ=DAILY",
                "repeats",
            ),
            (
                "UID:1\nSUMMARY:Facial: Bo\nDTSTART;TZID=Mars/Base:20261123T143000",
                "time zone",
            ),
            (
                "UID:1\nSUMMARY:Facial: Bo\nDTSTART:20261123T143000Z\nDTEND:20261123T133000Z",
                "lasts no time",
            ),
            (
                "UID:1\nSUMMARY:Facial: Bo\nDTSTART:20261123T143000Z\nX-SWITCHBOARD-THERAPIST:Zoe",
                "Zoe",
            ),
            ("SUMMARY:Facial: Bo\nDTSTART:20261123T143000Z", "has no UID"),
        ] {
            let error = read(&calendar(lines), &house).unwrap_err();
            assert!(error.contains(words), "{lines}: {error}");
        }
        assert!(read("BEGIN:VCALENDAR\r\nnonsense", &house).is_err());
        assert!(!is_calendar("name = \"BEGIN:VCALENDAR\""));
    }
}
