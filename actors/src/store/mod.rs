//! What outlives a process: checkpoints of live calls, the journal of tool effects, who rang, and what the day has had.
//!
//! The trait knows no engine. Every method answers with a future that does not block the thread it is polled on; a
//! call never waits for its checkpoint. Wall-clock times are handed in, as seconds since the epoch.
//!
//! # The fencing epoch
//!
//! A process that takes a call over claims it, and gets the next epoch. The store refuses what an earlier owner still
//! writes. A process that was stopped and wakes up late learns in this way that the call is no longer its own. The epoch
//! outlives the checkpoint: an old owner cannot take back a call that was forgotten, until [`purge`](CallStore::purge). An
//! epoch is never below the time it was given out at, so that no number is given twice if the file was lost in between.
//!
//! | engine | for |
//! | --- | --- |
//! | [`memory`] | one process, nothing outlives it |
//! | [`sqlite`] | one machine: what is written outlives the process, and other processes may open the same file |

mod insist;
pub mod memory;
pub mod sqlite;

use std::path::Path;

use bytes::Bytes;
use call_protocol::phone::CallSid;
use futures_util::future::BoxFuture;

pub use insist::insist;

/// An answer of the store, when it comes.
pub type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

/// Seconds since the Unix epoch.
pub type UnixSeconds = i64;

/// The largest checkpoint, in bytes.
pub const MAX_CHECKPOINT: usize = call_protocol::checkpoint::MAX_BYTES;

/// The longest text of an effect: its arguments, or its output, in bytes.
pub const MAX_EFFECT_TEXT: usize = 32 * 1024;

/// Seconds a checkpoint lives after it was written. A caller whose call was not taken over by then has hung up.
pub const CHECKPOINT_LIFE: i64 = 15 * 60;

/// Seconds a line of the journal lives: longer than the longest call (Twilio ends calls after a day).
pub const JOURNAL_LIFE: i64 = 2 * 24 * 60 * 60;

/// Seconds a ticket is remembered after it was redeemed: longer than any ticket lives on any clock.
pub const TICKET_LIFE: i64 = 10 * 60;

/// Seconds of a day, as spending is counted.
pub const DAY: i64 = 24 * 60 * 60;

/// Days whose spending is kept: a process with another clock may still ask for yesterday's.
const SPENDING_LIFE: i64 = 2;

/// Seconds for which a caller's new calls are counted together.
pub const RING_LIFE: i64 = 60 * 60;

/// Keeps checkpoints, the journal, who rang, and what the day has had.
///
/// What a method asks for is lined up when the method is called, in the order of the calls; the future only waits for
/// the answer and may be dropped.
pub trait CallStore: Send + Sync + 'static {
    /// The last checkpoint, if there is one that still lives; the call stays whose it is.
    fn look(&self, call: CallSid, now: UnixSeconds) -> Answer<Option<Bytes>>;

    /// Takes a call over: the epoch goes up, and writers of an earlier one are refused from here on. Gives back the last
    /// checkpoint if there is one that still lives.
    fn claim(&self, call: CallSid, now: UnixSeconds) -> Answer<Claim>;

    /// Keeps a checkpoint, in the place of the one before.
    fn save(&self, call: CallSid, epoch: u64, checkpoint: Bytes, now: UnixSeconds)
    -> Answer<Saved>;

    /// The call is over for good: its checkpoint goes, unless somebody else owns the call by now. The journal stays for
    /// its time.
    fn forget(&self, call: CallSid, epoch: u64) -> Answer<Forgotten>;

    /// Writes down that an effect is about to happen, before it does.
    fn begin(&self, effect: ToolEffect, now: UnixSeconds) -> Answer<Begun>;

    /// Writes down what an effect came to, after it did. An effect that was never announced is not written down.
    fn finish(&self, key: String, output: String, now: UnixSeconds) -> Answer<()>;

    /// A ticket opens a media socket of this process, once over all processes; false if it has opened one of another's.
    /// The process itself sees to it that it opens no more than one here.
    fn redeem(&self, ticket: String, process: i64, now: UnixSeconds) -> Answer<bool>;

    /// Adds to what a day (UTC, counted from the epoch) has had of something; gives the day's sum.
    fn spend(&self, what: Spent, day: i64, amount: u64) -> Answer<u64>;

    /// A new call. It is let in if fewer than `most` of the same caller were within [`RING_LIFE`]; the same call again
    /// gets the same answer and is not counted again.
    fn ring(&self, ring: Ring, now: UnixSeconds) -> Answer<Rung>;

    /// A call that was let in was not taken after all, and does not count.
    fn unring(&self, call: CallSid) -> Answer<()>;

    /// Drops what has outlived its time; gives the number of checkpoints and journal lines dropped. What was dropped or
    /// forgotten before is not in any file afterwards, as in [`tidy`](Self::tidy).
    fn purge(&self, now: UnixSeconds) -> Answer<u64>;

    /// Has the files hold what is kept and nothing that was: to be asked before the process leaves. An error when
    /// another process reads or writes meanwhile.
    fn tidy(&self) -> Answer<()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// The file it is kept in; none if nothing outlives the process.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// Whether what fails may mend by itself: a lock that is given back, room on the disk. False when nothing can be
    /// kept until somebody sees to it.
    fn is_usable(&self) -> bool {
        true
    }
}

/// What a day has a limit of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spent {
    /// Money, in millionths of a US dollar.
    MicroUsd,
    /// Time of calls, in milliseconds.
    CallMs,
}

/// A new call, as its caller's limit sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Stands for the caller. All callers who withhold their number have the same.
    pub who: String,
    pub call: CallSid,
    /// Calls that are let in within [`RING_LIFE`].
    pub most: u32,
}

/// Answer to a [`Ring`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// It is within the limit.
    LetIn,
    /// It is over the limit: the so-manieth such call, from one. Those over twice the limit are not counted any more.
    TurnedAway(u32),
}

/// A call taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The new owner's number. An owner that was never replaced has 1.
    pub epoch: u64,
    /// What the owner before left.
    pub checkpoint: Option<Bytes>,
}

/// What became of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    Kept,
    /// Another owner has the call by now: the writer must fall silent.
    Superseded,
}

/// What became of a call that is over, for the owner that ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// Nothing is left of it.
    Gone,
    /// Somebody else owned the call by then, and has told its end or will.
    Superseded,
}

/// An effect in the world, named so that it happens once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolEffect {
    /// Made of the call, the tool, its arguments in canonical form and the number of the intent.
    pub key: String,
    pub call: CallSid,
    pub tool: String,
    /// The arguments in canonical form.
    pub arguments: String,
}

/// Answer to an effect's announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nobody has tried: go ahead.
    First,
    /// It was done, and this came of it.
    Done(String),
    /// Somebody began and never told the outcome: it must be asked for, not repeated.
    Unknown,
}

/// Why the store did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The engine failed, in its own words.
    #[error("the store failed: {0}")]
    Engine(String),
    /// More than the store takes.
    #[error("{0} is too large for the store")]
    TooLarge(&'static str),
    /// The store is busy or gone.
    #[error("the store does not answer")]
    Away,
}

/// The least number of an owner who takes a call over at that time.
fn first_epoch(now: UnixSeconds) -> u64 {
    u64::try_from(now).unwrap_or(0)
}

/// Refuses what is larger than the store takes.
fn bounded(what: &'static str, bytes: usize, most: usize) -> Result<(), StoreError> {
    if bytes > most {
        return Err(StoreError::TooLarge(what));
    }
    Ok(())
}

fn check_effect(effect: &ToolEffect) -> Result<(), StoreError> {
    bounded("an effect's key", effect.key.len(), MAX_EFFECT_TEXT)?;
    bounded("a tool's name", effect.tool.len(), MAX_EFFECT_TEXT)?;
    bounded(
        "a tool's arguments",
        effect.arguments.len(),
        MAX_EFFECT_TEXT,
    )
}
