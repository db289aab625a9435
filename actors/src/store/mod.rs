//! What outlives a process: checkpoints of live calls, and the journal of tool effects.
//!
//! The trait knows no engine. Every method answers with a future that does not block the thread it is polled on; a
//! call never waits for its checkpoint. Wall-clock times are handed in, as seconds since the epoch.

use bytes::Bytes;
use call_protocol::ids::CallSid;
use futures_util::future::BoxFuture;

/// An answer of the store, when it comes.
pub type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

/// Seconds since the Unix epoch.
pub type UnixSeconds = i64;

/// Keeps checkpoints and the journal.
pub trait CallStore: Send + Sync + 'static {
    /// Takes a call over: the epoch counts up, and writers of an earlier one are refused from here on. Gives back the
    /// last checkpoint if there is one that still lives.
    fn claim(&self, call: CallSid, now: UnixSeconds) -> Answer<Claim>;

    /// Keeps a checkpoint, in the place of the one before.
    fn save(&self, call: CallSid, epoch: u64, checkpoint: Bytes, now: UnixSeconds)
    -> Answer<Saved>;

    /// The call is over for good: its checkpoint goes. The journal stays for its time.
    fn forget(&self, call: CallSid, epoch: u64) -> Answer<()>;

    /// Writes down that an effect is about to happen, before it does.
    fn begin(&self, effect: Effect, now: UnixSeconds) -> Answer<Begun>;

    /// Writes down what an effect came to, after it did.
    fn finish(&self, key: String, output: String, now: UnixSeconds) -> Answer<()>;

    /// Drops what has outlived its time; gives the number of checkpoints and journal lines dropped.
    fn purge(&self, now: UnixSeconds) -> Answer<u64>;
}

/// A call taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The new owner's number; one for the first.
    pub epoch: u64,
    /// What the owner before left.
    pub checkpoint: Option<Bytes>,
}

/// What became of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is kept.
    Kept,
    /// Somebody else owns the call by now: whoever wrote this must fall silent.
    Superseded,
}

/// An effect in the world, named so that it happens once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Made of the call, the tool, its arguments in canonical form and the number of the intent.
    pub key: String,
    /// The call.
    pub call: CallSid,
    /// The tool.
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
