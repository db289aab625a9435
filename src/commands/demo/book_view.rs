//! What the call changed in the appointment book, read from its file.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use appointment_book::{Appointment, Book, BookError, State};

/// Appointments shown before the call; the rest is a number.
const MOST_SHOWN: usize = 6;

/// The appointments that stand at a moment.
pub(super) struct BookView {
    zone: TimeZone,
    appointments: Vec<Appointment>,
}

impl BookView {
    /// Reads the book of a data directory; a new one is made, with its house.
    pub(super) fn read(data: &Path, now: Timestamp) -> Result<Self, BookError> {
        let book = Book::open(data.join(appointment_book::FILE))?;
        let mut appointments = book.appointments(now, Timestamp::MAX)?;
        appointments.retain(|appointment| appointment.state == State::Booked);
        let zone = book.venue()?.zone().clone();
        Ok(Self { zone, appointments })
    }

    /// Coming appointments.
    pub(super) fn coming(&self) -> usize {
        self.appointments.len()
    }

    /// The first coming appointments, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let shown = self.appointments.iter().take(MOST_SHOWN);
        let mut lines: Vec<String> = shown.map(|appointment| self.line(appointment)).collect();
        if self.coming() > MOST_SHOWN {
            lines.push(format!("and {} more", self.coming() - MOST_SHOWN));
        }
        lines
    }

    /// What stands here and did not before.
    pub(super) fn since<'a>(&'a self, before: &Self) -> Vec<&'a Appointment> {
        let known: BTreeSet<&str> = before
            .appointments
            .iter()
            .map(|appointment| appointment.uid.as_str())
            .collect();
        let appointments = self.appointments.iter();
        appointments
            .filter(|appointment| !known.contains(appointment.uid.as_str()))
            .collect()
    }

    /// `Monday 2026-11-23 12:00 Classic massage, Maria, code K7M4`.
    pub(super) fn line(&self, appointment: &Appointment) -> String {
        let begins = appointment.begins.to_zoned(self.zone.clone());
        format!(
            "{} {}, {}, code {}",
            begins.strftime("%A %Y-%m-%d %H:%M"),
            appointment.service,
            appointment.therapist,
            appointment.code
        )
    }
}
