//! The last line of a call: told once, when the store has said whose call it was.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::Addr;
use actix_rt::{Arbiter, ArbiterHandle};
use call_protocol::call::effect::Summary;
use call_protocol::call::outcome::EndReason;
use call_protocol::call::state::StateName;

use super::CallActor;
use super::checkpoints::{OwnershipCheck, Verdict};
use super::shared::{LogContext, Shared};
use crate::events::EventKind;
use crate::messages::CallKey;

/// A call that is over keeps its place so long for the store's word. A store that is away longer must not fill the house
/// with calls that are over; their last lines wait on.
const KEEPS_PLACE: Duration = Duration::from_secs(5);

/// The record of one owner's call: one line, one count.
pub(crate) struct LastLine {
    pub(super) log: LogContext,
    pub(super) shared: Shared,
    pub(super) state: StateName,
    pub(super) summary: Summary,
}

impl LastLine {
    pub(super) fn tell(self, reason: EndReason) {
        let summary = &self.summary;
        let duration = Duration::from_millis(summary.duration_ms);
        self.shared
            .metrics
            .call_ended(self.state.label(), reason, duration);
        if reason == EndReason::Unconfirmed {
            log::warn!(
                target: "switchboard::call", call_sid = self.log.call(), stream_sid = self.log.stream(),
                own_reason = summary.reason.label();
                "over here, but the store has not said whose the call was"
            );
        }
        log::info!(
            target: "switchboard::call", call_sid = self.log.call(), stream_sid = self.log.stream(), reason = reason.label(),
            duration_ms = summary.duration_ms, frames_from_caller = summary.frames_from_caller,
            frames_to_caller = summary.frames_to_caller, turns = summary.turns, cost_usd = summary.cost_usd; "stop"
        );
        let summary = Summary {
            reason,
            ..self.summary
        };
        self.shared
            .publish(&self.log, EventKind::Stopped(Box::new(summary)));
    }

    fn tell_as(self, verdict: Option<Verdict>) {
        let reason = match verdict {
            Some(Verdict::Own) => self.summary.reason,
            Some(Verdict::Superseded) => EndReason::Superseded,
            None => EndReason::Unconfirmed,
        };
        self.tell(reason);
    }
}

/// Last lines of this process that wait for the store; clones are the same.
///
/// They wait on the thread that made this, not on their calls': a worker thread that is held when the store agrees may
/// never run again, and nobody else tells an end that the store has forgotten.
#[derive(Clone)]
pub(crate) struct LastLines {
    waiting: Arc<Mutex<BTreeMap<CallKey, LastLine>>>,
    thread: Option<ArbiterHandle>,
}

impl Default for LastLines {
    fn default() -> Self {
        Self {
            waiting: Arc::default(),
            thread: Arbiter::try_current(),
        }
    }
}

impl LastLines {
    /// Runs this where last lines wait.
    pub(super) fn spawn(&self, waits: impl Future<Output = ()> + Send + 'static) {
        match &self.thread {
            // That thread ends only when the process does.
            Some(thread) => drop(thread.spawn(waits)),
            None => drop(actix_rt::spawn(waits)),
        }
    }

    /// Tells the last line once the store has said that the call was still this owner's. It may not be: this process may
    /// have stood still while Twilio ended the call, or while another process went on with it. `held` keeps the call's
    /// place meanwhile, but not for ever.
    pub(super) fn tell_when_agreed(
        &self,
        line: LastLine,
        mut parting: OwnershipCheck,
        held: Addr<CallActor>,
    ) {
        let key = line.log.key;
        self.lines().insert(key, line);
        let lines = self.clone();
        self.spawn(async move {
            let (verdict, held) =
                match actix_rt::time::timeout(KEEPS_PLACE, parting.verdict()).await {
                    Ok(verdict) => (verdict, Some(held)),
                    Err(_) => {
                        drop(held);
                        (parting.verdict().await, None)
                    }
                };
            if let Some(line) = lines.take(key) {
                line.tell_as(verdict);
            }
            drop(held);
        });
    }

    /// The process leaves: what the store has not agreed to is told as that. Gives how many lines.
    pub(crate) fn tell_the_rest(&self) -> usize {
        let rest = std::mem::take(&mut *self.lines());
        let count = rest.len();
        rest.into_values().for_each(|line| line.tell_as(None));
        count
    }

    fn take(&self, key: CallKey) -> Option<LastLine> {
        self.lines().remove(&key)
    }

    /// A panic elsewhere leaves the map whole: each of its operations completes.
    fn lines(&self) -> MutexGuard<'_, BTreeMap<CallKey, LastLine>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
