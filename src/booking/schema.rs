//! The database: its tables, and the rules that hold for every writer.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::venue::Venue;
use super::{BookError, Fault};

/// What makes the tables of each version from those of the one before; how many have been run is kept in SQLite's
/// `user_version`. A change of the tables is another line.
const STEPS: &[&str] = &[TABLES, EDITION, TRIES, SEQUENCE];

/// How long a writer waits for another one, of this process or of a command at the desk: shorter than a model waits for
/// its tool, so that it is told that nothing was changed, and not that nobody knows.
pub(crate) const BUSY: Duration = Duration::from_secs(3);

/// `booked` appointments hold their therapist, their room and their code. The triggers are what makes double booking
/// impossible: SQLite has one writer at a time, and none gets past them. An appointment lasts 12 hours at most, so the
/// search for overlaps stays within the index. `uid` is an [`EntryKey`](super::appointment::EntryKey).
const TABLES: &str = "
CREATE TABLE premises (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    json TEXT NOT NULL CHECK (json_valid(json))
) STRICT;

CREATE TABLE customers (
    number TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    since INTEGER NOT NULL,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE appointments (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    code TEXT NOT NULL,
    service TEXT NOT NULL,
    price_cents INTEGER NOT NULL,
    therapist TEXT NOT NULL,
    room TEXT NOT NULL,
    begins INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    name TEXT NOT NULL,
    number TEXT NOT NULL,
    caller TEXT,
    state TEXT NOT NULL CHECK (state IN ('booked', 'past', 'cancelled')),
    made INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    CHECK (ends > begins AND ends - begins <= 43200)
) STRICT;

CREATE UNIQUE INDEX live_code ON appointments (code) WHERE state = 'booked';
CREATE INDEX by_time ON appointments (begins);
CREATE INDEX by_therapist ON appointments (therapist, begins) WHERE state = 'booked';
CREATE INDEX by_room ON appointments (room, begins) WHERE state = 'booked';
CREATE INDEX by_number ON appointments (number, begins);
CREATE INDEX by_caller ON appointments (caller, begins);

CREATE TRIGGER one_at_a_time_new BEFORE INSERT ON appointments WHEN NEW.state = 'booked' BEGIN
    SELECT RAISE(ABORT, 'therapist is taken') WHERE EXISTS (
        SELECT 1 FROM appointments WHERE state = 'booked' AND therapist = NEW.therapist
        AND begins > NEW.begins - 43200 AND begins < NEW.ends AND ends > NEW.begins);
    SELECT RAISE(ABORT, 'room is taken') WHERE EXISTS (
        SELECT 1 FROM appointments WHERE state = 'booked' AND room = NEW.room
        AND begins > NEW.begins - 43200 AND begins < NEW.ends AND ends > NEW.begins);
END;

CREATE TRIGGER one_at_a_time_changed BEFORE UPDATE ON appointments WHEN NEW.state = 'booked' BEGIN
    SELECT RAISE(ABORT, 'therapist is taken') WHERE EXISTS (
        SELECT 1 FROM appointments WHERE state = 'booked' AND therapist = NEW.therapist AND id <> NEW.id
        AND begins > NEW.begins - 43200 AND begins < NEW.ends AND ends > NEW.begins);
    SELECT RAISE(ABORT, 'room is taken') WHERE EXISTS (
        SELECT 1 FROM appointments WHERE state = 'booked' AND room = NEW.room AND id <> NEW.id
        AND begins > NEW.begins - 43200 AND begins < NEW.ends AND ends > NEW.begins);
END;

CREATE TABLE answers (
    key TEXT NOT NULL,
    tool TEXT NOT NULL,
    answer TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (key, tool)
) STRICT, WITHOUT ROWID;
CREATE INDEX by_age ON answers (at);
";

/// Which book it is and how often it was written to, so that an older copy or another book in its place is known.
const EDITION: &str = "
CREATE TABLE edition (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    book TEXT NOT NULL,
    writes INTEGER NOT NULL
) STRICT;
INSERT INTO edition VALUES (1, lower(hex(randomblob(16))), 0);
";

/// What callers tried, see [`tally`](super::tally).
const TRIES: &str = "
CREATE TABLE tries (
    kind TEXT NOT NULL CHECK (kind IN ('guess', 'booking')),
    who TEXT NOT NULL,
    call TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX tries_by_who ON tries (kind, who, at);
CREATE INDEX tries_by_call ON tries (kind, call);
CREATE INDEX tries_by_age ON tries (at);
";

/// How often an appointment was moved or called off, for the calendars that know it. A column with a default: a process
/// of the version before may still serve its calls, and goes on writing rows without it.
const SEQUENCE: &str = "ALTER TABLE appointments ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0";

/// Finds out whether a book could be begun there; what is made for that is gone again.
pub(crate) fn could_begin(path: &Path) -> Result<(), BookError> {
    let trouble = |cause| BookError::File {
        path: path.to_owned(),
        cause,
    };
    let mut place = path.parent().unwrap_or(Path::new(""));
    loop {
        match std::fs::metadata(if place == Path::new("") {
            Path::new(".")
        } else {
            place
        }) {
            Ok(found) if found.is_dir() => break,
            // No folder can be made where a file is: what the system says to that.
            Ok(_) => return std::fs::create_dir(place).map_err(trouble),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => match place.parent() {
                Some(above) => place = above,
                None => return Err(trouble(cause)),
            },
            Err(cause) => return Err(trouble(cause)),
        }
    }
    let trial = place.join(format!(".switchboard-check-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&trial);
    // What stands in the way of a folder there stands in the way of a file, too.
    made.map_err(trouble)?;
    std::fs::remove_file(&trial).map_err(trouble)
}

/// Opens a connection to a book that is there.
pub(crate) fn connect(path: &Path) -> Result<Connection, BookError> {
    set_up(path).map_err(|error| damage(path, error))
}

fn set_up(path: &Path) -> rusqlite::Result<Connection> {
    let there = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, there)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // An appointment that was confirmed outlives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What is dropped is not left behind in free pages, nor in files of SQLite's own.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// What a file has to become a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is in it.
    Empty,
    /// Tables of an earlier version.
    Earlier(usize),
    /// Tables of this version.
    Made,
}

/// Makes the tables of a new book, and the business it begins with; says whether it was new. A book of an earlier version
/// gets what it lacks.
///
/// A book that is there is read and not written to: a process that holds it for a change, one that was stopped in the
/// middle of one, say, is no reason for this one not to start.
pub(crate) fn prepare(connection: &mut Connection, path: &Path) -> Result<bool, BookError> {
    if stage(connection, path)? == Stage::Made {
        return Ok(false);
    }
    let _: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    // Two processes may find the file new at the same time.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = match stage(&transaction, path)? {
        Stage::Made => return Ok(false),
        Stage::Empty => 0,
        Stage::Earlier(done) => done,
    };
    for step in &STEPS[done..] {
        transaction.execute_batch(step)?;
    }
    if done == 0 {
        let first = Venue::first().map_err(BookError::Venue)?;
        let json =
            serde_json::to_string(&first).map_err(|error| BookError::Venue(error.to_string()))?;
        transaction.execute("INSERT INTO premises (only, json) VALUES (1, ?1)", [json])?;
    }
    transaction.pragma_update(None, "user_version", STEPS.len() as i64)?;
    transaction.commit()?;
    Ok(done == 0)
}

/// Whether a book is in a file that is to be read and not written to; false if nothing is in it yet.
pub(crate) fn is_begun(connection: &Connection, path: &Path) -> Result<bool, BookError> {
    Ok(stage(connection, path)? != Stage::Empty)
}

fn stage(connection: &Connection, path: &Path) -> Result<Stage, BookError> {
    let ask = || -> rusqlite::Result<(i64, i64)> {
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let tables =
            connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
        Ok((version, tables))
    };
    let (version, tables) = ask().map_err(|error| damage(path, error))?;
    let unusable = |fault, why: String| Err(BookError::unusable(fault, path, why));
    match usize::try_from(version) {
        Ok(0) if tables == 0 => Ok(Stage::Empty),
        Ok(0) => unusable(
            Fault::Unusable,
            "has tables, but not those of an appointment book; move it away, or name another directory"
                .to_owned(),
        ),
        Ok(known) if known == STEPS.len() => Ok(Stage::Made),
        Ok(earlier) if earlier < STEPS.len() => Ok(Stage::Earlier(earlier)),
        _ => unusable(
            Fault::Newer,
            format!(
                "has version {version}, this program knows {}; use the newer switchboard that wrote it",
                STEPS.len()
            ),
        ),
    }
}

/// Reads the whole book through, with its indices: what finds double bookings must not be damaged.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<(), BookError> {
    let word: Result<String, _> =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    match word {
        Ok(word) if word == "ok" => Ok(()),
        Ok(word) => Err(damaged(path, &word)),
        Err(error) => Err(damage(path, error)),
    }
}

/// An error of SQLite's, or the sentence that the file is damaged or has other tables.
pub(crate) fn damage(path: &Path, error: rusqlite::Error) -> BookError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(path, &error),
        code if code == Some(ErrorCode::Unknown)
            || matches!(error, rusqlite::Error::SqlInputError { .. }) =>
        {
            let why = format!("has other tables than those of an appointment book: {error}");
            BookError::unusable(Fault::Unusable, path, why)
        }
        _ => error.into(),
    }
}

fn damaged(path: &Path, word: &dyn std::fmt::Display) -> BookError {
    let word = word.to_string();
    let word = word.lines().next_back().unwrap_or_default();
    let mend =
        "put a backup in its place, or move it and the files beside it away to begin a new one";
    BookError::unusable(Fault::Damaged, path, format!("is damaged ({word}); {mend}"))
}

/// Which book it is, and how often it was written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edition {
    pub(crate) book: String,
    pub(crate) writes: i64,
}

pub(crate) fn edition(connection: &Connection) -> rusqlite::Result<Edition> {
    connection.query_row("SELECT book, writes FROM edition", [], from_row)
}

/// Counts a write, in its transaction.
pub(crate) fn next_edition(connection: &Connection) -> rusqlite::Result<Edition> {
    let sql = "UPDATE edition SET writes = writes + 1 RETURNING book, writes";
    connection.query_row(sql, [], from_row)
}

fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Edition> {
    Ok(Edition {
        book: row.get(0)?,
        writes: row.get(1)?,
    })
}
