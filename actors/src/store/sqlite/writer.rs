//! The thread that owns the connection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::opening::{self, BUSY, Opened, Refusal};
use super::{Durability, engine};
use crate::call::unix_now;
use crate::failpoints;
use crate::metrics::FileFaults;
use crate::store::StoreError;
use switchboard_base::data_file::{self, Identity};

/// Jobs of one transaction. The first job does not wait for a whole queue.
const BATCH: usize = 64;

/// Between two complaints about the same trouble.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What has failed works again when nothing has failed for so long.
const STEADY: Duration = Duration::from_secs(2);

/// Another process that reads or writes is waited for so long before the log is emptied at another time.
const LOG_BUSY: Duration = Duration::from_millis(50);

/// A larger file is not rewritten while calls go on: 8 MiB take a tenth of a second, in which nobody else is answered.
const REWRITTEN: i64 = 2048;

/// What goes with a file that is not used any more.
const LOST: &str =
    "what live calls said before their next turn, the journal of tool effects, today's cost";

/// Told whether the transaction was committed.
pub(super) type Reply = Box<dyn FnOnce(Result<(), StoreError>)>;

/// Gets the connection, or why there is none; one that fails has told its asker.
type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Result<Reply, Failure> + Send>;

/// Something to be done to the tables.
pub(super) struct Job {
    pub(super) durability: Durability,
    /// Whether what was dropped is to be gone from the files, too, before the answer.
    pub(super) tidies: bool,
    pub(super) work: Work,
}

/// Why something was not done.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) told: StoreError,
    /// What is in the file cannot be read.
    is_damage: bool,
}

impl From<StoreError> for Failure {
    fn from(told: StoreError) -> Self {
        Self {
            told,
            is_damage: false,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self {
            told: engine(&error),
            is_damage: opening::is_damage(&error),
        }
    }
}

/// Owns the connection, and opens it again when it has failed.
pub(super) struct Writer {
    path: Arc<Path>,
    max_bytes: u64,
    faults: Option<FileFaults>,
    /// Read by `/readyz`: false when nothing can be kept until an operator repairs it.
    usable: Arc<AtomicBool>,
    open: Option<Open>,
    /// The file that was used last.
    known: Option<Identity>,
    /// The file that was found damaged in use.
    spoilt: Option<(Identity, String)>,
    /// When trouble was last complained of; `None` while all is well.
    warned: Option<Instant>,
    /// Since when nothing has failed.
    well: Option<Instant>,
}

struct Open {
    opened: Opened,
    durability: Durability,
}

impl Writer {
    pub(super) const fn new(
        path: Arc<Path>,
        max_bytes: u64,
        faults: Option<FileFaults>,
        usable: Arc<AtomicBool>,
    ) -> Self {
        Self {
            path,
            max_bytes,
            faults,
            usable,
            open: None,
            known: None,
            spoilt: None,
            warned: None,
            well: None,
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
                    // Those who wait were told so when their jobs were dropped; the transaction was rolled back.
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
        let tidies = batch.iter().any(|job| job.tidies);
        let path = self.path.clone();
        let open = match self.opened(durability) {
            Ok(open) => open,
            Err(error) => {
                refuse(batch, &error);
                return Err(error);
            }
        };
        let file = open.opened.file;
        let (replies, done) = transact(&mut open.opened.connection, batch, &path);
        let done = match done {
            Ok(()) if tidies => {
                let emptied = empty_log(&open.opened.connection);
                // Opened again, it is read through: what somebody else did to it is found out now and then.
                self.open = None;
                emptied.map_err(Failure::from)
            }
            done => done,
        };
        let done = done.map_err(|failure| {
            if let Some(open) = self.open.take() {
                // What it fails with, the next one will.
                let _ = opening::stays_as_it_is(&open.opened.connection, true);
            }
            if failure.is_damage {
                self.spoilt = Some((file, failure.told.to_string()));
            }
            failure.told
        });
        for reply in replies {
            reply(done.clone());
        }
        done
    }

    /// The connection, opened if there is none or the file is another.
    fn opened(&mut self, durability: Durability) -> Result<&mut Open, StoreError> {
        let there = data_file::look(&self.path).ok().flatten();
        let there = there.map(|sight| sight.identity);
        if let Some(open) = self.open.take_if(|open| Some(open.opened.file) != there) {
            self.leave(open, there.is_some())?;
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => Open {
                opened: self.open_file()?,
                durability: Durability::Process,
            },
        };
        let open = self.open.insert(open);
        if open.durability != durability {
            let level = match durability {
                Durability::Process => "NORMAL",
                Durability::Machine => "FULL",
            };
            open.opened
                .connection
                .pragma_update(None, "synchronous", level)
                .map_err(|error| engine(&error))?;
            open.durability = durability;
        }
        Ok(open)
    }

    /// The file is not at its path any more; perhaps another is.
    fn leave(&mut self, open: Open, replaced: bool) -> Result<(), StoreError> {
        // What was written to it is in it then, wherever it is now; what cannot be stays in the log, which is kept.
        let _ = data_file::empty_log(&open.opened.connection);
        let cleared = open.opened.companions.clear(&self.path, unix_now());
        // SQLite sees that its file has moved, and leaves what lies at the path alone.
        drop(open);
        let why = if replaced {
            self.count("replaced");
            "another file has its place"
        } else {
            self.count("gone");
            "it was deleted or moved away"
        };
        log::error!(
            target: "switchboard::store", path:% = self.path.display(), why, lost = LOST;
            "the store's file is not the one that was written to, the one at its path is used or made"
        );
        cleared.map(drop).map_err(|error| {
            let why = format!("the log of the file before is in the way: {error}");
            StoreError::Engine(why)
        })
    }

    fn open_file(&mut self) -> Result<Opened, StoreError> {
        if let Some((file, why)) = self.spoilt.take() {
            self.put_aside("damaged", file, &why)?;
        }
        loop {
            match opening::open(&self.path, self.max_bytes, self.known) {
                Ok(opened) => {
                    self.known = Some(opened.file);
                    self.usable.store(true, Ordering::Relaxed);
                    return Ok(opened);
                }
                // The next one is new, or another process's.
                Err(Refusal::Spoilt(fault, file, why)) => self.put_aside(fault, file, &why)?,
                Err(Refusal::Denied(why)) => {
                    if self.usable.swap(false, Ordering::Relaxed) {
                        self.count("unusable");
                    }
                    return Err(StoreError::Engine(why));
                }
                Err(Refusal::Locked(error) | Refusal::NotNow(error)) => return Err(error),
            }
        }
    }

    /// Makes room for a new file where one is that cannot be used.
    fn put_aside(
        &mut self,
        fault: &'static str,
        file: Identity,
        why: &str,
    ) -> Result<(), StoreError> {
        match data_file::put_aside(&self.path, file, fault, unix_now()) {
            Ok(None) => Ok(()),
            Ok(Some(aside)) => {
                self.count(fault);
                log::error!(
                    target: "switchboard::store", path:% = self.path.display(), why, aside:% = aside.display(), lost = LOST;
                    "the store's file cannot be used, it was put aside and a new one is begun"
                );
                Ok(())
            }
            Err(error) => {
                if self.usable.swap(false, Ordering::Relaxed) {
                    self.count(fault);
                }
                Err(StoreError::Engine(format!(
                    "{why}; it cannot be put aside: {error}"
                )))
            }
        }
    }

    fn count(&self, fault: &'static str) {
        if let Some(faults) = &self.faults {
            faults.count(fault);
        }
    }

    fn is_well(&mut self) {
        // On a full disk what is small succeeds now and then.
        let well = *self.well.get_or_insert_with(Instant::now);
        if self.warned.is_some() && well.elapsed() >= STEADY {
            self.warned = None;
            log::info!(target: "switchboard::store", path:% = self.path.display(); "the store works again");
        }
    }

    fn is_ill(&mut self, error: &StoreError) {
        self.well = None;
        if self
            .warned
            .is_some_and(|warned| warned.elapsed() < WARN_EVERY)
        {
            return;
        }
        self.warned = Some(Instant::now());
        log::warn!(
            target: "switchboard::store", path:% = self.path.display(), error:% = error;
            "the store fails, calls go on but would not outlive this process and their tools with effects are refused"
        );
    }
}

/// Runs all jobs in one transaction. One that fails takes the others with it. The replies are for those whose jobs did
/// not fail by themselves, who are to be told how it ended.
fn transact(
    connection: &mut Connection,
    batch: Vec<Job>,
    path: &Path,
) -> (Vec<Reply>, Result<(), Failure>) {
    let begun = Transaction::new(connection, TransactionBehavior::Immediate);
    let transaction = match begun.map_err(Failure::from) {
        Ok(transaction) => transaction,
        Err(failure) => {
            refuse(batch, &failure.told);
            return (Vec::new(), Err(failure));
        }
    };
    let mut replies = Vec::with_capacity(batch.len());
    let mut failed: Option<Failure> = None;
    for job in batch {
        let given = match &failed {
            Some(failure) => Err(failure.told.clone()),
            None => Ok(&*transaction),
        };
        match (job.work)(given) {
            Ok(reply) => replies.push(reply),
            // The first says why.
            Err(failure) => failed = failed.or(Some(failure)),
        }
    }
    failpoints::hit("store.write", path.to_str().unwrap_or_default());
    let result = match failed {
        Some(failure) => Err(failure),
        None => transaction.commit().map_err(Failure::from),
    };
    (replies, result)
}

fn refuse(batch: Vec<Job>, error: &StoreError) {
    for job in batch {
        // It has told its asker; there is nobody else to tell.
        let _ = (job.work)(Err(error.clone()));
    }
}

/// What was dropped leaves the file and its log. Another process may be in the way, or the disk full; the next time comes
/// soon.
fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(LOG_BUSY)?;
    rewrite(connection);
    let emptied = data_file::empty_log(connection);
    connection.busy_timeout(BUSY)?;
    if !emptied? {
        log::debug!(target: "switchboard::store", "another process is in the way of emptying the log");
    }
    Ok(())
}

/// `secure_delete` overwrites what is deleted, but not what SQLite left behind when it moved rows between pages.
fn rewrite(connection: &Connection) {
    let pages = connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0));
    if !pages.is_ok_and(|pages| pages <= REWRITTEN) {
        return;
    }
    if let Err(error) = connection.execute_batch("VACUUM") {
        log::debug!(target: "switchboard::store", error:%; "the file is rewritten at another time");
    }
}
