//! A store that lives and dies with the process: for tests, for demos, and for those who want nothing on disk.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use call_protocol::ids::CallSid;

use super::{
    Answer, Begun, CHECKPOINT_LIFE, CallStore, Claim, DAY, Effect, Forgotten, JOURNAL_LIFE,
    MAX_CHECKPOINT, MAX_EFFECT_TEXT, SPENDING_LIFE, Saved, StoreError, UnixSeconds, bounded,
    check_effect,
};

/// Keeps everything in this process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    shelves: Mutex<Shelves>,
}

#[derive(Debug, Default)]
struct Shelves {
    calls: HashMap<CallSid, Kept>,
    journal: HashMap<String, Line>,
    spending: HashMap<i64, u64>,
}

#[derive(Debug)]
struct Kept {
    epoch: u64,
    checkpoint: Option<Bytes>,
    saved: UnixSeconds,
}

impl Kept {
    fn living(&self, now: UnixSeconds) -> Option<Bytes> {
        self.checkpoint
            .clone()
            .filter(|_| self.saved + CHECKPOINT_LIFE > now)
    }
}

#[derive(Debug)]
struct Line {
    output: Option<String>,
    at: UnixSeconds,
}

impl MemoryStore {
    /// Nothing is ever left half done under this lock, so a panic elsewhere does not spoil what it guards.
    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer<T: Send + 'static>(result: Result<T, StoreError>) -> Answer<T> {
    Box::pin(std::future::ready(result))
}

impl CallStore for MemoryStore {
    fn look(&self, call: CallSid, now: UnixSeconds) -> Answer<Option<Bytes>> {
        let shelves = self.shelves();
        answer(Ok(shelves
            .calls
            .get(&call)
            .and_then(|kept| kept.living(now))))
    }

    fn claim(&self, call: CallSid, now: UnixSeconds) -> Answer<Claim> {
        let mut shelves = self.shelves();
        let kept = shelves.calls.entry(call).or_insert(Kept {
            epoch: 0,
            checkpoint: None,
            saved: now,
        });
        kept.epoch += 1;
        let checkpoint = kept.living(now);
        if checkpoint.is_none() {
            kept.checkpoint = None;
            kept.saved = now;
        }
        answer(Ok(Claim {
            epoch: kept.epoch,
            checkpoint,
        }))
    }

    fn save(
        &self,
        call: CallSid,
        epoch: u64,
        checkpoint: Bytes,
        now: UnixSeconds,
    ) -> Answer<Saved> {
        if let Err(error) = bounded("a checkpoint", checkpoint.len(), MAX_CHECKPOINT) {
            return answer(Err(error));
        }
        let mut shelves = self.shelves();
        if shelves
            .calls
            .get(&call)
            .is_some_and(|kept| kept.epoch > epoch)
        {
            return answer(Ok(Saved::Superseded));
        }
        shelves.calls.insert(
            call,
            Kept {
                epoch,
                checkpoint: Some(checkpoint),
                saved: now,
            },
        );
        answer(Ok(Saved::Kept))
    }

    fn forget(&self, call: CallSid, epoch: u64) -> Answer<Forgotten> {
        let mut shelves = self.shelves();
        if let Some(kept) = shelves.calls.get_mut(&call) {
            if kept.epoch > epoch {
                return answer(Ok(Forgotten::Superseded));
            }
            kept.checkpoint = None;
        }
        answer(Ok(Forgotten::Gone))
    }

    fn begin(&self, effect: Effect, now: UnixSeconds) -> Answer<Begun> {
        if let Err(error) = check_effect(&effect) {
            return answer(Err(error));
        }
        let mut shelves = self.shelves();
        let begun = match shelves.journal.get(&effect.key) {
            Some(Line {
                output: Some(output),
                ..
            }) => Begun::Done(output.clone()),
            Some(Line { output: None, .. }) => Begun::Unknown,
            None => Begun::First,
        };
        if begun == Begun::First {
            let line = Line {
                output: None,
                at: now,
            };
            shelves.journal.insert(effect.key, line);
        }
        answer(Ok(begun))
    }

    fn finish(&self, key: String, output: String, now: UnixSeconds) -> Answer<()> {
        if let Err(error) = bounded("a tool's output", output.len(), MAX_EFFECT_TEXT) {
            return answer(Err(error));
        }
        if let Some(line) = self.shelves().journal.get_mut(&key) {
            *line = Line {
                output: Some(output),
                at: now,
            };
        }
        answer(Ok(()))
    }

    fn spend(&self, day: i64, micro_usd: u64) -> Answer<u64> {
        let mut shelves = self.shelves();
        let sum = shelves.spending.entry(day).or_default();
        *sum = sum.saturating_add(micro_usd);
        answer(Ok(*sum))
    }

    fn purge(&self, now: UnixSeconds) -> Answer<u64> {
        let mut shelves = self.shelves();
        let before = shelves.calls.len() + shelves.journal.len();
        shelves
            .calls
            .retain(|_, kept| kept.saved + CHECKPOINT_LIFE > now);
        shelves
            .journal
            .retain(|_, line| line.at + JOURNAL_LIFE > now);
        shelves
            .spending
            .retain(|day, _| *day + SPENDING_LIFE > now.div_euclid(DAY));
        let after = shelves.calls.len() + shelves.journal.len();
        answer(Ok((before - after) as u64))
    }
}
