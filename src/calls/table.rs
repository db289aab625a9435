//! The calls of this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix::Addr;
use switchboard_actors::admission::AdmissionControl;
use switchboard_actors::down::DownGuard;
use switchboard_actors::events::EventBus;
use switchboard_actors::live_calls::LiveCalls;
use switchboard_actors::messages::CallKey;
use switchboard_actors::registry::Registry;
use switchboard_actors::registry::messages::Drain;

/// Longest wait for an answer of the registry; it answers in microseconds.
const REGISTRY_ANSWERS: Duration = Duration::from_secs(2);

/// Who has a place, who takes orders, and whether more calls are taken.
pub(crate) struct CallTable {
    pub(super) registry: Addr<Registry>,
    /// The live calls, should the registry not answer.
    pub(crate) live_calls: LiveCalls,
    /// What happens in them.
    pub(crate) events: EventBus,
    /// Whether the model's account can take another call.
    pub(super) admission: Arc<AdmissionControl>,
    draining: AtomicBool,
}

impl CallTable {
    pub(crate) fn new(
        registry: Addr<Registry>,
        admission: Arc<AdmissionControl>,
        events: EventBus,
    ) -> Self {
        Self {
            registry,
            events,
            live_calls: LiveCalls::default(),
            admission,
            draining: AtomicBool::new(false),
        }
    }

    /// Asks the registry; `None` if it does not answer.
    pub(super) async fn ask<M>(&self, question: M) -> Option<M::Result>
    where
        Registry: actix::Handler<M>,
        M: actix::Message + Send + 'static,
        M::Result: Send,
    {
        let answer = actix::clock::timeout(REGISTRY_ANSWERS, self.registry.send(question)).await;
        answer.ok()?.ok()
    }

    /// The place of a call that was let in.
    pub(super) fn place(&self, key: CallKey) -> DownGuard {
        let line = self.admission.call_began(Instant::now());
        DownGuard::new(key, self.registry.clone(), self.live_calls.clone(), line)
    }

    /// Whether no new call is taken because the process leaves.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Takes no more calls; says whether it did until now.
    pub(crate) fn drain(&self) -> bool {
        let first = !self.draining.swap(true, Ordering::Relaxed);
        if first {
            self.registry.do_send(Drain);
        }
        first
    }

    /// Writes the last lines of calls that still wait for the store.
    pub(crate) fn tell_the_rest(&self) {
        self.live_calls.tell_the_rest();
    }
}
