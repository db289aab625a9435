//! What people at the desk do with the book.

use jiff::{Timestamp, civil::Date};
use rusqlite::Connection;

use super::appointment::{self, Appointment, Guest, State};
use super::calendar::{self, Booked, Entry, Imported};
use super::free::{Place, Plan, Wish};
use super::premises::{Closed, Premises};
use super::values::ClosedDay;
use super::when::{self, Unclear};
use super::{Book, BookError, code, premises_in, tools};

/// Longest run of closed days in one entry of a calendar.
const MOST_CLOSED_DAYS: usize = 366;

impl Book {
    /// Appointments that begin between two instants, cancelled ones too.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn appointments(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Appointment>, BookError> {
        self.read(|connection| Ok(appointment::between(connection, from, to)?))
    }

    /// Reads a day as people write it: `today`, `friday`, `2026-11-23`; gives its first and its last instant.
    ///
    /// # Errors
    /// [`BookError::House`] with what is wrong with the day, or another [`BookError`].
    pub fn day(&self, said: &str, now: Timestamp) -> Result<(Timestamp, Timestamp), BookError> {
        let premises = self.premises()?;
        let zone = premises.zone();
        let today = now.to_zoned(zone.clone()).date();
        let midnight = |date: Date| {
            zone.to_ambiguous_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
                .compatible()
                .ok()
        };
        let day = match when::read_day(said, today) {
            Ok(day) => day.date,
            Err(Unclear::Two(sentence)) => return Err(BookError::House(sentence)),
            Err(Unclear::Unknown) => {
                let sentence = format!("{said:?} is not a day; write today, friday or 2026-11-23");
                return Err(BookError::House(sentence));
            }
        };
        let ends = day.tomorrow().ok().and_then(midnight);
        let bounds = midnight(day).zip(ends);
        bounds.ok_or_else(|| BookError::House(format!("{said:?} is beyond the calendar")))
    }

    /// The appointment with a code, one that stands before all others.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn by_code(&self, said: &str) -> Result<Option<Appointment>, BookError> {
        let Some(code) = code::read(said) else {
            return Ok(None);
        };
        self.read(|connection| Ok(appointment::by_code(connection, &code)?))
    }

    /// Calls the appointment with a code off; `None` if there is none that stands.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn cancel(&self, said: &str, now: Timestamp) -> Result<Option<Appointment>, BookError> {
        let Some(code) = code::read(said) else {
            return Ok(None);
        };
        self.write(|connection| {
            let found = appointment::by_code(connection, &code)?
                .filter(|found| found.state == State::Booked);
            if let Some(found) = &found {
                appointment::cancel(connection, found.id, now)?;
            }
            Ok(found.map(|found| Appointment {
                state: State::Cancelled,
                ..found
            }))
        })
    }

    /// Writes appointments as iCalendar.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn export(
        &self,
        from: Timestamp,
        to: Timestamp,
        now: Timestamp,
    ) -> Result<String, BookError> {
        self.read(|connection| {
            let appointments = appointment::between(connection, from, to)?;
            Ok(calendar::write(
                &appointments,
                &premises_in(connection)?,
                now,
            ))
        })
    }

    /// Takes a file in, whole or not at all. iCalendar: entries with a time are appointments, new ones or, by their
    /// `UID`, changed ones; entries of whole days are closed days. TOML or JSON: a house, which takes the place of the
    /// one before; appointments stay as they are.
    ///
    /// # Errors
    /// [`BookError::House`] with what is wrong with the file.
    pub fn import(&self, text: &str, now: Timestamp) -> Result<Imported, BookError> {
        self.write(|connection| {
            if calendar::is_calendar(text) {
                return import_calendar(connection, text, now);
            }
            save(connection, &Premises::read(text).map_err(BookError::House)?)?;
            Ok(Imported {
                house: true,
                ..Imported::default()
            })
        })
    }
}

fn save(connection: &Connection, premises: &Premises) -> Result<(), BookError> {
    let json =
        serde_json::to_string(premises).map_err(|error| BookError::House(error.to_string()))?;
    connection.execute("UPDATE premises SET json = ?1", [json])?;
    Ok(())
}

fn import_calendar(
    connection: &Connection,
    text: &str,
    now: Timestamp,
) -> Result<Imported, BookError> {
    let mut premises = premises_in(connection)?;
    let entries = calendar::read(text, &premises).map_err(BookError::House)?;
    let mut imported = Imported::default();
    // What the file changes steps aside first: two appointments may have changed places.
    for entry in &entries {
        let uid = match entry {
            Entry::Closed { .. } => continue,
            Entry::Cancelled { uid } => uid,
            Entry::Booked(booked) => &booked.uid,
        };
        if let Some(known) = appointment::by_uid(connection, uid)? {
            imported.cancelled += usize::from(
                matches!(entry, Entry::Cancelled { .. }) && known.state == State::Booked,
            );
            appointment::cancel(connection, known.id, now)?;
        }
    }
    for entry in entries {
        match entry {
            Entry::Cancelled { .. } => {}
            Entry::Closed { from, to, name } => {
                imported.closed_days += close(&mut premises, from, to, &name)
            }
            Entry::Booked(booked) => {
                enter(connection, &premises, &booked, now)?;
                imported.appointments += 1;
            }
        }
    }
    if imported.closed_days > 0 {
        save(connection, &premises)?;
    }
    Ok(imported)
}

/// Closes the house on the days before `to`; gives how many were open.
fn close(premises: &mut Premises, from: Date, to: Date, name: &str) -> usize {
    let mut closed = 0;
    for date in from
        .series(jiff::Span::new().days(1))
        .take(MOST_CLOSED_DAYS)
        .take_while(|date| *date < to)
    {
        if premises.holiday(date).is_none() {
            premises.closed.push(Closed {
                day: ClosedDay::Once(date),
                name: name.to_owned(),
            });
            closed += 1;
        }
    }
    closed
}

fn enter(
    connection: &Connection,
    premises: &Premises,
    booked: &Booked,
    now: Timestamp,
) -> Result<(), BookError> {
    let at = when::spoken(&booked.begins.to_zoned(premises.zone().clone()));
    let trouble = |why: &str| {
        BookError::House(format!(
            "has {} for {} on {at}, but {why}; nothing was imported",
            booked.service.name, booked.name
        ))
    };
    let busy = appointment::busy(connection, booked.begins, booked.ends, None)?;
    let somebody;
    let place = match (&booked.therapist, &booked.room) {
        // The desk decides about hours; double booking the database refuses.
        (Some(therapist), Some(room)) => Place {
            therapist,
            room,
            begins: booked.begins,
            ends: booked.ends,
        },
        (therapist, room) => {
            let plan = Plan {
                premises,
                busy: &busy,
                now,
            };
            let wanted = therapist
                .as_deref()
                .and_then(|name| premises.therapist(name));
            let wish = Wish {
                service: &booked.service,
                therapist: wanted,
            };
            somebody = plan
                .place(booked.begins, wish)
                .map_err(|_| trouble("nobody or no room is free for it"))?;
            let room = room.as_deref().unwrap_or(somebody.room);
            Place {
                room,
                ends: booked.ends,
                ..somebody
            }
        }
    };
    let code = match &booked.code {
        Some(code) if !is_live(connection, code)? => code.clone(),
        _ => tools::free_code(connection, now)?,
    };
    let guest = Guest {
        name: &booked.name,
        number: &booked.number,
        caller: None,
    };
    let written = appointment::insert(
        connection,
        (&booked.uid, &code),
        &booked.service,
        place,
        &guest,
        now,
    );
    written.map_err(|error| {
        if appointment::is_refusal(&error) {
            trouble("the therapist or the room is taken")
        } else {
            error.into()
        }
    })?;
    Ok(appointment::remember(connection, &guest, now)?)
}

fn is_live(connection: &Connection, code: &str) -> Result<bool, BookError> {
    let found = appointment::by_code(connection, code)?;
    Ok(found.is_some_and(|found| found.state == State::Booked))
}
