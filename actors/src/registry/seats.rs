//! Calls that have lost their media socket, and keep its place for another one.

use std::collections::HashMap;

use actix::{Context, Handler};
use call_protocol::ids::CallSid;

use super::{Registry, Reply};
use crate::messages::CallKey;
use crate::twilio::Seat;

/// A call has lost its media socket, and waits for another.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Vacant {
    pub(crate) key: CallKey,
    pub(crate) call: CallSid,
    pub(crate) seat: Seat,
}

/// The places that may be taken.
#[derive(Default)]
pub(super) struct Seats(HashMap<CallSid, (CallKey, Seat)>);

impl Seats {
    /// Whether a call waits for its media socket.
    pub(super) fn is_kept(&self, call: CallSid) -> bool {
        self.0.contains_key(&call)
    }

    /// The seat of a call, for one socket.
    pub(super) fn take(&mut self, call: CallSid) -> Option<(CallKey, Seat)> {
        self.0.remove(&call)
    }

    /// Nobody may take this call's seat any more.
    pub(super) fn give_up(&mut self, call: CallSid, of: CallKey) {
        if self.0.get(&call).is_some_and(|(key, _)| *key == of) {
            self.0.remove(&call);
        }
    }
}

impl Handler<Vacant> for Registry {
    type Result = Reply<()>;

    fn handle(&mut self, message: Vacant, _: &mut Context<Self>) -> Self::Result {
        self.guarded(|registry| {
            if registry.live.contains_key(&message.key) {
                let Vacant { key, call, seat } = message;
                registry.vacant.0.insert(call, (key, seat));
            }
        })
    }
}
