//! The live calls, beside the registry: what must reach all of them does, also while the registry is silent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::WeakRecipient;
use call_protocol::call::event::OperatorEvent;

use crate::call::LastLines;
use crate::events::{AudioFeed, AudioSubscription};
use crate::messages::{CallKey, Order};

/// Where each live call takes orders and can be heard; clones are the same list. A call is on it from its actor's first
/// moment to its last.
#[derive(Clone, Default)]
pub struct LiveCalls {
    calls: Arc<Mutex<BTreeMap<CallKey, LiveCall>>>,
    last_lines: LastLines,
}

struct LiveCall {
    orders: WeakRecipient<Order>,
    audio: AudioFeed,
}

impl LiveCalls {
    pub(crate) fn enter(&self, key: CallKey, orders: WeakRecipient<Order>, audio: AudioFeed) {
        self.calls().insert(key, LiveCall { orders, audio });
    }

    /// Both voices of a call from now on; `None` if it does not live.
    #[must_use]
    pub fn listen(&self, key: CallKey) -> Option<AudioSubscription> {
        self.calls().get(&key).map(|call| call.audio.listen())
    }

    /// Nothing in here may panic: it is called while unwinding.
    pub(crate) fn leave(&self, key: CallKey) {
        self.calls().remove(&key);
    }

    /// Tells every live call the same; gives their number.
    pub fn order(&self, event: &OperatorEvent) -> usize {
        let calls = self.calls();
        let orders = calls.values().filter_map(|call| call.orders.upgrade());
        let told = orders.map(|orders| orders.do_send(Order(event.clone())));
        told.count()
    }

    /// Last lines of calls that are over here.
    pub(crate) const fn last_lines(&self) -> &LastLines {
        &self.last_lines
    }

    /// The process leaves: calls that are over, and of which the store has not said yet whose they were, are told as
    /// that. Gives their number.
    pub fn tell_the_rest(&self) -> usize {
        self.last_lines.tell_the_rest()
    }

    /// Calls that live.
    #[must_use]
    pub fn count(&self) -> usize {
        self.calls().len()
    }

    /// A panic elsewhere leaves the map whole: each of its operations completes.
    fn calls(&self) -> MutexGuard<'_, BTreeMap<CallKey, LiveCall>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
