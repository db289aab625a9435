//! What people at the desk do with the book.

use jiff::{Timestamp, civil::Date};
use rusqlite::Connection;

use super::appointment::{self, Appointment, State};
use super::calendar::{self, Imported};
use super::venue::Venue;
use super::when::{self, Unclear};
use super::{Book, BookError, code, import, venue_in};

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
    /// [`BookError::Venue`] with what is wrong with the day, or another [`BookError`].
    pub fn day(&self, said: &str, now: Timestamp) -> Result<(Timestamp, Timestamp), BookError> {
        let venue = self.venue()?;
        let zone = venue.zone();
        let today = now.to_zoned(zone.clone()).date();
        let midnight = |date: Date| {
            zone.to_ambiguous_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
                .compatible()
                .ok()
        };
        let day = match when::read_day(said, today) {
            Ok(day) => day.date,
            Err(Unclear::Two(sentence)) => return Err(BookError::Venue(sentence)),
            Err(Unclear::Unknown) => {
                let sentence = format!("{said:?} is not a day; write today, friday or 2026-11-23");
                return Err(BookError::Venue(sentence));
            }
        };
        let ends = day.tomorrow().ok().and_then(midnight);
        let bounds = midnight(day).zip(ends);
        bounds.ok_or_else(|| BookError::Venue(format!("{said:?} is beyond the calendar")))
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
            Ok(calendar::write(&appointments, &venue_in(connection)?, now))
        })
    }

    /// Takes a file in, whole or not at all. iCalendar: entries with a time are appointments, new ones or, by their
    /// `UID` and `RECURRENCE-ID`, those that are known; what an entry does not say stays. Entries of whole days are
    /// closed days. TOML or JSON: a business, which takes the place of the one before; appointments stay as they are.
    ///
    /// # Errors
    /// [`BookError::Calendar`] or [`BookError::Venue`] with what is wrong with the file.
    pub fn import(&self, text: &str, now: Timestamp) -> Result<Imported, BookError> {
        self.write(|connection| {
            if calendar::is_calendar(text) {
                return import::calendar(connection, text, now);
            }
            save(connection, &Venue::read(text).map_err(BookError::Venue)?)?;
            Ok(Imported {
                venue: true,
                ..Imported::default()
            })
        })
    }
}

/// Keeps a business.
pub(super) fn save(connection: &Connection, venue: &Venue) -> Result<(), BookError> {
    let json = serde_json::to_string(venue).map_err(|error| BookError::Venue(error.to_string()))?;
    connection.execute("UPDATE premises SET json = ?1", [json])?;
    Ok(())
}
