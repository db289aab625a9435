//! Faults on demand. Not in release images.

use std::sync::atomic::{AtomicBool, Ordering};

use call_protocol::phone::CallSid;
use switchboard_actors::fault::{Break, Fault, RegistryFault, StoreFault};

use super::Calls;

/// Breaks one call, if it lives here; `None` if the registry does not answer.
pub(crate) async fn break_call(calls: &Calls, call: CallSid, fault: Fault) -> Option<bool> {
    calls.table.ask(Break(call, fault)).await
}

/// Breaks what knows all calls.
pub(crate) fn break_registry(calls: &Calls, fault: RegistryFault) {
    calls.table.registry.do_send(fault);
}

/// Breaks what outlives the process; gives whether there is something to break.
pub(crate) fn break_store(calls: &Calls, fault: StoreFault) -> bool {
    calls.store.fail(fault)
}

/// A panic that is waiting for the next call.
#[derive(Default)]
pub(crate) struct WebhookFault(AtomicBool);

impl WebhookFault {
    /// The next call is answered by a panic.
    pub(crate) fn plan(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// A call is about to be answered.
    pub(crate) fn strike(&self) {
        let strikes = self.0.swap(false, Ordering::Relaxed);
        assert!(!strikes, "fault hook");
    }
}
