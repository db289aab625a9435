//! The appointment book: services, therapists, rooms and hours, and who comes when. SQLite in the data directory.
//!
//! It is the example of tools with effects, and complete: a fresh machine books. It knows nothing of calls and models. Its
//! caller hands in the arguments, who asks, the time and the idempotency key, and gets an answer that a model can speak,
//! whatever was asked ([`Book::call`]).
//!
//! | file | question it answers |
//! | --- | --- |
//! | [`venue`], [`values`] | the business: services, therapists, rooms, opening days; its file format |
//! | [`hours`], `when` | hours of a week, days and times as people say them |
//! | `free` | who is free, where and when; pure |
//! | [`identity`], `tally` | who asks and what they must show; what may be tried how often |
//! | [`appointment`], `schema` | rows, tables, and the rules in the database |
//! | `file` | whether the file is still the one that was opened |
//! | [`mod@tools`] | what the model may call, and the answers |
//! | [`calendar`] | iCalendar, both ways |
//! | `import` | a calendar's entries into the book |
//! | `desk` | what people at the desk do |
//!
//! *Architecture invariants.* No double booking is a rule of the database (triggers on every write), not of this code,
//! which only looks for free times first. An effect, its idempotency key and its answer are one transaction. Nobody
//! here asks for the time. Everything blocks: call it off the threads that carry audio.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod appointment;
pub mod calendar;
mod code;
mod desk;
mod file;
mod free;
pub mod hours;
pub mod identity;
mod import;
mod schema;
mod tally;
pub mod tools;
pub mod values;
pub mod venue;
mod when;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::Value;

pub use appointment::{Appointment, State};
pub use calendar::{Imported, Refused, Trouble};
pub use identity::{Asker, Identify};
pub use tools::{Answer, BookTool, tools};
pub use venue::Venue;

use file::BookFile;

/// Its file in the data directory.
pub const FILE: &str = "book.sqlite";

/// Counts wrong codes and names.
type Counter = Box<dyn Fn() + Send + Sync>;

/// An open appointment book. Shared by threads; every method blocks.
pub struct Book {
    file: BookFile,
    is_new: bool,
    guesses: OnceLock<Counter>,
}

/// Around a tool call: who asks, when, and under which key.
#[derive(Clone, Copy, Debug)]
pub struct CallContext<'a> {
    /// Who asks.
    pub asker: Asker<'a>,
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
    /// The file is of no use, or not there any more.
    #[error("{sentence}")]
    Unusable {
        /// What befell it.
        fault: Fault,
        /// Which file, why, and what can be done.
        sentence: String,
    },
    /// A calendar was not taken in.
    #[error("{0}")]
    Calendar(#[from] Refused),
    /// The business in the book, or in a file, is wrong.
    #[error("{0}")]
    Venue(String),
}

/// What can befall the book's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not there any more.
    Gone,
    /// Another file, or another content, has its place.
    Replaced,
    /// What is in it cannot be read.
    Damaged,
    /// A newer version wrote it.
    Newer,
    /// It has other tables, or the system is in the way.
    Unusable,
}

impl Fault {
    /// Its name in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Replaced => "replaced",
            Self::Damaged => "damaged",
            Self::Newer => "newer",
            Self::Unusable => "unusable",
        }
    }

    /// Its name as a reason not to take calls.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Gone => "book_gone",
            Self::Replaced => "book_replaced",
            Self::Damaged => "book_damaged",
            Self::Newer => "book_newer",
            Self::Unusable => "book_unusable",
        }
    }
}

impl BookError {
    fn unusable(fault: Fault, path: &Path, why: String) -> Self {
        let sentence = format!("the appointment book {} {why}", path.display());
        Self::Unusable { fault, sentence }
    }

    /// What befell the file; `None` when it may go better the next time, or the book was asked something wrong.
    #[must_use]
    pub const fn fault(&self) -> Option<Fault> {
        match self {
            Self::Unusable { fault, .. } => Some(*fault),
            Self::File { .. } => Some(Fault::Unusable),
            Self::Engine(_) | Self::Venue(_) | Self::Calendar(_) => None,
        }
    }
}

impl Book {
    /// Opens the book in a data directory, which is made if it is not there. A new book begins with the business of the
    /// example settings.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BookError> {
        let (file, is_new) = BookFile::open(path.as_ref())?;
        Ok(Self {
            file,
            is_new,
            guesses: OnceLock::new(),
        })
    }

    /// What befalls the file from now on is counted.
    pub fn count_with(&self, count: impl Fn(Fault) + Send + Sync + 'static) {
        self.file.count_with(Box::new(count));
    }

    /// Whether it was begun when it was opened.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Looks whether the file is still the one that was opened; one that has its place is opened, or refused with a
    /// line in the log. Whoever asks or changes something looks first, too.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn look(&self) -> Result<(), BookError> {
        self.file.look()
    }

    /// Why the book cannot be used, as far as anybody has noticed. Does not block.
    #[must_use]
    pub fn trouble(&self) -> Option<Fault> {
        self.file.trouble()
    }

    /// Says in the log what a process begins with.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn announce(&self, now: Timestamp) -> Result<(), BookError> {
        let mut coming = self.appointments(now, Timestamp::MAX)?;
        coming.retain(|appointment| appointment.state == State::Booked);
        let what = match (self.is_new, coming.len()) {
            (true, _) => "a new appointment book is begun",
            (false, 0) => "the appointment book has no coming appointments",
            (false, _) => "the appointment book is open",
        };
        log::info!(target: "switchboard::book", path:% = self.path().display(), coming = coming.len(); "{what}");
        Ok(())
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
        if !path.is_file() {
            let cause = std::io::Error::other("what is there is no file");
            let path = path.to_owned();
            return Err(BookError::File { path, cause });
        }
        let connection = schema::connect(path)?;
        if schema::is_begun(&connection, path)? {
            schema::check(&connection, path)?;
        }
        Ok(())
    }

    /// Wrong codes and names are counted here from now on.
    pub fn count_guesses_with(&self, count: impl Fn() + Send + Sync + 'static) {
        let _ = self.guesses.set(Box::new(count));
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

    /// The business.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn venue(&self) -> Result<Venue, BookError> {
        self.read(venue_in)
    }

    /// Date, time and opening hours, as the business's clock says them.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn clock(&self, now: Timestamp) -> Result<Clock, BookError> {
        let venue = self.venue()?;
        let now = now.to_zoned(venue.zone().clone());
        Ok(Clock {
            date: format!("{} {}", when::spoken_date(now.date()), now.year()),
            time_of_day: format!(
                "{} {}",
                when::spoken_time(now.time()),
                when::part_of_day(&now)
            ),
            opening_hours: venue.spoken_hours(now.date()),
        })
    }

    /// Reads at one point in time.
    fn read<T, E: From<BookError>>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.file.read(question)
    }

    /// Writes all or nothing.
    fn write<T, E: From<BookError>>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.file.write(change)
    }
}

fn venue_in(connection: &Connection) -> Result<Venue, BookError> {
    let json: String = connection.query_row("SELECT json FROM premises", [], |row| row.get(0))?;
    serde_json::from_str(&json)
        .map_err(|error| BookError::Venue(format!("the book's house cannot be read: {error}")))
}

/// A thread that panicked in between has left its transaction rolled back.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
