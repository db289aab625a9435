//! iCalendar (RFC 5545), both ways: appointments as entries with a time, closed days as entries of whole days.
//!
//! Written and read alike: `SUMMARY` is `service: name`, `LOCATION` the room, `CONTACT` the phone number, and
//! `X-SWITCHBOARD-THERAPIST`, `X-SWITCHBOARD-CODE` what the standard has no word for. What an entry does not say stays
//! as it is in the book; what it says and the book cannot keep is refused, with its line and the way to mend it.

mod lines;
mod read;
mod zones;

use std::collections::BTreeMap;
use std::fmt;

use icalendar::{Calendar, Component as _, Event, EventLike as _, Property};
use jiff::Timestamp;
use jiff::civil::Date;

use super::appointment::{Appointment, EntryKey, State};
use super::venue::Venue;
pub(crate) use read::read;

const THERAPIST: &str = "X-SWITCHBOARD-THERAPIST";
const CODE: &str = "X-SWITCHBOARD-CODE";
/// An instant as the standard writes it.
const UTC: &str = "%Y%m%dT%H%M%SZ";
/// Refusals that are told; the rest is counted.
const MOST_TOLD: usize = 10;

/// What an import changed. Every entry with a time is counted once in `new`, `changed`, `unchanged` or `removed`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Imported {
    /// The file was a business, which took the place of the one before.
    #[serde(rename = "house")]
    pub venue: bool,
    /// Appointments that the book did not have.
    pub new: usize,
    /// Appointments that the book had otherwise.
    pub changed: usize,
    /// Entries that the book had as the file has them.
    pub unchanged: usize,
    /// Appointments called off.
    pub removed: usize,
    /// Entries refused: none, as a file is taken in whole or not at all.
    pub refused: usize,
    /// Closed days added.
    pub closed_days: usize,
    /// Days that are open again.
    pub opened_days: usize,
    /// What the book has no place for, by property, and how often it stood there.
    pub left_out: BTreeMap<String, usize>,
}

/// What is wrong with a calendar, at a line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Trouble {
    /// The line in the file, counted from 1.
    pub line: usize,
    /// The entry's summary or `UID`.
    pub entry: Option<String>,
    /// What is wrong, with the way to mend it.
    pub why: String,
}

impl Trouble {
    fn new(line: usize, why: impl Into<String>) -> Self {
        Self {
            line,
            entry: None,
            why: why.into(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Some(entry) => write!(out, "line {}: the entry {entry:?} {}", self.line, self.why),
            None => write!(out, "line {} {}", self.line, self.why),
        }
    }
}

/// Why nothing of a calendar was taken in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// Entries in the file.
    pub entries: usize,
    /// What is wrong, at most one of an entry.
    pub troubles: Vec<Trouble>,
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.troubles.len();
        if count > 1 {
            write!(out, "{count} of {} entries are refused; ", self.entries)?;
        }
        for trouble in self.troubles.iter().take(MOST_TOLD) {
            write!(out, "{trouble}; ")?;
        }
        if count > MOST_TOLD {
            write!(out, "and {} more; ", count - MOST_TOLD)?;
        }
        out.write_str("nothing was imported")
    }
}

impl std::error::Error for Refused {}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        Self {
            entries: 0,
            troubles: vec![trouble],
        }
    }
}

/// A calendar that was understood.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) entries: Vec<Entry>,
    pub(crate) left_out: BTreeMap<String, usize>,
}

/// An entry of a calendar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Where it begins in the file.
    pub(crate) line: usize,
    pub(crate) key: EntryKey,
    /// How often its calendar changed it, if it says so.
    pub(crate) sequence: Option<u32>,
    /// What it calls itself.
    pub(crate) label: String,
    pub(crate) what: What,
}

impl Entry {
    /// What is wrong with it.
    pub(crate) fn trouble(&self, why: impl Into<String>) -> Trouble {
        Trouble {
            line: self.line,
            entry: Some(self.label.clone()),
            why: why.into(),
        }
    }
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// The business is closed, from a day up to another one.
    Closed { from: Date, to: Date, name: String },
    /// It was called off.
    Cancelled,
    /// An appointment stands.
    Booked(Box<Booked>),
}

/// An appointment as a calendar has it; `None` is what it does not say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Booked {
    /// `service: name`.
    pub(crate) summary: Option<String>,
    pub(crate) number: Option<String>,
    pub(crate) begins: Timestamp,
    pub(crate) ends: Option<Timestamp>,
    pub(crate) therapist: Option<String>,
    /// A room of the business, or an address.
    pub(crate) location: Option<String>,
    pub(crate) code: Option<String>,
    /// It says that it stands.
    pub(crate) confirmed: bool,
}

/// Whether a file is a calendar rather than a business.
pub(crate) fn is_calendar(text: &str) -> bool {
    text.trim_start_matches('\u{feff}')
        .trim_start()
        .to_ascii_uppercase()
        .starts_with("BEGIN:VCALENDAR")
}

/// The value of a property that the writer does not know to be a text.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace(';', "\\;")
        .replace(',', "\\,")
}

/// Writes appointments as a calendar.
pub(crate) fn write(appointments: &[Appointment], venue: &Venue, now: Timestamp) -> String {
    let stamp = now.strftime(UTC).to_string();
    let mut calendar = Calendar::empty();
    for (name, value) in [
        ("VERSION", "2.0"),
        ("PRODID", "-//switchboard//appointment book//EN"),
        ("CALSCALE", "GREGORIAN"),
    ] {
        calendar.append_property((name, value));
    }
    calendar.name(&venue.name);
    for appointment in appointments {
        let mut event = Event::new();
        event.uid(&appointment.uid);
        if let Some(recurrence) = &appointment.recurrence {
            let mut id = Property::new("RECURRENCE-ID", recurrence);
            if recurrence.len() == 8 {
                id.add_parameter("VALUE", "DATE");
            }
            event.append_property(id);
        }
        event.add_property("SEQUENCE", appointment.sequence.to_string());
        event.add_property("DTSTAMP", &stamp);
        event.add_property("DTSTART", appointment.begins.strftime(UTC).to_string());
        event.add_property("DTEND", appointment.ends.strftime(UTC).to_string());
        event.summary(&format!("{}: {}", appointment.service, appointment.name));
        event.location(&appointment.room);
        if !appointment.number.is_empty() {
            event.add_property("CONTACT", &appointment.number);
        }
        event.add_property(THERAPIST, escaped(&appointment.therapist));
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
