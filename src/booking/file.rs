//! The book's file under a running process: deleted, moved, cut, replaced by another book or an older copy.
//!
//! SQLite trusts that nobody touches its file, and goes on writing to one that has no name any more. So the file is
//! looked at before every question and every change; what does not fit is opened anew, or refused in words. After every
//! change the log is emptied: between two changes the file alone is the book, and can be copied or replaced.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, TransactionBehavior};
use switchboard_base::data_file::{self, Companions, Sight};

use super::schema::{self, Edition};
use super::{BookError, Fault, lock, venue_in};

/// Connections kept for readers; more are opened when more read at once.
const IDLE_READERS: usize = 4;

/// Counts what befalls the file.
pub(super) type FaultCounter = Box<dyn Fn(Fault) + Send + Sync>;

/// The file, open or not at the moment. Shared by threads; every method blocks.
pub(super) struct BookFile {
    path: PathBuf,
    state: RwLock<State>,
    /// Why it cannot be used, as it was last told.
    trouble: Mutex<Option<(Fault, String)>>,
    faults: OnceLock<FaultCounter>,
}

struct State {
    /// `None` while the file cannot be used.
    open: Option<Open>,
    /// What was in it when it could last be used.
    last: Edition,
}

/// An open file.
struct Open {
    /// One writer at a time in this process, first come first served; SQLite's own lock keeps other processes out.
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    known: Mutex<Known>,
    companions: Companions,
}

/// The file as it was last seen.
struct Known {
    sight: Sight,
    edition: Edition,
}

impl BookFile {
    /// Opens the file, which is made if it is not there; says whether the book is new.
    pub(super) fn open(path: &Path) -> Result<(Self, bool), BookError> {
        data_file::make(path).map_err(|cause| BookError::File {
            path: path.to_owned(),
            cause,
        })?;
        let (open, is_new) = Open::new(path, true)?;
        let last = lock(&open.known).edition.clone();
        let file = Self {
            path: path.to_owned(),
            state: RwLock::new(State {
                open: Some(open),
                last,
            }),
            trouble: Mutex::default(),
            faults: OnceLock::new(),
        };
        Ok((file, is_new))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What befalls the file is counted from now on.
    pub(super) fn count_with(&self, count: FaultCounter) {
        // The second process counts the same.
        let _ = self.faults.set(count);
    }

    /// Why the book cannot be used, as far as anybody has noticed.
    pub(super) fn trouble(&self) -> Option<Fault> {
        lock(&self.trouble).as_ref().map(|(fault, _)| *fault)
    }

    /// Looks at the file, and empties a log that somebody was in the way of emptying.
    pub(super) fn look(&self) -> Result<(), BookError> {
        let state = self.current()?;
        let open = state.open.as_ref().ok_or_else(|| self.gone())?;
        open.look_at_log(&self.path);
        Ok(())
    }

    /// Reads at one point in time.
    pub(super) fn read<T, E: From<BookError>>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let state = self.current()?;
        let open = state.open.as_ref().ok_or_else(|| self.gone())?;
        let idle = lock(&open.readers).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => schema::connect(&self.path)?,
        };
        let transaction = connection.transaction().map_err(BookError::from)?;
        self.is_still(open)?;
        let answer = question(&transaction)?;
        transaction.finish().map_err(BookError::from)?;
        let mut idle = lock(&open.readers);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        Ok(answer)
    }

    /// Writes all or nothing.
    pub(super) fn write<T, E: From<BookError>>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let state = self.current()?;
        let open = state.open.as_ref().ok_or_else(|| self.gone())?;
        let mut connection = lock(&open.writer);
        // Immediate: what is read here is still so when it is written.
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(BookError::from)?;
        let done = change(&transaction)?;
        let edition = schema::next_edition(&transaction).map_err(BookError::from)?;
        // Others may have been waited for.
        self.is_still(open)?;
        transaction.commit().map_err(BookError::from)?;
        open.empty_log(&connection, &self.path);
        // What was written to a file that has no name any more is not in the book.
        open.note(self.is_still(open)?, edition);
        Ok(done)
    }

    /// The file at the path, if it is the one that is open.
    fn is_still(&self, open: &Open) -> Result<Sight, BookError> {
        let there = self.there()?;
        let known = lock(&open.known).sight.identity;
        there
            .filter(|sight| sight.identity == known)
            .ok_or_else(|| self.gone())
    }

    fn there(&self) -> Result<Option<Sight>, BookError> {
        data_file::look(&self.path).map_err(|cause| BookError::File {
            path: self.path.clone(),
            cause,
        })
    }

    fn gone(&self) -> BookError {
        let why = "is not there any more; move it back, or put a backup there";
        BookError::unusable(Fault::Gone, &self.path, why.to_owned())
    }

    /// The state with an open file that is the one at the path, as far as that can be had.
    fn current(&self) -> Result<RwLockReadGuard<'_, State>, BookError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if self.is_current(&state)? {
            return Ok(state);
        }
        drop(state);
        let reopened = self.reopen();
        self.tell(&reopened);
        reopened?;
        Ok(self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the open file is the one at the path, and nobody but SQLite has written to it.
    fn is_current(&self, state: &State) -> Result<bool, BookError> {
        let (Some(open), Some(sight)) = (&state.open, self.there()?) else {
            return Ok(false);
        };
        let mut known = lock(&open.known);
        if sight == known.sight {
            return Ok(true);
        }
        if sight.identity != known.sight.identity {
            return Ok(false);
        }
        // Another process that has the book open has written to it, or somebody over it.
        let fresh = schema::connect(&self.path).and_then(|fresh| {
            let edition = schema::edition(&fresh);
            edition.map_err(|error| schema::damage(&self.path, error))
        });
        let edition = match fresh {
            Ok(edition) => edition,
            Err(error) if error.fault().is_some() => return Ok(false),
            // It says nothing about the file: a lock, too many open files.
            Err(error) => return Err(error),
        };
        if edition.book != known.edition.book || edition.writes < known.edition.writes {
            return Ok(false);
        }
        *known = Known { sight, edition };
        Ok(true)
    }

    /// Opens what is at the path now in the place of what was open. Waits for readers and writers.
    fn reopen(&self) -> Result<(), BookError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if self.is_current(&state)? {
            return Ok(());
        }
        let there = self.there()?;
        if let Some(open) = state.open.take() {
            let has_moved = {
                let known = lock(&open.known);
                state.last = known.edition.clone();
                there.is_none_or(|sight| sight.identity != known.sight.identity)
            };
            open.close(&self.path, has_moved)?;
        }
        if there.is_none() {
            return Err(self.gone());
        }
        let (open, _) = Open::new(&self.path, false)?;
        let edition = lock(&open.known).edition.clone();
        self.compare(&state.last, &edition);
        state.last = edition;
        state.open = Some(open);
        Ok(())
    }

    /// Says what has taken the place of what was open.
    fn compare(&self, last: &Edition, now: &Edition) {
        let path = self.path.display();
        if now.book != last.book {
            self.count(Fault::Replaced);
            log::error!(
                target: "switchboard::book", path:% = path;
                "another book has taken the appointment book's place, it is used from now on"
            );
        } else if now.writes < last.writes {
            self.count(Fault::Replaced);
            log::error!(
                target: "switchboard::book", path:% = path, missing = last.writes - now.writes;
                "an older copy has taken the appointment book's place, it is used from now on; so many changes are not in it"
            );
        } else if lock(&self.trouble).is_none() {
            self.count(Fault::Replaced);
            log::warn!(
                target: "switchboard::book", path:% = path;
                "a copy that lacks nothing has taken the appointment book's place, it is used from now on"
            );
        }
    }

    /// Says once why the book cannot be used, and once that it can be again.
    fn tell(&self, reopened: &Result<(), BookError>) {
        let mut trouble = lock(&self.trouble);
        match reopened {
            Ok(()) => {
                if trouble.take().is_some() {
                    log::info!(
                        target: "switchboard::book", path:% = self.path.display();
                        "the appointment book can be used again"
                    );
                }
            }
            Err(error) => {
                // For the moment: a lock.
                let Some(fault) = error.fault() else { return };
                let why = error.to_string();
                if trouble
                    .as_ref()
                    .is_some_and(|told| *told == (fault, why.clone()))
                {
                    return;
                }
                self.count(fault);
                log::error!(
                    target: "switchboard::book", why = why.as_str();
                    "the appointment book cannot be used, nothing is booked, moved or cancelled until it can"
                );
                *trouble = Some((fault, why));
            }
        }
    }

    fn count(&self, fault: Fault) {
        if let Some(count) = self.faults.get() {
            count(fault);
        }
    }
}

impl Open {
    /// Opens a file that is there; says whether its book was begun just now, which is done `anew` only.
    fn new(path: &Path, anew: bool) -> Result<(Self, bool), BookError> {
        private(path)?;
        let cannot = |cause| BookError::File {
            path: path.to_owned(),
            cause,
        };
        let gone = || cannot(std::io::ErrorKind::NotFound.into());
        let before = data_file::look(path).map_err(cannot)?.ok_or_else(gone)?;
        let mut writer = schema::connect(path)?;
        if writer.is_readonly(MAIN_DB)? {
            let why = "can be read and not written to".to_owned();
            return Err(BookError::unusable(Fault::Unusable, path, why));
        }
        if !anew && !schema::is_begun(&writer, path)? {
            let why = "is empty: it was cut, or an empty file has its place; put a backup there";
            return Err(BookError::unusable(Fault::Damaged, path, why.to_owned()));
        }
        let is_new = schema::prepare(&mut writer, path)?;
        schema::check(&writer, path)?;
        // A book that cannot be understood is found out now.
        venue_in(&writer).map_err(|error| match error {
            BookError::Venue(why) => BookError::unusable(Fault::Unusable, path, why),
            error => error,
        })?;
        let edition = schema::edition(&writer).map_err(|error| schema::damage(path, error))?;
        let sight = data_file::look(path).map_err(cannot)?.ok_or_else(gone)?;
        if sight.identity != before.identity {
            return Err(gone());
        }
        let open = Self {
            companions: Companions::of(path),
            writer: Mutex::new(writer),
            readers: Mutex::default(),
            known: Mutex::new(Known { sight, edition }),
        };
        // The tables of a new book, say.
        open.look_at_log(path);
        Ok((open, is_new))
    }

    /// Gives the file up. One that has moved gets all that was written to it; in one that was written over, SQLite must
    /// not write any more.
    fn close(self, path: &Path, has_moved: bool) -> Result<(), BookError> {
        let writer = self
            .writer
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if has_moved {
            // What somebody is in the way of stays in the log, which is kept.
            let _ = data_file::empty_log(&writer);
        }
        let kept = self.companions.clear(path, Timestamp::now().as_second());
        let readers = self
            .readers
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        for connection in readers.iter().chain([&writer]) {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        }
        drop((readers, writer));
        let kept = kept.map_err(|cause| BookError::File {
            path: path.to_owned(),
            cause,
        })?;
        if let Some(kept) = kept {
            log::warn!(
                target: "switchboard::book", kept:% = kept.display();
                "the log of the appointment book that was at this path is kept under another name"
            );
        }
        Ok(())
    }

    /// Empties a log with something in it.
    fn look_at_log(&self, path: &Path) {
        let log = data_file::look(&data_file::beside(path, "-wal"));
        if log.is_ok_and(|log| log.is_some_and(|log| log.bytes > 0))
            && let Ok(writer) = self.writer.try_lock()
        {
            self.empty_log(&writer, path);
        }
    }

    /// Nobody is waited for: today's readers are gone the next time.
    fn empty_log(&self, writer: &Connection, path: &Path) {
        let emptied = writer
            .busy_timeout(std::time::Duration::ZERO)
            .and_then(|()| data_file::empty_log(writer))
            .and_then(|emptied| writer.busy_timeout(schema::BUSY).map(|()| emptied));
        // It was SQLite who wrote to the file.
        if let Ok(Some(sight)) = data_file::look(path) {
            let mut known = lock(&self.known);
            if known.sight.identity == sight.identity {
                known.sight = sight;
            }
        }
        if let Err(error) = emptied {
            log::warn!(target: "switchboard::book", error:% = error; "the appointment book's log cannot be emptied");
        }
    }

    fn note(&self, sight: Sight, edition: Edition) {
        let mut known = lock(&self.known);
        if edition.writes > known.edition.writes {
            *known = Known { sight, edition };
        }
    }
}

/// It holds names and numbers.
fn private(path: &Path) -> Result<(), BookError> {
    let tightened = data_file::keep_private(path).map_err(|error| {
        let why = format!("is open to others than its owner and stays so: {error}");
        BookError::unusable(Fault::Unusable, path, why)
    })?;
    for file in tightened {
        log::warn!(
            target: "switchboard::book", path:% = file.display();
            "this file was open to others than its owner, it is not any more"
        );
    }
    Ok(())
}
