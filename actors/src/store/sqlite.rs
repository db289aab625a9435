//! A store in one SQLite file: what was written outlives the process, and other processes may open the same file.
//!
//! One thread owns the connection; everything else lines work up for it in a bounded queue. What waits there is done
//! in one transaction, so a full house costs a few commits a second. Checkpoints survive the death of the process;
//! the journal survives the machine's, too (`synchronous = FULL` for transactions with journal lines).

mod opening;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use bytes::Bytes;
use call_protocol::phone::CallSid;
use prometheus::IntCounter;
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::oneshot;

use super::{
    Answer, Begun, CHECKPOINT_LIFE, CallStore, Claim, DAY, Forgotten, JOURNAL_LIFE, MAX_CHECKPOINT,
    MAX_EFFECT_TEXT, RING_LIFE, Ring, Rung, SPENDING_LIFE, Saved, Spent, StoreError, TICKET_LIFE,
    ToolEffect, UnixSeconds, bounded, check_effect, first_epoch,
};
use crate::metrics::FileFaults;
use switchboard_base::data_file;
use writer::{Failure, Job, Reply, Writer};

/// Work that waits for the writer. A full house writes a hundred checkpoints a second; more than ten seconds of that
/// is a disk that does not answer.
const QUEUE: usize = 1_024;

/// The file grows no larger: the store must not fill the disk that recordings and the book share.
const MAX_FILE: u64 = 1024 * 1024 * 1024;

/// Why files are put aside, as their names say it.
const ASIDE: &[&str] = &["damaged", "newer", "unusable", "left"];

/// Keeps everything in one file.
#[derive(Debug)]
pub struct SqliteStore {
    path: Arc<Path>,
    queue: SyncSender<Job>,
    counters: Option<Counters>,
    usable: Arc<AtomicBool>,
}

/// What a store counts.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Work its queue had no room for.
    pub overflow: IntCounter,
    /// What befell its file.
    pub faults: FileFaults,
}

/// Whether a transaction must survive the machine's sudden end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    Process,
    Machine,
}

impl SqliteStore {
    /// A store in the file at `path`. The file is opened, and made, by its own thread; when that fails, every answer is
    /// an error until it succeeds. A file that is damaged, or of a newer version, is put aside under another name.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_with(path, MAX_FILE, None)
    }

    /// The same with a file of at most `max_bytes`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn open_bounded(path: &Path, max_bytes: u64) -> io::Result<Self> {
        Self::open_with(path, max_bytes, None)
    }

    /// The same as [`open`](Self::open), and what goes wrong is counted.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn open_counting(path: &Path, counters: Counters) -> io::Result<Self> {
        Self::open_with(path, MAX_FILE, Some(counters))
    }

    fn open_with(path: &Path, max_bytes: u64, counters: Option<Counters>) -> io::Result<Self> {
        let (queue, work) = sync_channel(QUEUE);
        let usable = Arc::new(AtomicBool::new(true));
        let faults = counters.as_ref().map(|counters| counters.faults.clone());
        let path: Arc<Path> = path.into();
        let writer = Writer::new(path.clone(), max_bytes, faults, usable.clone());
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(&work))?;
        Ok(Self {
            path,
            queue,
            counters,
            usable,
        })
    }

    /// Lines `work` up; the answer comes after its transaction was committed.
    fn ask<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<T> {
        self.ask_and(false, durability, work)
    }

    /// The same, and the log is emptied before the answer if it is to be `tidy`.
    fn ask_and<T: Send + 'static>(
        &self,
        tidy: bool,
        durability: Durability,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<T> {
        let (tell, told) = oneshot::channel::<Result<T, StoreError>>();
        let job = Job {
            durability,
            tidies: tidy,
            work: Box::new(move |connection| {
                let done = connection
                    .map_err(Failure::from)
                    .and_then(|connection| work(connection).map_err(Failure::from));
                match done {
                    // The caller of the method may have stopped waiting.
                    Ok(value) => Ok(Box::new(move |committed: Result<(), StoreError>| {
                        let _ = tell.send(committed.map(|()| value));
                    }) as Reply),
                    Err(failure) => {
                        let _ = tell.send(Err(failure.told.clone()));
                        Err(failure)
                    }
                }
            }),
        };
        if let Err(refused) = self.queue.try_send(job) {
            if let (TrySendError::Full(_), Some(counters)) = (refused, &self.counters) {
                counters.overflow.inc();
            }
            return fails(StoreError::Away);
        }
        Box::pin(async move { told.await.unwrap_or(Err(StoreError::Away)) })
    }
}

fn engine(error: &rusqlite::Error) -> StoreError {
    StoreError::Engine(error.to_string())
}

fn fails<T: Send + 'static>(error: StoreError) -> Answer<T> {
    Box::pin(std::future::ready(Err(error)))
}

/// SQLite's integers are signed; epochs and sums stay far below the difference.
fn signed(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}

impl CallStore for SqliteStore {
    fn look(&self, call: CallSid, now: UnixSeconds) -> Answer<Option<Bytes>> {
        self.ask(Durability::Process, move |connection| {
            let sql = "SELECT checkpoint FROM calls WHERE call = ?1 AND saved > ?2";
            let found: Option<Option<Vec<u8>>> = connection
                .prepare_cached(sql)?
                .query_row(params![call.as_str(), now - CHECKPOINT_LIFE], |row| {
                    row.get(0)
                })
                .optional()?;
            Ok(found.flatten().map(Bytes::from))
        })
    }

    fn claim(&self, call: CallSid, now: UnixSeconds) -> Answer<Claim> {
        self.ask(Durability::Process, move |connection| {
            // A checkpoint that has outlived its time is dropped here; the epoch goes on counting.
            let sql = "INSERT INTO calls (call, epoch, checkpoint, saved) VALUES (?1, ?4, NULL, ?2)
                ON CONFLICT (call) DO UPDATE SET epoch = max(epoch + 1, ?4),
                    checkpoint = CASE WHEN saved > ?3 THEN checkpoint END,
                    saved = CASE WHEN saved > ?3 AND checkpoint IS NOT NULL THEN saved ELSE ?2 END
                RETURNING epoch, checkpoint";
            connection.prepare_cached(sql)?.query_row(
                params![
                    call.as_str(),
                    now,
                    now - CHECKPOINT_LIFE,
                    signed(first_epoch(now))
                ],
                |row| {
                    let epoch: i64 = row.get(0)?;
                    let checkpoint: Option<Vec<u8>> = row.get(1)?;
                    Ok(Claim {
                        epoch: epoch.unsigned_abs(),
                        checkpoint: checkpoint.map(Bytes::from),
                    })
                },
            )
        })
    }

    fn save(
        &self,
        call: CallSid,
        epoch: u64,
        checkpoint: Bytes,
        now: UnixSeconds,
    ) -> Answer<Saved> {
        if let Err(error) = bounded("a checkpoint", checkpoint.len(), MAX_CHECKPOINT) {
            return fails(error);
        }
        self.ask(Durability::Process, move |connection| {
            let sql = "INSERT INTO calls (call, epoch, checkpoint, saved) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (call) DO UPDATE
                    SET epoch = excluded.epoch, checkpoint = excluded.checkpoint, saved = excluded.saved
                    WHERE epoch <= excluded.epoch";
            let written = connection.prepare_cached(sql)?.execute(params![
                call.as_str(),
                signed(epoch),
                checkpoint.as_ref(),
                now
            ])?;
            Ok(if written == 0 {
                Saved::Superseded
            } else {
                Saved::Kept
            })
        })
    }

    fn forget(&self, call: CallSid, epoch: u64) -> Answer<Forgotten> {
        self.ask(Durability::Process, move |connection| {
            let sql = "UPDATE calls SET checkpoint = NULL WHERE call = ?1 AND epoch <= ?2";
            let forgotten = connection
                .prepare_cached(sql)?
                .execute(params![call.as_str(), signed(epoch)])?;
            if forgotten == 1 {
                return Ok(Forgotten::Gone);
            }
            // A call of which nothing was ever written down is nobody else's.
            let owned = connection
                .prepare_cached("SELECT 1 FROM calls WHERE call = ?1")?
                .exists([call.as_str()])?;
            Ok(if owned {
                Forgotten::Superseded
            } else {
                Forgotten::Gone
            })
        })
    }

    fn begin(&self, effect: ToolEffect, now: UnixSeconds) -> Answer<Begun> {
        if let Err(error) = check_effect(&effect) {
            return fails(error);
        }
        self.ask(Durability::Machine, move |connection| {
            let sql = "INSERT INTO journal (key, call, tool, arguments, output, at)
                VALUES (?1, ?2, ?3, ?4, NULL, ?5) ON CONFLICT (key) DO NOTHING";
            let written = connection.prepare_cached(sql)?.execute(params![
                effect.key,
                effect.call.as_str(),
                effect.tool,
                effect.arguments,
                now
            ])?;
            if written == 1 {
                return Ok(Begun::First);
            }
            let output: Option<String> = connection
                .prepare_cached("SELECT output FROM journal WHERE key = ?1")?
                .query_row([&effect.key], |row| row.get(0))?;
            Ok(output.map_or(Begun::Unknown, Begun::Done))
        })
    }

    fn finish(&self, key: String, output: String, now: UnixSeconds) -> Answer<()> {
        if let Err(error) = bounded("a tool's output", output.len(), MAX_EFFECT_TEXT) {
            return fails(error);
        }
        self.ask(Durability::Machine, move |connection| {
            connection
                .prepare_cached("UPDATE journal SET output = ?2, at = ?3 WHERE key = ?1")?
                .execute(params![key, output, now])?;
            Ok(())
        })
    }

    fn redeem(&self, ticket: String, process: i64, now: UnixSeconds) -> Answer<bool> {
        if let Err(error) = bounded("a ticket", ticket.len(), MAX_EFFECT_TEXT) {
            return fails(error);
        }
        self.ask(Durability::Process, move |connection| {
            let sql = "INSERT INTO tickets (ticket, process, redeemed) VALUES (?1, ?2, ?3)
                ON CONFLICT (ticket) DO UPDATE SET process = excluded.process WHERE process = excluded.process";
            let written = connection
                .prepare_cached(sql)?
                .execute(params![ticket, process, now])?;
            Ok(written == 1)
        })
    }

    fn spend(&self, what: Spent, day: i64, amount: u64) -> Answer<u64> {
        self.ask(Durability::Process, move |connection| {
            let sql = match what {
                Spent::MicroUsd => {
                    "INSERT INTO spending (day, micro_usd) VALUES (?1, ?2)
                    ON CONFLICT (day) DO UPDATE SET micro_usd = micro_usd + excluded.micro_usd RETURNING micro_usd"
                }
                Spent::CallMs => {
                    "INSERT INTO spending (day, micro_usd, call_ms) VALUES (?1, 0, ?2)
                    ON CONFLICT (day) DO UPDATE SET call_ms = call_ms + excluded.call_ms RETURNING call_ms"
                }
            };
            let sum: i64 = connection
                .prepare_cached(sql)?
                .query_row(params![day, signed(amount)], |row| row.get(0))?;
            Ok(sum.unsigned_abs())
        })
    }

    fn ring(&self, ring: Ring, now: UnixSeconds) -> Answer<Rung> {
        self.ask(Durability::Process, move |connection| {
            let Ring { who, call, most } = ring;
            let since = now - RING_LIFE;
            let known: Option<u32> = connection
                .prepare_cached("SELECT turn FROM rings WHERE call = ?1 AND at > ?2")?
                .query_row(params![call.as_str(), since], |row| row.get(0))
                .optional()?;
            let (turn, is_new) = match known {
                Some(turn) => (turn, false),
                None => {
                    let sql = "SELECT COUNT(*) FILTER (WHERE turn = 0), COUNT(*) FILTER (WHERE turn > 0)
                        FROM rings WHERE who = ?1 AND at > ?2";
                    let (let_in, turned_away): (u32, u32) = connection
                        .prepare_cached(sql)?
                        .query_row(params![who, since], |row| Ok((row.get(0)?, row.get(1)?)))?;
                    if let_in < most {
                        (0, true)
                    } else {
                        (turned_away + 1, turned_away < most)
                    }
                }
            };
            if is_new {
                connection
                    .prepare_cached("INSERT OR REPLACE INTO rings (call, who, turn, at) VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![call.as_str(), who, turn, now])?;
            }
            Ok(match turn {
                0 => Rung::LetIn,
                turn => Rung::TurnedAway(turn),
            })
        })
    }

    fn unring(&self, call: CallSid) -> Answer<()> {
        self.ask(Durability::Process, move |connection| {
            connection
                .prepare_cached("DELETE FROM rings WHERE call = ?1 AND turn = 0")?
                .execute([call.as_str()])?;
            Ok(())
        })
    }

    fn purge(&self, now: UnixSeconds) -> Answer<u64> {
        let path = self.path.clone();
        self.ask_and(true, Durability::Process, move |connection| {
            let calls = connection.execute(
                "DELETE FROM calls WHERE saved <= ?1",
                [now - CHECKPOINT_LIFE],
            )?;
            let lines =
                connection.execute("DELETE FROM journal WHERE at <= ?1", [now - JOURNAL_LIFE])?;
            connection.execute(
                "DELETE FROM tickets WHERE redeemed <= ?1",
                [now - TICKET_LIFE],
            )?;
            connection.execute(
                "DELETE FROM spending WHERE day <= ?1",
                [now.div_euclid(DAY) - SPENDING_LIFE],
            )?;
            // Words of calls are in there, too.
            if let Err(error) = data_file::drop_old(&path, ASIDE, now, JOURNAL_LIFE) {
                log::warn!(
                    target: "switchboard::store", path:% = path.display(), error:% = error;
                    "old files that were put aside cannot be removed"
                );
            }
            connection.execute("DELETE FROM rings WHERE at <= ?1", [now - RING_LIFE])?;
            Ok((calls + lines) as u64)
        })
    }

    fn tidy(&self) -> Answer<()> {
        self.ask_and(true, Durability::Process, |_| Ok(()))
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }
}
