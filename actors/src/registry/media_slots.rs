//! Calls that have lost their media socket, and keep its place for another one.

use std::collections::HashMap;

use actix::{Context, Handler};
use call_protocol::phone::CallSid;

use super::{Registry, Reply};
use crate::messages::CallKey;
use crate::twilio::MediaSlot;

/// A call has lost its media socket, and waits for another.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(crate) struct MediaLost {
    pub(crate) key: CallKey,
    pub(crate) call: CallSid,
    pub(crate) slot: MediaSlot,
}

/// The places that may be taken.
#[derive(Default)]
pub(super) struct MediaSlots(HashMap<CallSid, (CallKey, MediaSlot)>);

impl MediaSlots {
    /// Whether a call waits for its media socket.
    pub(super) fn is_kept(&self, call: CallSid) -> bool {
        self.0.contains_key(&call)
    }

    /// The seat of a call, for one socket.
    pub(super) fn take(&mut self, call: CallSid) -> Option<(CallKey, MediaSlot)> {
        self.0.remove(&call)
    }

    /// Nobody may take this call's seat any more.
    pub(super) fn give_up(&mut self, call: CallSid, of: CallKey) {
        if self.0.get(&call).is_some_and(|(key, _)| *key == of) {
            self.0.remove(&call);
        }
    }
}

impl Handler<MediaLost> for Registry {
    type Result = Reply<()>;

    fn handle(&mut self, message: MediaLost, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| {
            if registry.live.contains_key(&message.key) {
                let MediaLost { key, call, slot } = message;
                registry.slots.0.insert(call, (key, slot));
            }
        })
    }
}
