//! Appointments as rows, and the questions asked of them.

use jiff::Timestamp;
use rusqlite::{Connection, Error, ErrorCode, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::free::{Busy, Place};
use super::premises::Service;
use super::values::Price;

/// An appointment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Appointment {
    /// Its row.
    #[serde(skip)]
    pub(crate) id: i64,
    /// Its name among all calendars.
    pub uid: String,
    /// The confirmation code.
    pub code: String,
    /// What is done.
    pub service: String,
    /// The price that was said.
    pub price: Price,
    /// Who does it.
    pub therapist: String,
    /// Where.
    pub room: String,
    /// When it begins.
    pub begins: Timestamp,
    /// When it ends.
    pub ends: Timestamp,
    /// Whose it is.
    pub name: String,
    /// How they can be reached; empty if nobody knows.
    pub number: String,
    /// The number that called, which may be another one.
    #[serde(skip)]
    pub(crate) caller: Option<String>,
    /// What became of it.
    pub state: State,
}

impl Appointment {
    /// The confirmation code as it is said: `K, 7, M, 4`.
    #[must_use]
    pub fn spelled_code(&self) -> String {
        super::code::spelled(&self.code)
    }
}

/// What became of an appointment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It stands.
    Booked,
    /// It is over.
    Past,
    /// It was called off.
    Cancelled,
}

impl State {
    /// Its name in the database and for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Past => "past",
            Self::Cancelled => "cancelled",
        }
    }

    fn read(text: &str) -> Self {
        match text {
            "booked" => Self::Booked,
            "past" => Self::Past,
            _ => Self::Cancelled,
        }
    }
}

const COLUMNS: &str = "id, uid, code, service, price_cents, therapist, room, begins, ends, name, number, caller, state";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Appointment> {
    Ok(Appointment {
        id: row.get(0)?,
        uid: row.get(1)?,
        code: row.get(2)?,
        service: row.get(3)?,
        price: Price::from_cents(row.get(4)?),
        therapist: row.get(5)?,
        room: row.get(6)?,
        begins: instant(row, 7)?,
        ends: instant(row, 8)?,
        name: row.get(9)?,
        number: row.get(10)?,
        caller: row.get(11)?,
        state: State::read(&row.get::<_, String>(12)?),
    })
}

fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let seconds: i64 = row.get(column)?;
    Timestamp::from_second(seconds).map_err(|_| Error::IntegralValueOutOfRange(column, seconds))
}

fn select(
    connection: &Connection,
    rest: &str,
    values: impl rusqlite::Params,
) -> rusqlite::Result<Vec<Appointment>> {
    let mut statement =
        connection.prepare(&format!("SELECT {COLUMNS} FROM appointments WHERE {rest}"))?;
    statement.query_map(values, from_row)?.collect()
}

/// Who and what is taken between two instants, but for one appointment.
pub(crate) fn busy(
    connection: &Connection,
    from: Timestamp,
    to: Timestamp,
    but: Option<i64>,
) -> rusqlite::Result<Vec<Busy>> {
    let found = select(
        connection,
        "state = 'booked' AND begins > ?1 - 43200 AND begins < ?2 AND ends > ?1 AND id IS NOT ?3",
        params![from.as_second(), to.as_second(), but],
    )?;
    let busy = |found: Appointment| Busy {
        therapist: found.therapist,
        room: found.room,
        begins: found.begins,
        ends: found.ends,
    };
    Ok(found.into_iter().map(busy).collect())
}

/// All that begin between two instants, cancelled ones too, in the order of the clock.
pub(crate) fn between(
    connection: &Connection,
    from: Timestamp,
    to: Timestamp,
) -> rusqlite::Result<Vec<Appointment>> {
    select(
        connection,
        "begins >= ?1 AND begins < ?2 ORDER BY begins, therapist, id",
        params![from.as_second(), to.as_second()],
    )
}

/// Coming appointments a number can make, or be left for by others: nobody empties the book of a house by phone.
pub(crate) const MOST_COMING: usize = 20;

/// How many stand from now on that a number made, or that were made for it to be reached.
pub(crate) fn count_coming(
    connection: &Connection,
    (made_by, left): (Option<&str>, Option<&str>),
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let count: u32 = connection.query_row(
        "SELECT COUNT(*) FROM appointments WHERE state = 'booked' AND ends > ?3 AND (caller = ?1 OR number = ?2)",
        params![made_by, left, now.as_second()],
        |row| row.get(0),
    )?;
    Ok(count as usize)
}

/// What stands from now on for a number: the one that called or the one that was left.
pub(crate) fn of_number(
    connection: &Connection,
    number: &str,
    now: Timestamp,
) -> rusqlite::Result<Vec<Appointment>> {
    select(
        connection,
        "state = 'booked' AND ends > ?2 AND (number = ?1 OR caller = ?1) ORDER BY begins LIMIT ?3",
        params![number, now.as_second(), MOST_COMING as i64],
    )
}

/// The last appointment with a code, one that stands before all others.
pub(crate) fn by_code(
    connection: &Connection,
    code: &str,
) -> rusqlite::Result<Option<Appointment>> {
    let found = select(
        connection,
        "code = ?1 ORDER BY state = 'booked' DESC, begins DESC LIMIT 1",
        [code],
    )?;
    Ok(found.into_iter().next())
}

/// The appointment of a calendar entry.
pub(crate) fn by_uid(connection: &Connection, uid: &str) -> rusqlite::Result<Option<Appointment>> {
    Ok(select(connection, "uid = ?1", [uid])?.into_iter().next())
}

/// Whose an appointment is.
pub(crate) struct Guest<'a> {
    pub(crate) name: &'a str,
    pub(crate) number: &'a str,
    pub(crate) caller: Option<&'a str>,
}

/// Writes an appointment, or an imported one anew.
pub(crate) fn insert(
    connection: &Connection,
    (uid, code): (&str, &str),
    service: &Service,
    place: Place<'_>,
    guest: &Guest<'_>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    connection.prepare(
        "INSERT INTO appointments (uid, code, service, price_cents, therapist, room, begins, ends, name, number, caller, \
         state, made, changed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'booked', ?12, ?12) \
         ON CONFLICT (uid) DO UPDATE SET code = excluded.code, service = excluded.service, \
         price_cents = excluded.price_cents, therapist = excluded.therapist, room = excluded.room, \
         begins = excluded.begins, ends = excluded.ends, name = excluded.name, number = excluded.number, \
         state = 'booked', changed = excluded.changed",
    )?
    .execute(params![
        uid,
        code,
        service.name,
        service.price.cents(),
        place.therapist,
        place.room,
        place.begins.as_second(),
        place.ends.as_second(),
        guest.name,
        guest.number,
        guest.caller,
        now.as_second(),
    ])?;
    Ok(())
}

/// Keeps the name a number last booked under: for the desk, or for whoever calls from that number, and nobody else.
pub(crate) fn remember(
    connection: &Connection,
    guest: &Guest<'_>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    if !guest.number.is_empty() {
        connection.execute(
            "INSERT INTO customers (number, name, since, last) VALUES (?1, ?2, ?3, ?3) \
             ON CONFLICT (number) DO UPDATE SET name = excluded.name, last = excluded.last",
            params![guest.number, guest.name, now.as_second()],
        )?;
    }
    Ok(())
}

/// Puts an appointment somewhere else.
pub(crate) fn relocate(
    connection: &Connection,
    id: i64,
    place: Place<'_>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE appointments SET therapist = ?2, room = ?3, begins = ?4, ends = ?5, changed = ?6 WHERE id = ?1",
        params![id, place.therapist, place.room, place.begins.as_second(), place.ends.as_second(), now.as_second()],
    )?;
    Ok(())
}

/// Calls an appointment off.
pub(crate) fn cancel(connection: &Connection, id: i64, now: Timestamp) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE appointments SET state = 'cancelled', changed = ?2 WHERE id = ?1",
        params![id, now.as_second()],
    )?;
    Ok(())
}

/// Appointments that ended more than a day ago give their codes back.
pub(crate) fn retire(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE appointments SET state = 'past' WHERE state = 'booked' AND ends < ?1 - 86400",
        [now.as_second()],
    )?;
    Ok(())
}

/// The name a number last booked under.
pub(crate) fn customer(connection: &Connection, number: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare("SELECT name FROM customers WHERE number = ?1")?;
    statement.query_row([number], |row| row.get(0)).optional()
}

/// Whether an error is a rule of the tables: a trigger, or a code that is taken.
pub(crate) fn is_refusal(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}
