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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use call_protocol::call::AgentProfile;
    use call_protocol::model::command::{SessionSetup, Voice};
    use call_protocol::phone::{CallSid, Direction};

    use super::*;
    use crate::messages::{CallInfo, CallerNumber, Ownership};
    use crate::registry::CallEntry;
    use crate::registry::returns::Returns;

    fn sid(digit: char) -> CallSid {
        let digits: String = std::iter::repeat_n(digit, 32).collect();
        CallSid::parse(&format!("CA{digits}")).unwrap()
    }

    fn entry(call: CallSid, place: CallStatus) -> CallEntry {
        let session = SessionSetup {
            instructions: String::new(),
            voice: Voice::Keep,
            tools: Vec::new(),
            options: None,
        };
        let info = CallInfo {
            call,
            from: None,
            number: CallerNumber::default(),
            to: None,
            direction: Direction::Inbound,
            agent: AgentProfile::new("spa", "gpt-realtime-2.1", session).into(),
            config_snapshot: 0,
            ownership: Ownership::First,
        };
        CallEntry {
            info,
            token: String::new(),
            returns: Returns::default(),
            early: None,
            place,
        }
    }

    #[test]
    fn a_handler_that_panics_in_the_middle_leaves_figures_that_are_counted_anew() {
        let mut registry = Registry::new(10, std::sync::Arc::default());
        let (waits, unheard) = (sid('1'), sid('2'));
        let until = Instant::now() + Duration::from_secs(5);
        let places = [
            (waits, CallStatus::Waiting { until }),
            // Its death notice is what meets the panic.
            (unheard, CallStatus::Live(7)),
        ];
        for (call, place) in places {
            registry.entries.insert(call, entry(call, place));
        }
        let reply = registry.guarded(|registry| {
            registry.waiting = usize::MAX;
            registry.expiries = VecDeque::from([(until, unheard)]);
            panic!("in the middle of something");
        });
        let Reply(answer): Reply<()> = reply;
        assert_eq!(answer, None);
        assert_eq!(registry.waiting, 1);
        assert!(matches!(
            registry.entries[&unheard].place,
            CallStatus::Over { reason: None, .. }
        ));
        let due: Vec<CallSid> = registry.expiries.iter().map(|(_, call)| *call).collect();
        assert_eq!(
            due,
            [waits, unheard],
            "each is looked at when its time is over"
        );
    }
}
