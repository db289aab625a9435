//! The appointment book: services, therapists, rooms and hours, and who comes when. SQLite in the data directory.
//!
//! It is the example of tools with effects, and whole: a fresh machine books. It knows nothing of calls and models;
//! whoever runs tools hands in the arguments, the caller's number, the time and the idempotency key, and gets an
//! answer that a model can speak, whatever was asked ([`Book::call`]).
//!
//! | file | question it answers |
//! | --- | --- |
//! | [`premises`], [`values`] | the house: services, therapists, rooms, opening days; its file format |
//! | [`hours`], `when` | hours of a week, days and times as people say them |
//! | `free` | who is free, where and when; pure |
//! | [`appointment`], `schema` | rows, tables, and the rules in the database |
//! | [`mod@tools`] | what the model may call, and the answers |
//! | [`calendar`] | iCalendar, both ways |
//! | `desk` | what people at the desk do |
//!
//! *Architecture invariants.* No double booking is a rule of the database (triggers on every write), not of this code,
//! which only looks for free times first. An effect, its idempotency key and its answer are one transaction. Nobody
//! here asks for the time. Everything blocks: call it off the threads that carry audio.

pub mod appointment;
pub mod calendar;
mod code;
mod desk;
mod free;
pub mod hours;
pub mod premises;
mod schema;
pub mod tools;
pub mod values;
mod when;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use serde_json::Value;

pub use appointment::{Appointment, State};
pub use calendar::Imported;
pub use premises::Premises;
pub use tools::{Answer, BookTool, tools};

/// Its file in the data directory.
pub const FILE: &str = "book.sqlite";

/// Connections kept for readers; more are opened when more read at once.
const IDLE_READERS: usize = 4;

/// An open appointment book. Shared by threads; every method blocks.
pub struct Book {
    path: PathBuf,
    /// One writer at a time in this process, first come first served; SQLite's own lock keeps other processes out.
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

/// Around a tool call: who calls, when, and under which key.
#[derive(Clone, Copy, Debug)]
pub struct CallContext<'a> {
    /// The caller's number in full; `None` when it is withheld.
    pub caller: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
    /// A call with effects under a key that was used before gets the answer of that time, and no effect.
    pub idempotency_key: Option<&'a str>,
}

/// What variables of an agent's instructions are filled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// `Monday 23 November 2026`.
    pub date: String,
    /// `15:30 in the afternoon`.
    pub time_of_day: String,
    /// `Monday to Saturday 09:00 to 20:00, Sunday closed`.
    pub opening_hours: String,
}

/// Why the book cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The file, or the directory it is in, cannot be made.
    #[error("cannot make {}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// SQLite failed.
    #[error("the appointment book failed: {0}")]
    Engine(#[from] rusqlite::Error),
    /// The file was written by another version.
    #[error(
        "the appointment book has version {0}, which this program does not know; use a newer one"
    )]
    Version(i64),
    /// The house in the book, or in a file, is wrong.
    #[error("{0}")]
    House(String),
}

impl Book {
    /// Opens the book in a data directory, which is made if it is not there. A new book begins with the house of the
    /// example settings.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BookError> {
        let path = path.as_ref().to_owned();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|cause| BookError::File {
                path: folder.to_owned(),
                cause,
            })?;
        }
        schema::touch(&path)?;
        let mut writer = schema::connect(&path)?;
        schema::prepare(&mut writer)?;
        let book = Self {
            path,
            writer: Mutex::new(writer),
            readers: Mutex::default(),
        };
        // A book that cannot be understood is found out now.
        book.premises()?;
        Ok(book)
    }

    /// Finds out whether [`open`](Self::open) would succeed; nothing is made, and nothing is changed.
    ///
    /// # Errors
    /// As of `open`.
    pub fn try_out(path: impl AsRef<Path>) -> Result<(), BookError> {
        let path = path.as_ref();
        if !path.exists() {
            return schema::could_begin(path);
        }
        let connection = schema::connect(path)?;
        schema::is_made(&connection)?;
        Ok(())
    }

    /// Runs a tool. Always an answer that a model can speak: what went wrong is in `error`, with what else could be
    /// had beside it.
    #[must_use]
    pub fn call(&self, tool: &str, arguments: &Value, context: &CallContext<'_>) -> Value {
        self.answer(tool, arguments, context).into_json()
    }

    /// The same with what became of the wish.
    #[must_use]
    pub fn answer(&self, tool: &str, arguments: &Value, context: &CallContext<'_>) -> Answer {
        tools::run(self, tool, arguments, context)
    }

    /// The house.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn premises(&self) -> Result<Premises, BookError> {
        self.read(premises_in)
    }

    /// Date, time and opening hours, as the house's clock says them.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn clock(&self, now: Timestamp) -> Result<Clock, BookError> {
        let premises = self.premises()?;
        let now = now.to_zoned(premises.zone().clone());
        Ok(Clock {
            date: format!("{} {}", when::spoken_date(now.date()), now.year()),
            time_of_day: format!(
                "{} {}",
                when::spoken_time(now.time()),
                when::part_of_day(&now)
            ),
            opening_hours: premises.spoken_hours(now.date()),
        })
    }

    /// Reads at one point in time.
    fn read<T, E: From<BookError>>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = lock(&self.readers).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => schema::connect(&self.path)?,
        };
        let transaction = connection.transaction().map_err(BookError::from)?;
        let answer = question(&transaction)?;
        transaction.finish().map_err(BookError::from)?;
        let mut idle = lock(&self.readers);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        Ok(answer)
    }

    /// Writes all or nothing.
    fn write<T, E: From<BookError>>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = lock(&self.writer);
        // Immediate: what is read here is still so when it is written.
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(BookError::from)?;
        let done = change(&transaction)?;
        transaction.commit().map_err(BookError::from)?;
        Ok(done)
    }
}

fn premises_in(connection: &Connection) -> Result<Premises, BookError> {
    let json: String = connection.query_row("SELECT json FROM premises", [], |row| row.get(0))?;
    serde_json::from_str(&json)
        .map_err(|error| BookError::House(format!("the book's house cannot be read: {error}")))
}

/// A thread that panicked in between has left its transaction rolled back.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
