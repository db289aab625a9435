//! What keeps a fault of a call's own code in that call: every handler of its actor runs in here.
//!
//! A panic leaves the actor alive. Its machine is built anew on the sockets it had: the first time from the value that
//! failed, then from the last checkpoint, as the value itself may be what fails. After [`RESTARTS`] in [`RESTART_WINDOW`]
//! the call ends, and its caller meets the fallback.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use actix::{ActorContext as _, AsyncContext as _, Context};
use call_protocol::call::Call;
use call_protocol::call::event::Event;
use call_protocol::call::outcome::EndReason;

use super::CallActor;
use crate::events::EventKind;
use crate::limits::{RESTART_WINDOW, RESTARTS};
use crate::messages::ToPhone;

/// Effects of an end that may fail, each by itself, before the sockets are closed without them.
const LAST_TRIES: usize = 8;

/// How often a call may be built anew.
#[derive(Default)]
pub(super) struct Budget {
    faults: VecDeque<Instant>,
    restarts: u64,
    /// The machine must be built anew before anything else is done.
    is_due: bool,
}

/// What a fault leads to.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Restart,
    GiveUp,
}

impl Budget {
    /// How often the machine was built anew.
    pub(super) const fn restarts(&self) -> u64 {
        self.restarts
    }

    fn fault(&mut self, now: Instant) -> Verdict {
        let is_old = |fault: &Instant| now.duration_since(*fault) > RESTART_WINDOW;
        while self.faults.front().is_some_and(is_old) {
            self.faults.pop_front();
        }
        self.faults.push_back(now);
        if self.faults.len() > RESTARTS {
            self.is_due = false;
            return Verdict::GiveUp;
        }
        self.restarts += 1;
        self.is_due = true;
        Verdict::Restart
    }

    /// Whether this is the only fault for a while.
    fn is_first(&self) -> bool {
        self.faults.len() <= 1
    }
}

impl CallActor {
    /// Runs the body of a handler; a panic in it is a fault of this call alone. It costs an audio frame a few
    /// nanoseconds: nothing is allocated, and there is one of it a message.
    pub(super) fn guarded(
        &mut self,
        ctx: &mut Context<Self>,
        body: impl FnOnce(&mut Self, &mut Context<Self>),
    ) {
        // A panic may leave the machine half changed: `begin_anew` gives it up. The rest of the actor is numbers and addresses.
        let done = catch_unwind(AssertUnwindSafe(|| {
            if self.budget.is_due {
                // All that waits in the mailbox comes before the restart does, and must not be lost.
                self.begin_anew(ctx);
            }
            body(self, ctx);
        }));
        if done.is_err() {
            self.on_fault(ctx);
        }
    }

    fn on_fault(&mut self, ctx: &mut Context<Self>) {
        let verdict = self.budget.fault(Instant::now());
        let (call_sid, stream_sid) = (self.log.call(), self.log.stream());
        let faults = self.budget.faults.len();
        match verdict {
            Verdict::Restart => {
                log::error!(target: "switchboard::call", call_sid, stream_sid, faults; "fault in a call, building it anew");
                self.shared.metrics.call_restarted(crate::metrics::FAULT);
                self.publish(EventKind::Restarted {
                    restarts: self.budget.restarts(),
                });
                self.mending = Some(ctx.address());
                ctx.stop();
            }
            Verdict::GiveUp => {
                log::error!(target: "switchboard::call", call_sid, stream_sid, faults; "fault in a call, too many of them");
                self.give_up(ctx);
                // It is not built anew any more.
                self.mending = None;
            }
        }
    }

    fn begin_anew(&mut self, ctx: &mut Context<Self>) {
        #[cfg(feature = "fault-hook")]
        self.planned.strike_start();
        self.budget.is_due = false;
        self.rebuild();
        self.say_last_word_again();
        self.carry_out(ctx, None);
        self.arm(ctx);
        self.mending = None;
    }

    /// The fault may have struck while the machine, or the registry, was told that the media socket is gone.
    fn say_last_word_again(&mut self) {
        let Some(away) = &self.away else { return };
        if !self.call.is_over() && !self.call.is_away() {
            let event = Event::Phone(away.last_word.clone());
            self.call.handle(event, self.now());
        }
        self.media_lost = self.call.is_away();
    }

    fn rebuild(&mut self) {
        let now = self.now();
        let (kept, remains) = (self.checkpoints.kept(), self.call.salvage());
        let faulted = self.take_call();
        if self.budget.is_first() || kept.is_none() || remains.is_none() {
            let keep_playback = self.budget.is_first();
            let rebuilt = catch_unwind(AssertUnwindSafe(|| faulted.rebuild(keep_playback, now)));
            if let Ok(call) = rebuilt {
                self.call = call;
                return;
            }
        }
        let (Some(checkpoint), Some(remains)) = (kept, remains) else {
            self.call.end(EndReason::Fault, now);
            return;
        };
        log::warn!(target: "switchboard::call", call_sid = self.log.call(), stream_sid = self.log.stream(), turns = checkpoint.turns.len(); "call goes on from its last checkpoint");
        #[cfg(feature = "fault-hook")]
        self.planned.mend();
        match catch_unwind(AssertUnwindSafe(|| {
            Call::rebuild_from_checkpoint(remains, &checkpoint, now)
        })) {
            Ok(call) => self.call = call,
            Err(_) => self.call.end(EndReason::Fault, now),
        }
    }

    /// Takes the machine's value; one that has done nothing stands in its place.
    fn take_call(&mut self) -> Call {
        let mut placeholder = Call::new(self.call.setup().clone());
        while placeholder.poll_effect().is_some() {}
        std::mem::replace(&mut self.call, placeholder)
    }

    /// The call has failed too often: it ends, whatever of it still works.
    fn give_up(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        for _ in 0..LAST_TRIES {
            let ended = catch_unwind(AssertUnwindSafe(|| {
                if self.call.is_over() {
                    self.call.conclude();
                }
                self.call.end(EndReason::Fault, now);
                self.carry_out(ctx, None);
                self.arm(ctx);
            }));
            if ended.is_ok() {
                return;
            }
            if !self.call.is_over() {
                drop(self.take_call());
            }
        }
        self.model = None;
        self.next = None;
        self.away = None;
        self.phone.do_send(ToPhone::Close {
            code: EndReason::Fault.close_code(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_is_built_anew_three_times_a_minute_and_no_more() {
        let began = Instant::now();
        let mut budget = Budget::default();
        for second in 0..3 {
            let verdict = budget.fault(began + Duration::from_secs(second));
            assert_eq!(verdict, Verdict::Restart);
        }
        let verdict = budget.fault(began + Duration::from_secs(59));
        assert_eq!((verdict, budget.restarts()), (Verdict::GiveUp, 3));
    }

    #[test]
    fn faults_that_are_far_apart_end_no_call_and_each_is_a_first_one() {
        let began = Instant::now();
        let mut budget = Budget::default();
        for minute in 0..20 {
            let verdict = budget.fault(began + Duration::from_secs(61 * minute));
            assert_eq!(verdict, Verdict::Restart);
            assert!(budget.is_first());
        }
        assert_eq!(budget.restarts(), 20);
    }
}
