//! The database: its tables, and the rules that hold whoever writes to it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::BookError;
use super::premises::Premises;

/// Counts up with each change of the tables; kept in SQLite's `user_version`.
const VERSION: i64 = 1;

/// How long a writer waits for another one, of this process or of a command at the desk: shorter than a model waits for
/// its tool, so that it is told that nothing was changed, and not that nobody knows.
const BUSY: Duration = Duration::from_secs(3);

/// `booked` appointments hold their therapist, their room and their code. The triggers are what makes double booking
/// impossible: SQLite has one writer at a time, and none gets past them. An appointment lasts 12 hours at most, so the
/// search for overlaps stays within the index.
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

/// Makes the file if it is not there, for its owner only: it holds names and numbers. SQLite's other files follow it.
pub(crate) fn touch(path: &Path) -> Result<(), BookError> {
    let made = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path);
    made.map(drop).map_err(|cause| BookError::File {
        path: path.to_owned(),
        cause,
    })
}

/// Finds out whether a book could be begun there; what is made for that is gone again.
pub(crate) fn could_begin(path: &Path) -> Result<(), BookError> {
    let trouble = |path: &Path, cause: io::Error| BookError::File {
        path: path.to_owned(),
        cause,
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut place = folder;
    loop {
        match std::fs::metadata(if place == Path::new("") {
            Path::new(".")
        } else {
            place
        }) {
            Ok(found) if found.is_dir() => break,
            Ok(_) => return Err(trouble(folder, io::ErrorKind::AlreadyExists.into())),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => match place.parent() {
                Some(above) => place = above,
                None => return Err(trouble(folder, cause)),
            },
            Err(cause) => return Err(trouble(folder, cause)),
        }
    }
    let trial = place.join(format!(".switchboard-check-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&trial);
    // What stands in the way of a folder there stands in the way of a file, too.
    let blamed = if place == folder { path } else { folder };
    made.map_err(|cause| trouble(blamed, cause))?;
    std::fs::remove_file(&trial).map_err(|cause| trouble(&trial, cause))
}

/// Opens a connection to the book.
pub(crate) fn connect(path: &Path) -> Result<Connection, BookError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // An appointment that was confirmed outlives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Makes the tables of a new book, and the house it begins with.
///
/// A book that is there is read and not written to: whoever holds it for a change, a process that was stopped in the
/// middle of one, say, is no reason for this one not to start.
pub(crate) fn prepare(connection: &mut Connection) -> Result<(), BookError> {
    if is_made(connection)? {
        return Ok(());
    }
    let _: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    // Two processes may find the file new at the same time.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_made(&transaction)? {
        return Ok(());
    }
    transaction.execute_batch(TABLES)?;
    let first = Premises::first().map_err(BookError::House)?;
    let json =
        serde_json::to_string(&first).map_err(|error| BookError::House(error.to_string()))?;
    transaction.execute("INSERT INTO premises (only, json) VALUES (1, ?1)", [json])?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// Whether the tables are there.
pub(crate) fn is_made(connection: &Connection) -> Result<bool, BookError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        VERSION => Ok(true),
        0 => Ok(false),
        newer => Err(BookError::Version(newer)),
    }
}
