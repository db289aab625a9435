//! Every handler of the registry runs in here, so that a panic in one of them costs a single message.
//!
//! That message gets no answer; its sender treats that as it treats a slow registry. Before the next message the registry
//! counts its figures anew.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use actix::Message;
use actix::dev::{MessageResponse, OneshotSender};

use super::{CallStatus, Registry};
use crate::limits::ENDING_LIFE;

/// What a handler came to; nothing if it panicked.
pub struct Reply<T>(Option<T>);

impl<M: Message> MessageResponse<Registry, M> for Reply<M::Result> {
    fn handle(self, _: &mut actix::Context<Registry>, tx: Option<OneshotSender<M::Result>>) {
        if let (Some(answer), Some(tx)) = (self.0, tx) {
            // The sender may have stopped waiting.
            let _ = tx.send(answer);
        }
    }
}

impl Registry {
    /// Runs the body of a handler; a panic in it costs its message.
    pub(super) fn guarded<T>(&mut self, body: impl FnOnce(&mut Self) -> T) -> Reply<T> {
        // What it leaves half done is put in order by `mend`.
        let done = catch_unwind(AssertUnwindSafe(|| body(self)));
        if done.is_err() {
            self.mend(Instant::now());
            log::error!(target: "switchboard::registry", live = self.live.len(), waiting = self.waiting; "fault in the registry, one message is lost");
        }
        Reply(done.ok())
    }

    /// Counts anew what is counted, and has every call looked at when its time is over.
    fn mend(&mut self, now: Instant) {
        self.waiting = 0;
        let mut expiries = Vec::with_capacity(self.entries.len());
        for (call, entry) in &mut self.entries {
            let due = match &entry.place {
                CallStatus::Waiting { until } => {
                    self.waiting += 1;
                    *until
                }
                CallStatus::Live(key) if self.live.contains_key(key) => continue,
                CallStatus::Live(_) => {
                    // Its death notice was what met the panic.
                    entry.place = CallStatus::Over {
                        reason: None,
                        transfer_to: None,
                        awaited_by: None,
                        at: now,
                    };
                    now + ENDING_LIFE
                }
                CallStatus::Over { at, .. } => *at + ENDING_LIFE,
            };
            expiries.push((due, *call));
        }
        expiries.sort_unstable_by_key(|(due, _)| *due);
        self.expiries = expiries.into();
    }
}
