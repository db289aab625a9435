//! A store that lives and dies with the process: for tests, for demos, and for those who want nothing on disk.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use call_protocol::phone::CallSid;

use super::{
    Answer, Begun, CHECKPOINT_LIFE, CallStore, Claim, DAY, Forgotten, JOURNAL_LIFE, MAX_CHECKPOINT,
    MAX_EFFECT_TEXT, RING_LIFE, Ring, Rung, SPENDING_LIFE, Saved, Spent, StoreError, TICKET_LIFE,
    ToolEffect, UnixSeconds, bounded, check_effect,
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
    spending: HashMap<(Spent, i64), u64>,
    /// Calls of a caller, oldest first.
    rings: HashMap<String, Vec<Ringing>>,
    /// Who redeemed a ticket, and when.
    tickets: HashMap<String, (i64, UnixSeconds)>,
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
struct Ringing {
    call: CallSid,
    answer: Rung,
    at: UnixSeconds,
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
        kept.epoch = (kept.epoch + 1).max(super::first_epoch(now));
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

    fn begin(&self, effect: ToolEffect, now: UnixSeconds) -> Answer<Begun> {
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

    fn redeem(&self, ticket: String, process: i64, now: UnixSeconds) -> Answer<bool> {
        if let Err(error) = bounded("a ticket", ticket.len(), MAX_EFFECT_TEXT) {
            return answer(Err(error));
        }
        let mut shelves = self.shelves();
        let (redeemed_by, _) = *shelves.tickets.entry(ticket).or_insert((process, now));
        answer(Ok(redeemed_by == process))
    }

    fn spend(&self, what: Spent, day: i64, amount: u64) -> Answer<u64> {
        let mut shelves = self.shelves();
        let sum = shelves.spending.entry((what, day)).or_default();
        *sum = sum.saturating_add(amount);
        answer(Ok(*sum))
    }

    fn ring(&self, ring: Ring, now: UnixSeconds) -> Answer<Rung> {
        let mut shelves = self.shelves();
        let rings = shelves.rings.entry(ring.who).or_default();
        rings.retain(|ringing| ringing.at + RING_LIFE > now);
        if let Some(known) = rings.iter().find(|ringing| ringing.call == ring.call) {
            return answer(Ok(known.answer));
        }
        let all = u32::try_from(rings.len()).unwrap_or(u32::MAX);
        let let_in = rings.iter().filter(|known| known.answer == Rung::LetIn);
        let let_in = u32::try_from(let_in.count()).unwrap_or(u32::MAX);
        let turned_away = all - let_in;
        let given = if let_in < ring.most {
            Rung::LetIn
        } else {
            Rung::TurnedAway(turned_away + 1)
        };
        if given == Rung::LetIn || turned_away < ring.most {
            rings.push(Ringing {
                call: ring.call,
                answer: given,
                at: now,
            });
        }
        answer(Ok(given))
    }

    fn unring(&self, call: CallSid) -> Answer<()> {
        let mut shelves = self.shelves();
        for rings in shelves.rings.values_mut() {
            rings.retain(|ringing| ringing.call != call || ringing.answer != Rung::LetIn);
        }
        answer(Ok(()))
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
            .tickets
            .retain(|_, (_, redeemed)| *redeemed + TICKET_LIFE > now);
        shelves
            .spending
            .retain(|(_, day), _| *day + SPENDING_LIFE > now.div_euclid(DAY));
        shelves.rings.retain(|_, rings| {
            rings.retain(|ringing| ringing.at + RING_LIFE > now);
            !rings.is_empty()
        });
        let after = shelves.calls.len() + shelves.journal.len();
        answer(Ok((before - after) as u64))
    }
}
