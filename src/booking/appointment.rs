//! Appointments as rows, and the questions asked of them.

use jiff::Timestamp;
use rusqlite::{Connection, Error, ErrorCode, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::free::{Busy, Place};
use super::values::Price;
use super::venue::Service;

/// An appointment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Appointment {
    /// Its row.
    #[serde(skip)]
    pub(crate) id: i64,
    /// Its name among all calendars.
    pub uid: String,
    /// Which one it is, if calendars know it as one of a series; an instant in UTC, or a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<String>,
    /// How often it was moved or called off since calendars know it.
    #[serde(skip)]
    pub(crate) sequence: u32,
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
    /// What calendars know it by.
    pub(crate) fn key(&self) -> EntryKey {
        EntryKey {
            uid: self.uid.clone(),
            recurrence: self.recurrence.clone(),
        }
    }

    /// The confirmation code as it is said: `K, 7, M, 4`.
    #[must_use]
    pub fn spelled_code(&self) -> String {
        super::code::spelled(&self.code)
    }
}

/// What an entry of a calendar is known by: its `UID` and, of a series, its `RECURRENCE-ID`. The book keeps both in one
/// column, which is unique.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EntryKey {
    pub(crate) uid: String,
    pub(crate) recurrence: Option<String>,
}

impl EntryKey {
    /// Between the two; control characters are no part of either.
    const BETWEEN: char = '\u{1f}';

    /// The value of the column.
    pub(crate) fn kept(&self) -> String {
        match &self.recurrence {
            Some(recurrence) => format!("{}{}{recurrence}", self.uid, Self::BETWEEN),
            None => self.uid.clone(),
        }
    }

    fn read(kept: &str) -> Self {
        match kept.split_once(Self::BETWEEN) {
            Some((uid, recurrence)) => Self {
                uid: uid.to_owned(),
                recurrence: Some(recurrence.to_owned()),
            },
            None => Self {
                uid: kept.to_owned(),
                recurrence: None,
            },
        }
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

const COLUMNS: &str = "id, uid, code, service, price_cents, therapist, room, begins, ends, name, number, caller, state, sequence";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Appointment> {
    let key = EntryKey::read(&row.get::<_, String>(1)?);
    Ok(Appointment {
        id: row.get(0)?,
        uid: key.uid,
        recurrence: key.recurrence,
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
        sequence: row.get(13)?,
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

/// Coming appointments a number can make, or be left for by others: nobody empties the book of a business by phone.
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
pub(crate) fn by_key(
    connection: &Connection,
    key: &EntryKey,
) -> rusqlite::Result<Option<Appointment>> {
    let found = select(connection, "uid = ?1", [key.kept()])?;
    Ok(found.into_iter().next())
}

/// All an entry stands for: without a `RECURRENCE-ID`, every one of its series, too.
pub(crate) fn of_entry(
    connection: &Connection,
    key: &EntryKey,
) -> rusqlite::Result<Vec<Appointment>> {
    let mut found = select(connection, "uid = ?1", [key.kept()])?;
    if key.recurrence.is_none() {
        let (from, to) = (
            format!("{}{}", key.uid, EntryKey::BETWEEN),
            format!("{} ", key.uid),
        );
        found.extend(select(connection, "uid >= ?1 AND uid < ?2", [from, to])?);
    }
    Ok(found)
}

/// Whose an appointment is.
pub(crate) struct Guest<'a> {
    pub(crate) name: &'a str,
    pub(crate) number: &'a str,
    pub(crate) caller: Option<&'a str>,
}

/// Writes a new appointment.
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
         state, made, changed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'booked', ?12, ?12)",
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

/// Keeps the name a number last booked under: for the desk, and for callers from that number alone.
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

/// Writes all of an appointment that is there but for who called and when it was made.
pub(crate) fn overwrite(
    connection: &Connection,
    wanted: &Appointment,
    now: Timestamp,
) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE appointments SET code = ?2, service = ?3, price_cents = ?4, therapist = ?5, room = ?6, begins = ?7, \
         ends = ?8, name = ?9, number = ?10, state = ?11, sequence = ?12, changed = ?13 WHERE id = ?1",
        params![
            wanted.id,
            wanted.code,
            wanted.service,
            wanted.price.cents(),
            wanted.therapist,
            wanted.room,
            wanted.begins.as_second(),
            wanted.ends.as_second(),
            wanted.name,
            wanted.number,
            wanted.state.as_str(),
            wanted.sequence,
            now.as_second(),
        ],
    )?;
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
        "UPDATE appointments SET therapist = ?2, room = ?3, begins = ?4, ends = ?5, changed = ?6, \
         sequence = sequence + 1 WHERE id = ?1",
        params![
            id,
            place.therapist,
            place.room,
            place.begins.as_second(),
            place.ends.as_second(),
            now.as_second()
        ],
    )?;
    Ok(())
}

/// Calls an appointment off.
pub(crate) fn cancel(connection: &Connection, id: i64, now: Timestamp) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE appointments SET state = 'cancelled', changed = ?2, sequence = sequence + 1 WHERE id = ?1",
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
