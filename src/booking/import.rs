//! A calendar's entries into the book: what an entry says is changed, what it does not say stays.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use super::appointment::{self, Appointment, EntryKey, Guest, State};
use super::calendar::{self, Booked, Entry, Imported, Refused, Trouble, What};
use super::free::{Place, Plan, Request};
use super::values::{ClosedDay, Price};
use super::venue::{Closed, Service, Venue};
use super::{BookError, code, desk, tools, venue_in};

/// An appointment as it is to stand.
struct Draft<'e> {
    entry: &'e Entry,
    known: Option<Appointment>,
    /// The code is one that the entry says.
    says_code: bool,
    service: String,
    price: Price,
    therapist: Option<String>,
    room: Option<String>,
    begins: Timestamp,
    ends: Timestamp,
    name: String,
    number: String,
    code: Option<String>,
    state: State,
    sequence: u32,
}

/// Takes a calendar in, whole or not at all: the caller of this function rolls back after an error.
pub(super) fn calendar(
    connection: &Connection,
    text: &str,
    now: Timestamp,
) -> Result<Imported, BookError> {
    let mut venue = venue_in(connection)?;
    let read = calendar::read(text, venue.zone())?;
    let mut imported = Imported {
        left_out: read.left_out,
        ..Imported::default()
    };
    let mut troubles = Vec::new();
    let mut drafts = Vec::new();
    let as_it_was = venue.clone();
    for entry in &read.entries {
        let done = match &entry.what {
            What::Cancelled => call_off(connection, &mut venue, entry, &mut imported, now)?,
            What::Closed { from, to, name } => {
                if appointment::of_entry(connection, &entry.key)?.is_empty() {
                    let days = from.series(jiff::Span::new().days(1));
                    let days: HashSet<_> = days.take_while(|day| day < to).collect();
                    close(&mut venue, &entry.key, days, name, &mut imported);
                    Ok(())
                } else {
                    Err(entry.trouble(
                        "is a whole day, and an appointment in the book; give it a UID of its own",
                    ))
                }
            }
            What::Booked(booked) => {
                let known = appointment::by_key(connection, &entry.key)?;
                let draft = draft(entry, booked, known, &venue, &mut imported, now);
                draft.map(|draft| drafts.push(draft))
            }
        };
        troubles.extend(done.err());
    }
    // What the file changes steps aside first: two appointments may have changed places.
    drafts.retain(|draft| {
        let same = draft.known.as_ref() == draft.settled().as_ref() && draft.known.is_some();
        imported.unchanged += usize::from(same);
        !same
    });
    for known in drafts.iter().filter_map(|draft| draft.known.as_ref()) {
        appointment::cancel(connection, known.id, now)?;
    }
    // Entries that name therapist and room are placed before those that take any free one.
    drafts.sort_by_key(|draft| draft.therapist.is_none() || draft.room.is_none());
    for draft in drafts {
        let is_known = draft.known.is_some();
        match write(connection, &venue, &draft, now)? {
            Ok(()) if is_known => imported.changed += 1,
            Ok(()) => imported.new += 1,
            Err(trouble) => troubles.push(trouble),
        }
    }
    if !troubles.is_empty() {
        troubles.sort_by_key(|trouble| trouble.line);
        let entries = read.entries.len();
        return Err(Refused { entries, troubles }.into());
    }
    if venue != as_it_was {
        desk::save(connection, &venue)?;
    }
    Ok(imported)
}

/// A file that is older than what the book has would undo what happened since.
fn not_older(entry: &Entry, known: &Appointment) -> Result<(), Trouble> {
    match entry.sequence {
        Some(said) if said < known.sequence => Err(entry.trouble(format!(
            "has SEQUENCE:{said}, and was changed since ({} in the book); export the book and take that in there first, \
             or write SEQUENCE:{} to have it so",
            known.sequence, known.sequence
        ))),
        _ => Ok(()),
    }
}

fn call_off(
    connection: &Connection,
    venue: &mut Venue,
    entry: &Entry,
    imported: &mut Imported,
    now: Timestamp,
) -> Result<Result<(), Trouble>, BookError> {
    let is_day = venue
        .closed
        .iter()
        .any(|closed| closed.entry.as_deref() == Some(&entry.key.kept()));
    if is_day {
        close(venue, &entry.key, HashSet::new(), "", imported);
        return Ok(Ok(()));
    }
    let mut called_off = 0;
    for known in appointment::of_entry(connection, &entry.key)? {
        if let Err(trouble) = not_older(entry, &known) {
            return Ok(Err(trouble));
        }
        if known.state != State::Cancelled {
            called_off += 1;
            let cancelled = Appointment {
                state: State::Cancelled,
                sequence: entry.sequence.unwrap_or(known.sequence + 1),
                ..known
            };
            appointment::overwrite(connection, &cancelled, now)?;
        }
    }
    imported.removed += called_off;
    imported.unchanged += usize::from(called_off == 0);
    Ok(Ok(()))
}

/// Closes the business on an entry's days, and opens it on those that were the entry's before.
fn close(
    venue: &mut Venue,
    key: &EntryKey,
    days: HashSet<jiff::civil::Date>,
    name: &str,
    imported: &mut Imported,
) {
    let key = key.kept();
    let mut opened = Vec::new();
    venue.closed.retain_mut(|closed| {
        if closed.entry.as_deref() != Some(&key) {
            return true;
        }
        match closed.day {
            ClosedDay::Once(day) if !days.contains(&day) => {
                opened.push(day);
                false
            }
            _ => {
                name.clone_into(&mut closed.name);
                true
            }
        }
    });
    opened.retain(|day| venue.holiday(*day).is_none());
    imported.opened_days += opened.len();
    let mut days: Vec<_> = days.into_iter().collect();
    days.sort();
    for day in days {
        if venue.holiday(day).is_none() {
            venue.closed.push(Closed {
                day: ClosedDay::Once(day),
                name: name.to_owned(),
                entry: Some(key.clone()),
            });
            imported.closed_days += 1;
        }
    }
}

/// `service: name` in its two parts: the longest name of a service before a colon, or alone.
fn parts<'s>(summary: &'s str, services: &[&str]) -> Option<(&'s str, Option<&'s str>)> {
    let known = |said: &str| {
        services
            .iter()
            .any(|known| known.eq_ignore_ascii_case(said.trim()))
    };
    if known(summary) {
        return Some((summary.trim(), None));
    }
    let mut colons: Vec<usize> = summary.match_indices(':').map(|(at, _)| at).collect();
    colons.reverse();
    let at = colons.into_iter().find(|at| known(&summary[..*at]))?;
    let name = summary[at + 1..].trim();
    Some((summary[..at].trim(), (!name.is_empty()).then_some(name)))
}

fn draft<'e>(
    entry: &'e Entry,
    booked: &Booked,
    known: Option<Appointment>,
    venue: &Venue,
    imported: &mut Imported,
    now: Timestamp,
) -> Result<Draft<'e>, Trouble> {
    let key = entry.key.kept();
    if venue
        .closed
        .iter()
        .any(|closed| closed.entry.as_deref() == Some(&key))
    {
        return Err(
            entry.trouble("has a time, and is a closed day in the book; give it a UID of its own")
        );
    }
    let before = known.as_ref();
    if let Some(known) = before {
        not_older(entry, known)?;
    }
    let mut services: Vec<&str> = venue.services.iter().map(|it| it.name.as_str()).collect();
    services.extend(before.map(|known| known.service.as_str()));
    let (said, name) = match (&booked.summary, before) {
        (Some(summary), _) => parts(summary, &services).ok_or_else(|| {
            entry.trouble("names no service of the house; write SUMMARY:service: name")
        })?,
        (None, Some(known)) => (known.service.as_str(), None),
        (None, None) => return Err(entry.trouble("has no SUMMARY; write SUMMARY:service: name")),
    };
    let same = before.filter(|known| known.service.eq_ignore_ascii_case(said));
    let offered = venue.service(said);
    // The price that was said stays.
    let (service, price, length) = match (same, offered) {
        (Some(known), _) => (
            known.service.clone(),
            known.price,
            known.ends.duration_since(known.begins),
        ),
        (None, Some(offered)) => (
            offered.name.clone(),
            offered.price,
            SignedDuration::from_mins(offered.minutes.into()),
        ),
        (None, None) => {
            return Err(entry.trouble("names no service of the house; write SUMMARY:service: name"));
        }
    };
    let ends = match booked.ends {
        Some(ends) => ends,
        None => (booked.begins.checked_add(length))
            .map_err(|_| entry.trouble("is beyond the calendar"))?,
    };
    let keeps = |able: bool| same.is_some() || able;
    let therapist = match &booked.therapist {
        Some(said) => Some(
            venue
                .therapist(said)
                .map(|known| known.name.clone())
                .or_else(|| {
                    before
                        .map(|known| known.therapist.clone())
                        .filter(|known| known == said)
                })
                .ok_or_else(|| {
                    entry.trouble(format!(
                        "names the therapist {said:?}, who is not of the house; add them to it"
                    ))
                })?,
        ),
        None => before.map(|known| known.therapist.clone()).filter(|kept| {
            keeps(offered.is_some_and(|it| venue.able(it).any(|able| able.name == *kept)))
        }),
    };
    // Calendars of others put an address there.
    let said = booked.location.as_ref().and_then(|said| {
        let rooms = venue.rooms.iter().map(|room| room.name.as_str());
        let mut rooms = rooms.chain(before.map(|known| known.room.as_str()));
        rooms
            .find(|room| room.eq_ignore_ascii_case(said))
            .map(str::to_owned)
    });
    if booked.location.is_some() && said.is_none() {
        *imported.left_out.entry("LOCATION".to_owned()).or_default() += 1;
    }
    let room = said.or_else(|| {
        before.map(|known| known.room.clone()).filter(|kept| {
            keeps(
                offered.is_some_and(|it| venue.rooms_for(it).iter().any(|room| room.name == *kept)),
            )
        })
    });
    let is_over = ends.duration_since(now) < SignedDuration::from_hours(-24);
    let state = match before.map(|known| known.state) {
        Some(State::Cancelled) if !booked.confirmed => State::Cancelled,
        Some(State::Past) if is_over => State::Past,
        _ => State::Booked,
    };
    Ok(Draft {
        entry,
        says_code: booked.code.is_some(),
        service,
        price,
        therapist,
        room,
        begins: booked.begins,
        ends,
        name: name
            .map(str::to_owned)
            .or_else(|| before.map(|known| known.name.clone()))
            .unwrap_or_else(|| "unknown".to_owned()),
        number: booked
            .number
            .clone()
            .or_else(|| before.map(|known| known.number.clone()))
            .unwrap_or_default(),
        code: booked
            .code
            .clone()
            .or_else(|| before.map(|known| known.code.clone())),
        state,
        sequence: entry
            .sequence
            .or(before.map(|known| known.sequence))
            .unwrap_or(0),
        known,
    })
}

impl Draft<'_> {
    /// The appointment, if all of it is known already.
    fn settled(&self) -> Option<Appointment> {
        Some(Appointment {
            service: self.service.clone(),
            price: self.price,
            therapist: self.therapist.clone()?,
            room: self.room.clone()?,
            begins: self.begins,
            ends: self.ends,
            name: self.name.clone(),
            number: self.number.clone(),
            code: self.code.clone()?,
            state: self.state,
            sequence: self.sequence,
            ..self.known.clone()?
        })
    }
}

/// Writes an appointment as it is to stand.
fn write(
    connection: &Connection,
    venue: &Venue,
    draft: &Draft<'_>,
    now: Timestamp,
) -> Result<Result<(), Trouble>, BookError> {
    let (therapist, room) = match (&draft.therapist, &draft.room) {
        // The desk decides about hours; double booking the database refuses.
        (Some(therapist), Some(room)) => (therapist.clone(), room.clone()),
        (therapist, room) => match somebody(connection, venue, draft, now)? {
            Some((free, place)) => (
                therapist.clone().unwrap_or(free),
                room.clone().unwrap_or(place),
            ),
            None => {
                return Ok(Err(draft
                    .entry
                    .trouble("finds nobody or no room free; change its time")));
            }
        },
    };
    let code = match &draft.code {
        Some(code) if draft.state != State::Booked || !is_live(connection, code)? => code.clone(),
        Some(code) if draft.says_code => {
            return Ok(Err(draft.entry.trouble(format!(
                "has the code {}, which is another appointment's; take the line out for a new one",
                code::spelled(code)
            ))));
        }
        _ => tools::free_code(connection, now)?,
    };
    let wanted = Appointment {
        id: draft.known.as_ref().map_or(0, |known| known.id),
        uid: draft.entry.key.uid.clone(),
        recurrence: draft.entry.key.recurrence.clone(),
        sequence: draft.sequence,
        code,
        service: draft.service.clone(),
        price: draft.price,
        therapist,
        room,
        begins: draft.begins,
        ends: draft.ends,
        name: draft.name.clone(),
        number: draft.number.clone(),
        caller: draft.known.as_ref().and_then(|known| known.caller.clone()),
        state: draft.state,
    };
    match enter(connection, &wanted, now) {
        Ok(()) => Ok(Ok(())),
        Err(error) if appointment::is_refusal(&error) => Ok(Err(draft.entry.trouble(format!(
            "is at a time when {} or {} is taken; change one of them",
            wanted.therapist, wanted.room
        )))),
        Err(error) => Err(error.into()),
    }
}

fn enter(connection: &Connection, wanted: &Appointment, now: Timestamp) -> rusqlite::Result<()> {
    if wanted.id != 0 {
        return appointment::overwrite(connection, wanted, now);
    }
    let service = Service {
        name: wanted.service.clone(),
        minutes: 0,
        price: wanted.price,
    };
    let place = Place {
        therapist: &wanted.therapist,
        room: &wanted.room,
        begins: wanted.begins,
        ends: wanted.ends,
    };
    let guest = Guest {
        name: &wanted.name,
        number: &wanted.number,
        caller: None,
    };
    appointment::insert(
        connection,
        (&wanted.key().kept(), &wanted.code),
        &service,
        place,
        &guest,
        now,
    )?;
    appointment::remember(connection, &guest, now)?;
    let made = Appointment {
        id: connection.last_insert_rowid(),
        ..wanted.clone()
    };
    appointment::overwrite(connection, &made, now)
}

/// A therapist and a room that are free for it.
fn somebody(
    connection: &Connection,
    venue: &Venue,
    draft: &Draft<'_>,
    now: Timestamp,
) -> Result<Option<(String, String)>, BookError> {
    let Some(offered) = venue.service(&draft.service) else {
        return Ok(None);
    };
    let minutes = draft.ends.duration_since(draft.begins).as_mins();
    let service = Service {
        minutes: u16::try_from(minutes).unwrap_or(offered.minutes),
        ..offered.clone()
    };
    let busy = appointment::busy(connection, draft.begins, draft.ends, None)?;
    let plan = Plan {
        venue,
        busy: &busy,
        now,
    };
    let request = Request {
        service: &service,
        therapist: draft
            .therapist
            .as_deref()
            .and_then(|name| venue.therapist(name)),
    };
    let place = plan.place(draft.begins, request);
    Ok(place
        .ok()
        .map(|place| (place.therapist.to_owned(), place.room.to_owned())))
}

fn is_live(connection: &Connection, code: &str) -> Result<bool, BookError> {
    let found = appointment::by_code(connection, code)?;
    Ok(found.is_some_and(|found| found.state == State::Booked))
}
