//! The thread that owns the connection.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{Durability, engine};
use crate::store::StoreError;

/// Jobs of one transaction: whoever comes first does not wait for a whole queue.
const BATCH: usize = 64;

/// Another process that writes the same file is waited for so long.
const BUSY: Duration = Duration::from_millis(500);

/// Between two complaints about the same trouble.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Bytes of a page; SQLite's default.
const PAGE: u64 = 4_096;

/// Version of the tables below.
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS calls (
        call TEXT PRIMARY KEY, epoch INTEGER NOT NULL, checkpoint BLOB, saved INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS calls_by_age ON calls (saved);
    CREATE TABLE IF NOT EXISTS journal (
        key TEXT PRIMARY KEY, call TEXT NOT NULL, tool TEXT NOT NULL, arguments TEXT NOT NULL,
        output TEXT, at INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS journal_by_age ON journal (at);
    CREATE TABLE IF NOT EXISTS spending (day INTEGER PRIMARY KEY, micro_usd INTEGER NOT NULL);
    PRAGMA user_version = 1;";

/// Told whether the transaction was committed.
pub(super) type Reply = Box<dyn FnOnce(Result<(), StoreError>)>;

/// Gets the connection, or why there is none; one that fails has told its asker.
type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Result<Reply, StoreError> + Send>;

/// Something to be done to the tables.
pub(super) struct Job {
    pub(super) durability: Durability,
    pub(super) work: Work,
}

/// Owns the connection, and opens it again when it has failed.
pub(super) struct Writer {
    path: PathBuf,
    max_bytes: u64,
    open: Option<Open>,
    /// When trouble was last complained of; `None` while all is well.
    warned: Option<Instant>,
}

struct Open {
    connection: Connection,
    /// Device and number of the file: one that was deleted or replaced would be written to in vain.
    file: (u64, u64),
    durability: Durability,
}

impl Writer {
    pub(super) const fn new(path: PathBuf, max_bytes: u64) -> Self {
        Self {
            path,
            max_bytes,
            open: None,
            warned: None,
        }
    }

    /// Works until nobody can ask any more.
    pub(super) fn run(mut self, work: &Receiver<Job>) {
        while let Ok(first) = work.recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(job) = work.try_recv()
            {
                batch.push(job);
            }
            // The thread must outlive what it is given: without it nothing would be written down any more.
            match catch_unwind(AssertUnwindSafe(|| self.try_batch(batch))) {
                Ok(Ok(())) => self.is_well(),
                Ok(Err(error)) => self.is_ill(&error),
                Err(_) => {
                    // Whoever waits was told so when his job was dropped; the transaction was rolled back.
                    self.open = None;
                    self.is_ill(&StoreError::Engine("a panic".to_owned()));
                }
            }
        }
    }

    fn try_batch(&mut self, batch: Vec<Job>) -> Result<(), StoreError> {
        let durable = batch
            .iter()
            .any(|job| job.durability == Durability::Machine);
        let durability = if durable {
            Durability::Machine
        } else {
            Durability::Process
        };
        let open = match self.opened(durability) {
            Ok(open) => open,
            Err(error) => {
                refuse(batch, &error);
                return Err(error);
            }
        };
        let done = transact(&mut open.connection, batch);
        if done.is_err() {
            self.open = None;
        }
        done
    }

    /// The connection, opened if there is none or the file is another.
    fn opened(&mut self, durability: Durability) -> Result<&mut Open, StoreError> {
        let file = identity(&self.path);
        if self
            .open
            .as_ref()
            .is_some_and(|open| Some(open.file) != file)
        {
            self.open = None;
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => open(&self.path, self.max_bytes)?,
        };
        let open = self.open.insert(open);
        if open.durability != durability {
            let level = match durability {
                Durability::Process => "NORMAL",
                Durability::Machine => "FULL",
            };
            open.connection
                .pragma_update(None, "synchronous", level)
                .map_err(|error| engine(&error))?;
            open.durability = durability;
        }
        Ok(open)
    }

    fn is_well(&mut self) {
        if self.warned.take().is_some() {
            log::info!(target: "switchboard::store", path:% = self.path.display(); "the store works again");
        }
    }

    fn is_ill(&mut self, error: &StoreError) {
        if self
            .warned
            .is_some_and(|warned| warned.elapsed() < WARN_EVERY)
        {
            return;
        }
        self.warned = Some(Instant::now());
        log::warn!(
            target: "switchboard::store", path:% = self.path.display(), error:% = error;
            "the store fails, calls go on but would not outlive this process"
        );
    }
}

/// Runs all jobs in one transaction. One that fails takes the others with it.
fn transact(connection: &mut Connection, batch: Vec<Job>) -> Result<(), StoreError> {
    let begun = Transaction::new(connection, TransactionBehavior::Immediate);
    let transaction = match begun.map_err(|error| engine(&error)) {
        Ok(transaction) => transaction,
        Err(error) => {
            refuse(batch, &error);
            return Err(error);
        }
    };
    let mut replies = Vec::with_capacity(batch.len());
    let mut failed = None;
    for job in batch {
        let given = failed.clone().map_or(Ok(&*transaction), Err);
        match (job.work)(given) {
            Ok(reply) => replies.push(reply),
            Err(error) => failed = Some(error),
        }
    }
    let result = match failed {
        Some(error) => Err(error),
        None => transaction.commit().map_err(|error| engine(&error)),
    };
    for reply in replies {
        reply(result.clone());
    }
    result
}

fn refuse(batch: Vec<Job>, error: &StoreError) {
    for job in batch {
        // It has told its asker; there is nobody else to tell.
        let _ = (job.work)(Err(error.clone()));
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn open(path: &Path, max_bytes: u64) -> Result<Open, StoreError> {
    make_file(path).map_err(|error| StoreError::Engine(error.to_string()))?;
    let connection = connect(path, max_bytes).map_err(|error| engine(&error))?;
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| engine(&error))?;
    if version > SCHEMA_VERSION {
        return Err(StoreError::Engine(format!(
            "the file is of version {version}, made by a newer switchboard"
        )));
    }
    connection
        .execute_batch(SCHEMA)
        .map_err(|error| engine(&error))?;
    let gone = || StoreError::Engine("the file is gone".to_owned());
    Ok(Open {
        connection,
        file: identity(path).ok_or_else(gone)?,
        durability: Durability::Process,
    })
}

/// Conversations are nobody else's business: only the owner may read the file.
fn make_file(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?;
    Ok(())
}

fn connect(path: &Path, max_bytes: u64) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // What was said is not left behind in free pages.
    connection.pragma_update(None, "secure_delete", "ON")?;
    let pages = i64::try_from(max_bytes / PAGE).unwrap_or(i64::MAX);
    connection.pragma_update(None, "max_page_count", pages)?;
    Ok(connection)
}
