//! Appointments as a table for a terminal.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use appointment_book::{Appointment, State};

const HEAD: [&str; 8] = [
    "when",
    "until",
    "service",
    "therapist",
    "room",
    "name",
    "phone",
    "code",
];

/// The table, a line each; a sentence if there are none.
pub(super) fn of(appointments: &[Appointment], zone: &TimeZone) -> String {
    if appointments.is_empty() {
        return "no appointments\n".to_owned();
    }
    let mut rows = vec![HEAD.map(str::to_owned)];
    for appointment in appointments {
        let begins = appointment.begins.to_zoned(zone.clone());
        let ends = appointment.ends.to_zoned(zone.clone());
        let code = match appointment.state {
            State::Cancelled => format!("{} (cancelled)", appointment.code),
            State::Booked | State::Past => appointment.code.clone(),
        };
        rows.push([
            begins.strftime("%a %Y-%m-%d %H:%M").to_string(),
            ends.strftime("%H:%M").to_string(),
            appointment.service.clone(),
            appointment.therapist.clone(),
            appointment.room.clone(),
            printable(&appointment.name),
            printable(&appointment.number),
            code,
        ]);
    }
    let mut table = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let widest = rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0);
            let _ = write!(line, "{cell:widest$}  ");
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

/// What a caller said or a calendar brought must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
