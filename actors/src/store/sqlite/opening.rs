//! Opens the file of the store, and says in a sentence why it cannot be used.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use crate::store::StoreError;
use switchboard_base::data_file::{self, Companions, Identity};

/// Another process that writes the same file is waited for so long.
pub(super) const BUSY: Duration = Duration::from_millis(500);

/// Between two looks whether that one is done, where SQLite does not look itself.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Bytes of a page; SQLite's default.
const PAGE: u64 = 4_096;

/// A file up to this size is read through when it is opened; damage in a larger one is found where it is met.
const READ_THROUGH: u64 = 16 * 1024 * 1024;

/// Version of the tables that all steps below make.
const SCHEMA_VERSION: i64 = 3;

/// What makes a file of each version from one of the version before, from an empty one on.
const STEPS: [&str; SCHEMA_VERSION as usize] = [FIRST, RINGS, TICKETS];

const FIRST: &str = "
    CREATE TABLE IF NOT EXISTS calls (
        call TEXT PRIMARY KEY, epoch INTEGER NOT NULL, checkpoint BLOB, saved INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS calls_by_age ON calls (saved);
    CREATE TABLE IF NOT EXISTS journal (
        key TEXT PRIMARY KEY, call TEXT NOT NULL, tool TEXT NOT NULL, arguments TEXT NOT NULL,
        output TEXT, at INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS journal_by_age ON journal (at);
    CREATE TABLE IF NOT EXISTS spending (day INTEGER PRIMARY KEY, micro_usd INTEGER NOT NULL);";

/// Who rang, and how long the day's calls were. `turn`: 0 for a call that was let in, else its number among those of
/// its caller that were not.
const RINGS: &str = "
    ALTER TABLE spending ADD COLUMN call_ms INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE rings (
        call TEXT PRIMARY KEY, who TEXT NOT NULL, turn INTEGER NOT NULL, at INTEGER NOT NULL);
    CREATE INDEX rings_by_who ON rings (who, at);
    CREATE INDEX rings_by_age ON rings (at);";

/// Which process redeemed a ticket, and when.
const TICKETS: &str = "
    CREATE TABLE IF NOT EXISTS tickets (
        ticket TEXT PRIMARY KEY, process INTEGER NOT NULL, redeemed INTEGER NOT NULL);";

/// What is asked of the tables: a file of another origin has some of the same name.
const COLUMNS: &[&str] = &[
    "SELECT call, epoch, checkpoint, saved FROM calls",
    "SELECT key, call, tool, arguments, output, at FROM journal",
    "SELECT day, micro_usd, call_ms FROM spending",
    "SELECT call, who, turn, at FROM rings",
    "SELECT ticket, process, redeemed FROM tickets",
];

/// An open file.
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// One that was deleted or replaced would be written to in vain.
    pub(super) file: Identity,
    pub(super) companions: Companions,
}

/// Why there is no open file.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The file is there, and of no use to this program: the fault's name, and the sentence.
    Spoilt(&'static str, Identity, String),
    /// The system does not let us have one.
    Denied(String),
    /// For the moment: another process has the file.
    Locked(StoreError),
    /// For the moment.
    NotNow(StoreError),
}

/// Opens the file at `path`, which is made if it is not there. The file `known` was in use before: a newer version that
/// has changed its tables meanwhile has left those of this version in place.
///
/// Tries again while another process makes the same file: SQLite does not wait for all that it then finds locked.
pub(super) fn open(
    path: &Path,
    max_bytes: u64,
    known: Option<Identity>,
) -> Result<Opened, Refusal> {
    let began = Instant::now();
    loop {
        match try_open(path, max_bytes, known) {
            Err(Refusal::Locked(_)) if began.elapsed() < BUSY => std::thread::sleep(LOOK_AGAIN),
            result => return result,
        }
    }
}

fn try_open(path: &Path, max_bytes: u64, known: Option<Identity>) -> Result<Opened, Refusal> {
    let named = path.display();
    data_file::make(path)
        .map_err(|error| Refusal::Denied(format!("cannot make {named}: {error}")))?;
    let tightened = data_file::keep_private(path).map_err(|error| {
        Refusal::Denied(format!(
            "{named} is open to others than its owner and stays so: {error}"
        ))
    })?;
    warn_of(&tightened);
    let denied = |error: std::io::Error| Refusal::Denied(format!("cannot open {named}: {error}"));
    let gone = || Refusal::NotNow(StoreError::Engine("the file is gone".to_owned()));
    let sight = data_file::look(path).map_err(denied)?.ok_or_else(gone)?;
    let file = sight.identity;
    let refused = |error: rusqlite::Error| refusal(path, file, &error);
    let connection = connect(path, max_bytes).map_err(refused)?;
    // One that is given up leaves the log as it is.
    stays_as_it_is(&connection, true).map_err(refused)?;
    let version = version_of(&connection).map_err(refused)?;
    if version > SCHEMA_VERSION && known != Some(file) {
        let why = format!(
            "{named} was made by a newer switchboard: it has version {version}, this one knows {SCHEMA_VERSION}"
        );
        return Err(Refusal::Spoilt("newer", file, why));
    }
    // A file that another version has changed in use keeps its version. The others are written to: one that cannot be
    // written to is found out now.
    if version <= SCHEMA_VERSION {
        let making = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate);
        let making = making.map_err(refused)?;
        // Two processes may open the file at the same time: what is read in here stays so.
        let from = version_of(&making).map_err(refused)?;
        for step in STEPS.iter().skip(usize::try_from(from).unwrap_or_default()) {
            making.execute_batch(step).map_err(refused)?;
        }
        if from <= SCHEMA_VERSION {
            making
                .pragma_update(None, "user_version", SCHEMA_VERSION)
                .map_err(refused)?;
        }
        for columns in COLUMNS {
            making.prepare(columns).map_err(refused)?;
        }
        making.commit().map_err(refused)?;
    }
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(refused)?;
    if sight.bytes <= READ_THROUGH {
        let word: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(refused)?;
        if word != "ok" {
            return Err(damaged(path, file, &word));
        }
    }
    // Another process may have put this one aside meanwhile.
    if data_file::look(path)
        .map_err(denied)?
        .map(|sight| sight.identity)
        != Some(file)
    {
        return Err(gone());
    }
    stays_as_it_is(&connection, false).map_err(refused)?;
    Ok(Opened {
        connection,
        file,
        companions: Companions::of(path),
    })
}

fn version_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Whether the log is left alone when the connection is closed: written into a damaged file it would be lost, and what a
/// full disk has for it is kept.
pub(super) fn stays_as_it_is(connection: &Connection, stays: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, stays)?;
    Ok(())
}

/// Files that were open to others until now.
fn warn_of(tightened: &[PathBuf]) {
    for file in tightened {
        log::warn!(
            target: "switchboard::store", path:% = file.display();
            "this file was open to others than its owner, it is not any more"
        );
    }
}

fn damaged(path: &Path, file: Identity, word: &dyn std::fmt::Display) -> Refusal {
    let why = format!("{} is damaged: {word}", path.display());
    Refusal::Spoilt("damaged", file, why)
}

/// What SQLite says, without the statement it says it of.
fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        error => error.to_string(),
    }
}

/// Whether an error says that what is in the file cannot be read.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

fn refusal(path: &Path, file: Identity, error: &rusqlite::Error) -> Refusal {
    if is_damage(error) {
        return damaged(path, file, error);
    }
    let is_input = matches!(error, rusqlite::Error::SqlInputError { .. });
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            Refusal::Denied(format!("cannot open {}: {error}", path.display()))
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Refusal::Locked(StoreError::Engine(error.to_string()))
        }
        // What the tables are asked here, only other tables refuse.
        code if is_input || code == Some(ErrorCode::Unknown) => {
            let why = format!(
                "{} holds other tables than this program's ({})",
                path.display(),
                words(error)
            );
            Refusal::Spoilt("unusable", file, why)
        }
        _ => Refusal::NotNow(StoreError::Engine(error.to_string())),
    }
}

fn connect(path: &Path, max_bytes: u64) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // What was said is not left behind in free pages, nor in files of SQLite's own.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let pages = i64::try_from(max_bytes / PAGE).unwrap_or(i64::MAX);
    connection.pragma_update(None, "max_page_count", pages)?;
    Ok(connection)
}
